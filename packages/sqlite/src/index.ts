import { type CheckpointStorage, createStorage } from "@waymark/core";
import { createSQLiteDialect } from "./checkpoints/dialect.ts";
import { resolveOptions, type SQLiteDatabase, type SQLiteStorageOptions } from "./options.ts";

export * from "@waymark/core";
export type { SQLiteDatabase, SQLiteStorageOptions };
/** The name under which `openCheckpointStorage` finds every dialect package's factory. */
export { createSQLiteStorage as createCheckpointStorage };

/**
 * Keeps checkpoints in an SQLite file. Returns at once: the file is opened, and its schema made, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createSQLiteStorage(options: SQLiteStorageOptions): CheckpointStorage {
  const resolved = resolveOptions(options);
  return createStorage(createSQLiteDialect(resolved), resolved);
}
