import { forwardThrough, giveTurn, RECORDS, type Records, type SharedUse } from "@waymark/core/kit";
import { openHandle } from "../database.ts";
import { drizzleOn, type Handle } from "../handle.ts";
import type { ResolvedOptions } from "../options.ts";
import { NearestRows, type Pause } from "./nearest.ts";
import { SQLiteRecords } from "./records.ts";
import { haveVectorFunctions } from "./vector-functions.ts";

/** What stands on an open database: the verbs, and what else a domain makes of them. */
interface Statements<Search> {
  readonly records: SQLiteRecords;
  readonly search: Search;
}

/** The verbs on a connection, and the statements of a domain beside them. */
export interface RecordAccess<Search> {
  readonly records: Records;
  /** Opens the database, if need be, and runs work on the domain's statements. */
  onSearch<Result>(signal: AbortSignal, work: (search: Search, pause: Pause) => Promise<Result>): Promise<Result>;
  /** Prepares all statements anew: the tables may be others. */
  reopen(signal: AbortSignal): Promise<void>;
}

/**
 * Gives access to records on a connection. `loadVectorFunctions`: whether to look for sqlite-vec. `makeSearch` makes the domain's own
 * statements.
 */
export function recordsOn<Search>(
  connection: SharedUse<Handle>,
  { tablePrefix }: ResolvedOptions,
  loadVectorFunctions: boolean,
  makeSearch: (records: SQLiteRecords, hasVectorFunctions: boolean) => Search,
): RecordAccess<Search> {
  let prepared: (Statements<Search> & { readonly handle: Handle; readonly nearest: NearestRows }) | null = null;

  /** A call of the engine's may run any number of statements: each gives the event loop its turn, and looks at the deadline. */
  async function pause(signal: AbortSignal): Promise<void> {
    await giveTurn();
    signal.throwIfAborted();
  }

  async function statements(signal: AbortSignal) {
    await pause(signal); // an open handle does not look at the signal
    const handle = await openHandle(connection, signal);
    if (prepared?.handle !== handle) {
      const records = new SQLiteRecords(handle, drizzleOn(handle), tablePrefix);
      const hasVectorFunctions = await haveVectorFunctions(handle, loadVectorFunctions);
      const nearest = new NearestRows(records, hasVectorFunctions);
      prepared = { handle, records, nearest, search: makeSearch(records, hasVectorFunctions) };
    }
    return prepared;
  }

  const onRecords = async (signal: AbortSignal, work: (records: SQLiteRecords) => Promise<unknown>) =>
    await work((await statements(signal)).records);
  const synchronous = RECORDS.filter((name) => name !== "nearest");
  const records = {
    ...forwardThrough<SQLiteRecords, (typeof synchronous)[number]>(onRecords, synchronous),
    nearest: async (table: never, query: never, signal: AbortSignal) =>
      await (await statements(signal)).nearest.nearest(table, query, () => pause(signal)),
  };

  return {
    records: records as unknown as Records,
    onSearch: async (signal, work) => await work((await statements(signal)).search, () => pause(signal)),
    async reopen(signal) {
      prepared = null;
      await statements(signal);
    },
  };
}
