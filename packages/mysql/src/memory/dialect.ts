import { type DomainSchema, forwardThrough, RECORDS, type Records, type SharedUse, type Step } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import type { Connection, PoolConnection } from "../connection.ts";
import { chooseIsolation, databaseOn, limitBehind, tooLarge } from "../database.ts";
import type { ResolvedOptions } from "../options.ts";
import { changeBytes, MySQLRecords, type RecordLimits, RecordStatements } from "../records/records.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";
import { readVectorFunctions, type VectorFunctions } from "./vector-functions.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

/** Found out when the database is opened. */
interface Server {
  readonly limits: RecordLimits;
  readonly functions: VectorFunctions;
}

/** The memory on a pool, as a dialect. */
export function createMemoryDialect(connection: SharedUse<Connection>, options: ResolvedOptions): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  const statements = new RecordStatements(options.tablePrefix);
  let server: Server | null = null;

  async function use<Result>(signal: AbortSignal, work: (one: PoolConnection) => Promise<Result>): Promise<Result> {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, work);
  }

  const onRecords = (signal: AbortSignal, work: (records: MySQLRecords) => Promise<unknown>) =>
    use(signal, (one) => work(new MySQLRecords(one, statements, (server as Server).limits)));
  const onSearch = <Result>(signal: AbortSignal, work: (search: SearchStatements) => Promise<Result>) =>
    use(signal, (one) => work(new SearchStatements(one, statements, (server as Server).functions)));

  const records = forwardThrough(onRecords, RECORDS) as unknown as Records;

  async function change(steps: readonly Step[], signal: AbortSignal): Promise<number[] | null> {
    try {
      return await records.change(steps, signal);
    } catch (error) {
      const { rows, largest } = changeBytes(steps);
      const maxStatementBytes = await limitBehind(error, rows, connection, signal);
      if (maxStatementBytes === null || server === null) throw error;
      // The next try cuts the rows into smaller statements.
      server = { ...server, limits: { ...server.limits, maxStatementBytes } };
      throw largest > maxStatementBytes ? tooLarge("change records", largest, maxStatementBytes) : error;
    }
  }

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      server = await use(signal, async (one) => ({
        limits: { maxStatementBytes: opened.maxStatementBytes, isolation: await chooseIsolation(one) },
        functions: await readVectorFunctions(one),
      }));
      return opened;
    },
    records: { ...records, change },
    nearest: (query, signal) => onSearch(signal, (search) => search.nearest(query)),
    nearestExactly: (query, signal) => onSearch(signal, (search) => search.nearestExactly(query)),
    countTerms: (space, terms, signal) => onSearch(signal, (search) => search.countTerms(space, terms)),
    scoreTerms: (query, signal) => onSearch(signal, (search) => search.scoreTerms(query)),
  };
}
