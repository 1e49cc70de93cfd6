import {
  type Database,
  forwardThrough,
  type Opened,
  RECORDS,
  type Records,
  type SharedUse,
  type Step,
} from "@waymark/core/kit";
import type { Connection, PoolConnection } from "../connection.ts";
import { chooseIsolation, limitBehind, tooLarge } from "../database.ts";
import type { ResolvedOptions } from "../options.ts";
import { NearestRows } from "./nearest.ts";
import { changeBytes, MySQLRecords, type RecordLimits, RecordStatements } from "./records.ts";
import { readVectorFunctions, type VectorFunctions } from "./vector-functions.ts";

/** Found out when the database is opened. */
interface Server {
  readonly limits: RecordLimits;
  readonly functions: VectorFunctions;
}

/** What a domain's own statements are made of. */
export interface SearchParts {
  readonly connection: PoolConnection;
  readonly statements: RecordStatements;
  readonly functions: VectorFunctions;
}

/** The verbs on a pool. */
export interface RecordAccess {
  readonly records: Records;
  /** Runs a domain's own statements on a connection. */
  onSearch<Result>(signal: AbortSignal, work: (parts: SearchParts) => Promise<Result>): Promise<Result>;
  /** Opens the database, and finds out what the server can. */
  open(signal: AbortSignal): Promise<Opened>;
}

/** Gives access to records on a pool. */
export function recordsOn(
  connection: SharedUse<Connection>,
  { tablePrefix }: ResolvedOptions,
  database: Database,
): RecordAccess {
  const statements = new RecordStatements(tablePrefix);
  let server: Server | null = null;

  async function use<Result>(signal: AbortSignal, work: (one: PoolConnection) => Promise<Result>): Promise<Result> {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, work);
  }

  const onRecords = (signal: AbortSignal, work: (records: MySQLRecords) => Promise<unknown>) =>
    use(signal, (one) => work(new MySQLRecords(one, statements, (server as Server).limits)));
  const verbs = RECORDS.filter((name) => name !== "nearest");
  const records = forwardThrough<MySQLRecords, (typeof verbs)[number]>(onRecords, verbs) as unknown as Records;

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

  const onSearch: RecordAccess["onSearch"] = (signal, work) =>
    use(signal, (one) => work({ connection: one, statements, functions: (server as Server).functions }));
  const nearest = (table: never, query: never, signal: AbortSignal) =>
    onSearch(signal, ({ connection: one, functions }) =>
      new NearestRows(one, statements, functions).nearest(table, query),
    );

  return {
    records: { ...records, change, nearest: nearest as unknown as Records["nearest"] },
    onSearch,
    async open(signal) {
      const opened = await database.open(signal);
      server = await use(signal, async (one) => ({
        limits: { maxStatementBytes: opened.maxStatementBytes, isolation: await chooseIsolation(one) },
        functions: await readVectorFunctions(one),
      }));
      return opened;
    },
  };
}
