import type { DomainSchema, SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import type { Connection } from "../connection.ts";
import { databaseOn } from "../database.ts";
import type { ResolvedOptions } from "../options.ts";
import { recordsOn } from "../records/dialect.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

/** The memory on a pool, as a dialect. */
export function createMemoryDialect(connection: SharedUse<Connection>, options: ResolvedOptions): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  const access = recordsOn(connection, options, database);
  const onSearch = <Result>(signal: AbortSignal, work: (search: SearchStatements) => Promise<Result>) =>
    access.onSearch(signal, ({ connection: one, statements, functions }) =>
      work(new SearchStatements(one, statements, functions)),
    );
  return {
    ...database,
    open: access.open,
    records: access.records,
    nearest: (query, signal) => onSearch(signal, (search) => search.nearest(query)),
    nearestExactly: (query, signal) => onSearch(signal, (search) => search.nearestExactly(query)),
    countTerms: (space, terms, signal) => onSearch(signal, (search) => search.countTerms(space, terms)),
    scoreTerms: (query, signal) => onSearch(signal, (search) => search.scoreTerms(query)),
  };
}
