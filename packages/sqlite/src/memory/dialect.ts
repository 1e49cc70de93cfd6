import type { DomainSchema, SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import { databaseOn } from "../database.ts";
import type { Handle } from "../handle.ts";
import type { ResolvedOptions } from "../options.ts";
import { recordsOn } from "../records/dialect.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

/** The memory on a connection, as a dialect. `loadVectorFunctions`: whether to look for sqlite-vec. */
export function createMemoryDialect(
  connection: SharedUse<Handle>,
  options: ResolvedOptions,
  loadVectorFunctions: boolean,
): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  const makeSearch = (...given: ConstructorParameters<typeof SearchStatements>) => new SearchStatements(...given);
  const { records, onSearch, reopen } = recordsOn(connection, options, loadVectorFunctions, makeSearch);
  return {
    ...database,
    async open(signal) {
      const opened = await database.open(signal);
      await reopen(signal); // the tables may have been gone
      return opened;
    },
    records,
    nearest: (query, signal) => onSearch(signal, (search, turn) => search.nearest(query, turn)),
    nearestExactly: (query, signal) => onSearch(signal, (search, turn) => search.nearestExactly(query, turn)),
    countTerms: (space, terms, signal) => onSearch(signal, (search, turn) => search.countTerms(space, terms, turn)),
    scoreTerms: (query, signal) => onSearch(signal, (search, turn) => search.scoreTerms(query, turn)),
  };
}
