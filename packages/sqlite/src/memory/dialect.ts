import { type DomainSchema, forwardThrough, giveTurn, RECORDS, type Records, type SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import { databaseOn, openHandle } from "../database.ts";
import { drizzleOn, type Handle } from "../handle.ts";
import type { ResolvedOptions } from "../options.ts";
import { SQLiteRecords } from "../records/records.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";
import { haveVectorFunctions } from "./vector-functions.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

interface Statements {
  readonly handle: Handle;
  readonly records: SQLiteRecords;
  readonly search: SearchStatements;
}

/** The memory on a connection, as a dialect. `loadVectorFunctions`: whether to look for sqlite-vec. */
export function createMemoryDialect(
  connection: SharedUse<Handle>,
  options: ResolvedOptions,
  loadVectorFunctions: boolean,
): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  let prepared: Statements | null = null;

  /** A call of the engine's may run any number of statements: each gives the event loop its turn, and looks at the deadline. */
  async function pause(signal: AbortSignal): Promise<void> {
    await giveTurn();
    signal.throwIfAborted();
  }

  async function statements(signal: AbortSignal): Promise<Statements> {
    await pause(signal); // an open handle does not look at the signal
    const handle = await openHandle(connection, signal);
    if (prepared?.handle !== handle) {
      const records = new SQLiteRecords(handle, drizzleOn(handle), options.tablePrefix);
      const search = new SearchStatements(records, await haveVectorFunctions(handle, loadVectorFunctions));
      prepared = { handle, records, search };
    }
    return prepared;
  }

  const onRecords = async (signal: AbortSignal, work: (records: SQLiteRecords) => Promise<unknown>) =>
    await work((await statements(signal)).records);
  async function onSearch<Result>(
    signal: AbortSignal,
    work: (search: SearchStatements, pause: () => Promise<void>) => Promise<Result>,
  ): Promise<Result> {
    return await work((await statements(signal)).search, () => pause(signal));
  }

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      prepared = null; // again, if the tables were gone
      await statements(signal);
      return opened;
    },
    records: forwardThrough(onRecords, RECORDS) as unknown as Records,
    nearest: (query, signal) => onSearch(signal, (search, turn) => search.nearest(query, turn)),
    nearestExactly: (query, signal) => onSearch(signal, (search, turn) => search.nearestExactly(query, turn)),
    countTerms: (space, terms, signal) => onSearch(signal, (search, turn) => search.countTerms(space, terms, turn)),
    scoreTerms: (query, signal) => onSearch(signal, (search, turn) => search.scoreTerms(query, turn)),
  };
}
