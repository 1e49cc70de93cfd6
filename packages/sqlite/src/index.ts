import type { CheckpointStorage } from "@waymark/core";
import { createStorage } from "@waymark/core/kit";
import { createCheckpointDialect } from "./checkpoints/dialect.ts";
import { shareConnection } from "./database.ts";
import { resolveOptions, type SQLiteDatabase, type SQLiteDriver, type SQLiteStorageOptions } from "./options.ts";

export * from "@waymark/core";
export type { SQLiteDatabase, SQLiteDriver, SQLiteStorageOptions };
/** The name under which `openCheckpointStorage` finds the factory of every dialect's package. */
export { createSQLiteStorage as createCheckpointStorage };

/**
 * Creates a storage that keeps checkpoints in an SQLite file. Synchronous: the file is opened, and its schema migrated, at
 * first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createSQLiteStorage<State = unknown>(options: SQLiteStorageOptions<State>): CheckpointStorage<State> {
  const resolved = resolveOptions(options);
  return createStorage(createCheckpointDialect(shareConnection(resolved).share(), resolved), resolved);
}
