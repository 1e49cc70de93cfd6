import { integer } from "@waymark/core/kit";
import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, MEMORY_OPTIONS, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { shareConnection } from "../database.ts";
import { type PostgresDatabaseOptions, resolveOptions } from "../options.ts";
import { createMemoryDialect } from "./dialect.ts";

export * from "@waymark/core/memory";
/** The name under which `openMemoryStorage` finds the factory of every dialect's package. */
export { createPostgresMemory as createMemoryStorage };

export interface PostgresMemoryOptions extends PostgresDatabaseOptions, CommonMemoryOptions {
  /**
   * Number of items of a collection above which a search may use an index of vectors, if one was created for vectors of its dimensions.
   * Smaller collections are read faster without it. Default 50,000.
   */
  readonly indexAbove?: number | undefined;
}

/**
 * Creates a memory in PostgreSQL. Synchronous: the database is connected to, and the schema of memory migrated, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createPostgresMemory(options: PostgresMemoryOptions): MemoryStorage {
  const database = resolveOptions(options, [...MEMORY_OPTIONS, "indexAbove"]);
  const resolved = resolveMemoryOptions(options);
  const { indexAbove = 50_000 } = options;
  integer("options.indexAbove", indexAbove, 0, Number.MAX_SAFE_INTEGER, "items");
  const dialect = createMemoryDialect(shareConnection(database).share(), database, indexAbove);
  return createMemoryStorage(dialect, resolved);
}
