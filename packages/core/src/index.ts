export { closeOnExit } from "./agent/close-on-exit.ts";
export {
  type AgentCheckpoint,
  type AutoCheckpoint,
  type AutoCheckpointOptions,
  type CheckpointedAgent,
  CheckpointService,
} from "./agent/service.ts";
export type {
  Change,
  Dialect,
  Fault,
  Opened,
  Rewrite,
  Row,
  RowHead,
  RowQuery,
  RowStats,
} from "./checkpoints/dialect.ts";
export { newCheckpointId } from "./checkpoints/ids.ts";
export { createStorage } from "./checkpoints/storage.ts";
export {
  type CheckpointConfig,
  defineConfig,
  type ProviderConfig,
  type ProvidersConfig,
  type ProviderTypes,
  type WaymarkConfig,
} from "./config/define.ts";
export { type ConfiguredStorage, type Environment, type OpenOptions, openCheckpointStorage } from "./config/open.ts";
export { createRegistry, type Registry, type StorageFactory } from "./config/registry.ts";
export * from "./contract/checkpoints.ts";
export { CheckpointError, type CheckpointErrorCode } from "./contract/errors.ts";
export { type ReencryptOptions, type ReencryptResult, reencryptCheckpoints } from "./encryption/reencrypt.ts";
export type { ReplicationOptions } from "./replication/options.ts";
export { createReplicatedStorage, type ReplicatedStorage } from "./replication/storage.ts";
