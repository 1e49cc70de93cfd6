import { setImmediate as turn } from "node:timers/promises";
import { type DomainSchema, forwardThrough, RECORDS, type Records, type SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import { databaseOn, openHandle } from "../database.ts";
import { drizzleOn, type Handle } from "../handle.ts";
import type { ResolvedOptions } from "../options.ts";
import { SQLiteRecords } from "../records/records.ts";
import { migrations } from "./migrations.ts";
import { MemorySearch } from "./search.ts";
import { haveVectorFunctions } from "./vector-functions.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

interface Statements {
  readonly handle: Handle;
  readonly records: SQLiteRecords;
  readonly search: MemorySearch;
}

/** The memory on a connection, as a dialect. `loadVectorFunctions`: whether to look for sqlite-vec. */
export function createMemoryDialect(
  connection: SharedUse<Handle>,
  options: ResolvedOptions,
  loadVectorFunctions: boolean,
): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  let prepared: Statements | null = null;

  async function statements(signal: AbortSignal): Promise<Statements> {
    signal.throwIfAborted(); // an open handle does not look at it
    const handle = await openHandle(connection, signal);
    if (prepared?.handle !== handle) {
      const records = new SQLiteRecords(handle, drizzleOn(handle), options.tablePrefix);
      const search = new MemorySearch(records, await haveVectorFunctions(handle, loadVectorFunctions));
      prepared = { handle, records, search };
    }
    return prepared;
  }

  const onRecords = async (signal: AbortSignal, work: (records: SQLiteRecords) => Promise<unknown>) =>
    await work((await statements(signal)).records);
  const onSearch = async <Result>(signal: AbortSignal, work: (search: MemorySearch) => Result | Promise<Result>) =>
    await work((await statements(signal)).search);

  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      prepared = null; // again, if the tables were gone
      await statements(signal);
      return opened;
    },
    records: forwardThrough(onRecords, RECORDS) as unknown as Records,
    nearest: (query, signal) => onSearch(signal, (search) => search.nearest(query, () => turn(undefined, { signal }))),
    nearestExactly: (query, signal) => onSearch(signal, (search) => search.nearestExactly(query)),
    countTerms: (space, terms, signal) => onSearch(signal, (search) => search.countTerms(space, terms)),
    scoreTerms: (query, signal) => onSearch(signal, (search) => search.scoreTerms(query)),
  };
}
