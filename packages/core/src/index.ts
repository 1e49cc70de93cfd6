/** `@waymark/core`: for users. What authors of backends and adapters need is in `kit.ts`. */
export {
  type AgentGroupOptions,
  type AgentGroupState,
  type ApplicationState,
  type GroupedCheckpoint,
  groupAgents,
} from "./agent/agent-group.ts";
export { closeOnExit } from "./agent/close-on-exit.ts";
export type { AgentCheckpoint, AutoCheckpoint, AutoCheckpointOptions, CheckpointedAgent } from "./agent/contract.ts";
export { CheckpointService } from "./agent/service.ts";
export {
  type CheckpointConfig,
  defineConfig,
  type ProviderConfig,
  type ProvidersConfig,
  type ProviderTypes,
  type WaymarkConfig,
} from "./config/define.ts";
export type { Environment } from "./config/environment.ts";
export { type ConfiguredStorage, type OpenOptions, openCheckpointStorage } from "./config/open.ts";
export { createRegistry, type MemoryFactory, type Registry, type StorageFactory } from "./config/registry.ts";
export * from "./contract/checkpoints.ts";
export { CheckpointError, type CheckpointErrorCode } from "./contract/errors.ts";
export * from "./contract/options.ts";
export type { StandardSchema, StateParser } from "./contract/state-parser.ts";
export * from "./contract/status.ts";
export { newCheckpointId } from "./database/ids.ts";
export { type CountKeysOptions, countEncryptionKeys, type KeyCount, type KeyCounts } from "./encryption/count-keys.ts";
export { type ReencryptOptions, type ReencryptResult, reencryptCheckpoints } from "./encryption/reencrypt.ts";
export { endReplication } from "./replication/end.ts";
export type { ReplicationOptions } from "./replication/options.ts";
export { createReplicatedStorage, type ReplicatedStorage } from "./replication/storage.ts";
export type { RetentionOptions } from "./retention/options.ts";
export { type RetentionRunner, startRetention } from "./retention/runner.ts";
