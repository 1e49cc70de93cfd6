import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, MEMORY_OPTIONS, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { shareConnection } from "../database.ts";
import { type MySQLDatabaseOptions, resolveOptions } from "../options.ts";
import { createMemoryDialect } from "./dialect.ts";

export * from "@waymark/core/memory";
/** The name under which `openMemoryStorage` finds the factory of every dialect's package. */
export { createMySQLMemory as createMemoryStorage };

export interface MySQLMemoryOptions extends MySQLDatabaseOptions, CommonMemoryOptions {}

/**
 * Creates a memory in MySQL or MariaDB. Synchronous: the database is connected to, and the schema of memory migrated, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createMySQLMemory(options: MySQLMemoryOptions): MemoryStorage {
  const database = resolveOptions(options, MEMORY_OPTIONS);
  const resolved = resolveMemoryOptions(options);
  return createMemoryStorage(createMemoryDialect(shareConnection(database).share(), database), resolved);
}
