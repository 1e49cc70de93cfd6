import type { CheckpointStorage } from "@waymark/core";
import { createStorage, resolveStorageOptions } from "@waymark/core/kit";
import { createCheckpointDialect } from "./checkpoints/dialect.ts";
import { shareConnection } from "./database.ts";
import {
  type MySQLDatabaseOptions,
  type MySQLPool,
  type MySQLStorageOptions,
  type MySQLTls,
  resolveOptions,
} from "./options.ts";

export * from "@waymark/core";
export type { MySQLDatabaseOptions, MySQLPool, MySQLStorageOptions, MySQLTls };
/** The name under which `openCheckpointStorage` finds the factory of every dialect's package. */
export { createMySQLStorage as createCheckpointStorage };

/**
 * Creates a storage that keeps checkpoints in MySQL or MariaDB. Synchronous: the database is connected to, and its schema migrated, at
 * first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createMySQLStorage<State = unknown>(options: MySQLStorageOptions<State>): CheckpointStorage<State> {
  const database = resolveOptions(options);
  const resolved = resolveStorageOptions(options);
  return createStorage(createCheckpointDialect(shareConnection(database).share(), database), resolved);
}
