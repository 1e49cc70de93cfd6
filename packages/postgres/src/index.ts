import { type CheckpointStorage, createStorage } from "@waymark/core";
import { createPostgresDialect } from "./checkpoints/dialect.ts";
import { type PostgresClient, type PostgresStorageOptions, type PostgresTls, resolveOptions } from "./options.ts";

export * from "@waymark/core";
export type { PostgresClient, PostgresStorageOptions, PostgresTls };
/** The name under which `openCheckpointStorage` finds every dialect package's factory. */
export { createPostgresStorage as createCheckpointStorage };

/**
 * Keeps checkpoints in PostgreSQL. Returns at once: it connects, and makes its schema, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createPostgresStorage(options: PostgresStorageOptions): CheckpointStorage {
  const resolved = resolveOptions(options);
  return createStorage(createPostgresDialect(resolved), resolved);
}
