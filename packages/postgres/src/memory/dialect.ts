import { type DomainSchema, forwardThrough, RECORDS, type Records, type SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import type { Sql } from "postgres";
import { type ClientRunner, drizzleOn, runnerOn } from "../client.ts";
import type { Connection } from "../connection.ts";
import { databaseOn } from "../database.ts";
import type { ResolvedOptions } from "../options.ts";
import { PostgresRecords } from "../records/records.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";
import { findVectorExtension, type VectorExtension } from "./vector-extension.ts";
import { VectorIndexes } from "./vector-index.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

interface Statements {
  readonly runner: ClientRunner;
  readonly records: PostgresRecords;
  readonly search: SearchStatements;
}

/** The memory on a client, as a dialect. `indexAbove`: the size of a space above which an index of vectors is used, if there is one. */
export function createMemoryDialect(
  connection: SharedUse<Connection>,
  options: ResolvedOptions,
  indexAbove: number,
): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  const indexes = new VectorIndexes(options);
  /** A client is replaced when it is stuck. */
  let ofClient = new WeakMap<Sql, Statements>();
  let extension: VectorExtension | null = null;

  function statementsOn(client: Sql): Statements {
    const existing = ofClient.get(client);
    if (existing !== undefined) return existing;
    const runner = runnerOn(client, options.prepare);
    const records = new PostgresRecords(runner, drizzleOn(client, options.prepare), options, extension?.schema ?? null);
    const search = new SearchStatements(runner, records, extension, indexes, indexAbove);
    const statements = { runner, records, search };
    ofClient.set(client, statements);
    return statements;
  }

  async function use<Result>(signal: AbortSignal, work: (statements: Statements) => Promise<Result>): Promise<Result> {
    const { use: useClient } = await connection.get(signal);
    return await useClient(signal, (client) => work(statementsOn(client)));
  }

  async function lookForExtension({ runner }: Statements): Promise<void> {
    extension = await findVectorExtension(runner);
    ofClient = new WeakMap();
  }

  const onRecords = (signal: AbortSignal, work: (records: PostgresRecords) => Promise<unknown>) =>
    use(signal, ({ records }) => work(records));
  const onSearch = <Result>(signal: AbortSignal, work: (search: SearchStatements) => Promise<Result>) =>
    use(signal, ({ search }) => work(search));

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      await use(signal, lookForExtension);
      return opened;
    },
    records: forwardThrough(onRecords, RECORDS) as unknown as Records,
    nearest: (query, signal) => onSearch(signal, (search) => search.nearest(query)),
    nearestExactly: (query, signal) => onSearch(signal, (search) => search.nearestExactly(query)),
    countTerms: (space, terms, signal) => onSearch(signal, (search) => search.countTerms(space, terms)),
    scoreTerms: (query, signal) => onSearch(signal, (search) => search.scoreTerms(query)),
    vectorIndex: {
      async create(dimensions, signal) {
        const name = await use(signal, ({ runner }) => indexes.create(runner, dimensions, signal));
        await use(signal, lookForExtension); // it may be younger than this dialect
        return name;
      },
      drop: (dimensions, signal) => use(signal, ({ runner }) => indexes.drop(runner, dimensions)),
    },
  };
}
