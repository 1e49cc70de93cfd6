import { boolean } from "@waymark/core/kit";
import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, MEMORY_OPTIONS, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { shareConnection } from "../database.ts";
import { resolveOptions, type SQLiteDatabaseOptions } from "../options.ts";
import { createMemoryDialect } from "./dialect.ts";

export * from "@waymark/core/memory";
/** The name under which `openMemoryStorage` finds the factory of every dialect's package. */
export { createSQLiteMemory as createMemoryStorage };

export interface SQLiteMemoryOptions extends SQLiteDatabaseOptions, CommonMemoryOptions {
  /**
   * Use the functions of sqlite-vec, which compare vectors faster, if that package is installed. Default `true`. A database of your own
   * has them if you have loaded them.
   */
  readonly vectorFunctions?: boolean | undefined;
}

/**
 * Creates a memory in an SQLite file. Synchronous: the file is opened, and the schema of memory migrated, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createSQLiteMemory(options: SQLiteMemoryOptions): MemoryStorage {
  const database = resolveOptions(options, [...MEMORY_OPTIONS, "vectorFunctions"]);
  const resolved = resolveMemoryOptions(options);
  const { vectorFunctions = true } = options;
  boolean("options.vectorFunctions", vectorFunctions);
  const dialect = createMemoryDialect(shareConnection(database).share(), database, vectorFunctions);
  return createMemoryStorage(dialect, resolved);
}
