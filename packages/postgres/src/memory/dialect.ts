import type { DomainSchema, SharedUse } from "@waymark/core/kit";
import { MEMORY_SCHEMA, type MemoryDialect } from "@waymark/core/memory/kit";
import type { Connection } from "../connection.ts";
import { databaseOn } from "../database.ts";
import type { ResolvedOptions } from "../options.ts";
import { recordsOn } from "../records/dialect.ts";
import { migrations } from "./migrations.ts";
import { SearchStatements } from "./search.ts";
import { VectorIndexes } from "./vector-index.ts";

const MEMORY: DomainSchema = { ...MEMORY_SCHEMA, migrations };

/** The memory on a client, as a dialect. `indexAbove`: the size of a space above which an index of vectors is used, if there is one. */
export function createMemoryDialect(
  connection: SharedUse<Connection>,
  options: ResolvedOptions,
  indexAbove: number,
): MemoryDialect {
  const database = databaseOn(connection, MEMORY, options);
  const indexes = new VectorIndexes(options);
  const { records, onSearch, open, lookForExtension } = recordsOn(
    connection,
    options,
    database,
    ({ runner, records: verbs, extension }) => new SearchStatements(runner, verbs, extension, indexes, indexAbove),
  );
  return {
    ...database,
    open,
    records,
    nearest: (query, signal) => onSearch(signal, (search) => search.nearest(query)),
    nearestExactly: (query, signal) => onSearch(signal, (search) => search.nearestExactly(query)),
    countTerms: (space, terms, signal) => onSearch(signal, (search) => search.countTerms(space, terms)),
    scoreTerms: (query, signal) => onSearch(signal, (search) => search.scoreTerms(query)),
    vectorIndex: {
      async create(dimensions, signal) {
        const name = await onSearch(signal, (_, { runner }) => indexes.create(runner, dimensions, signal));
        await lookForExtension(signal); // it may be younger than this dialect
        return name;
      },
      drop: (dimensions, signal) => onSearch(signal, (_, { runner }) => indexes.drop(runner, dimensions)),
    },
  };
}
