import type { CheckpointStorage } from "@waymark/core";
import { createStorage, resolveStorageOptions } from "@waymark/core/kit";
import { createCheckpointDialect } from "./checkpoints/dialect.ts";
import { shareConnection } from "./database.ts";
import {
  resolveOptions,
  type SQLiteDatabase,
  type SQLiteDatabaseOptions,
  type SQLiteDriver,
  type SQLiteStorageOptions,
} from "./options.ts";

export * from "@waymark/core";
export type { SQLiteDatabase, SQLiteDatabaseOptions, SQLiteDriver, SQLiteStorageOptions };
/** The name under which `openCheckpointStorage` finds the factory of every dialect's package. */
export { createSQLiteStorage as createCheckpointStorage };

/**
 * Creates a storage that keeps checkpoints in an SQLite file. Synchronous: the file is opened, and its schema migrated, at
 * first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createSQLiteStorage<State = unknown>(options: SQLiteStorageOptions<State>): CheckpointStorage<State> {
  const database = resolveOptions(options);
  const resolved = resolveStorageOptions(options);
  return createStorage(createCheckpointDialect(shareConnection(database).share(), database), resolved);
}
