import { type CheckpointStorage, createStorage } from "@waymark/core";
import { createMySQLDialect } from "./checkpoints/dialect.ts";
import { type MySQLPool, type MySQLStorageOptions, type MySQLTls, resolveOptions } from "./options.ts";

export * from "@waymark/core";
export type { MySQLPool, MySQLStorageOptions, MySQLTls };
/** The name under which `openCheckpointStorage` finds every dialect package's factory. */
export { createMySQLStorage as createCheckpointStorage };

/**
 * Keeps checkpoints in MySQL or MariaDB. Returns at once: it connects, and makes its schema, at first use.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the option
 */
export function createMySQLStorage(options: MySQLStorageOptions): CheckpointStorage {
  const resolved = resolveOptions(options);
  return createStorage(createMySQLDialect(resolved), resolved);
}
