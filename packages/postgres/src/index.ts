import type { CheckpointStorage } from "@waymark/core";
import { createStorage, resolveStorageOptions } from "@waymark/core/kit";
import { createCheckpointDialect } from "./checkpoints/dialect.ts";
import { shareConnection } from "./database.ts";
import {
  type PgliteDatabase,
  type PostgresClient,
  type PostgresDatabaseOptions,
  type PostgresStorageOptions,
  type PostgresTls,
  resolveOptions,
} from "./options.ts";

export * from "@waymark/core";
export type { PgliteDatabase, PostgresClient, PostgresDatabaseOptions, PostgresStorageOptions, PostgresTls };
/** The name under which `openCheckpointStorage` finds the factory of every dialect's package. */
export { createPostgresStorage as createCheckpointStorage };

/**
 * Creates a storage that keeps checkpoints in PostgreSQL. Synchronous: the database is connected to, and its schema migrated, at
 * first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createPostgresStorage<State = unknown>(
  options: PostgresStorageOptions<State>,
): CheckpointStorage<State> {
  const database = resolveOptions(options);
  const resolved = resolveStorageOptions(options);
  return createStorage(createCheckpointDialect(shareConnection(database).share(), database), resolved);
}
