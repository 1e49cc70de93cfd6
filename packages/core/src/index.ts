export {
  type CheckpointConfig,
  defineConfig,
  type ProviderConfig,
  type ProvidersConfig,
  type WaymarkConfig,
} from "./config.ts";
export * from "./contract.ts";
export type { Change, Dialect, Fault, Opened, Rewrite, Row, RowHead, RowQuery, RowStats } from "./dialect.ts";
export { CheckpointError, type CheckpointErrorCode } from "./errors.ts";
export { type ConfiguredStorage, type Environment, type OpenOptions, openCheckpointStorage } from "./open.ts";
export { createRegistry, type Registry, type StorageFactory } from "./registry.ts";
export { createStorage } from "./storage.ts";
