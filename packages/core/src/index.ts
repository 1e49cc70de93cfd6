export { closeOnExit } from "./close-on-exit.ts";
export {
  type CheckpointConfig,
  defineConfig,
  type ProviderConfig,
  type ProvidersConfig,
  type ProviderTypes,
  type WaymarkConfig,
} from "./config.ts";
export * from "./contract.ts";
export type { Change, Dialect, Fault, Opened, Rewrite, Row, RowHead, RowQuery, RowStats } from "./dialect.ts";
export { CheckpointError, type CheckpointErrorCode } from "./errors.ts";
export { newCheckpointId } from "./ids.ts";
export { type ConfiguredStorage, type Environment, type OpenOptions, openCheckpointStorage } from "./open.ts";
export { createRegistry, type Registry, type StorageFactory } from "./registry.ts";
export type { ReplicationOptions } from "./replication/policy.ts";
export { createReplicatedStorage, type ReplicatedStorage } from "./replication/replicated-storage.ts";
export { type ReencryptOptions, type ReencryptResult, reencryptCheckpoints } from "./sealing/reencrypt.ts";
export {
  type AgentCheckpoint,
  type AutoCheckpoint,
  type AutoCheckpointOptions,
  type CheckpointedAgent,
  CheckpointService,
} from "./service.ts";
export { createStorage } from "./storage.ts";
