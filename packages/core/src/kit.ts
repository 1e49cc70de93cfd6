/** `@waymark/core/kit`: for authors of backends and of adapters, beside the contract. */
export {
  checkAgentId,
  checkChannel,
  checkIfLatestIsGiven,
  checkNamespace,
  checkTaskId,
  checkTaskPath,
  MAX_WRITES,
} from "./checkpoints/arguments.ts";
export * from "./checkpoints/dialect.ts";
export { PAGE, slices } from "./checkpoints/paging.ts";
export { dropRepeated } from "./checkpoints/task-writes.ts";
export { checkMetadata } from "./codec/metadata.ts";
export {
  boolean,
  checkText,
  type Given,
  identifier,
  integer,
  isPlain,
  type ObjectWithKeys,
  objectWithKeys,
  oneOf,
  refuseUndefined,
  string,
} from "./contract/checks.ts";
export {
  type CheckpointErrorCode,
  factsOf,
  formatPath,
  invalidArgument,
  invalidWord,
  keepWords,
  property,
  quoted,
  rootCause,
  withoutValues,
} from "./contract/errors.ts";
export {
  createStorage,
  type ResolvedStorageOptions,
  resolveStorageOptions,
  STORAGE_OPTIONS,
} from "./create-storage.ts";
export { checkCallOptions, checkProgressOptions } from "./database/arguments.ts";
export type { Database, Opened } from "./database/database.ts";
export { unref } from "./database/deadline.ts";
export { giveTurn } from "./database/event-loop.ts";
export type { Fault } from "./database/faults.ts";
export { forward, forwardThrough } from "./database/forward.ts";
export { LruCache } from "./database/lru-cache.ts";
export * from "./database/migrations.ts";
export { Once, Shared, type SharedUse } from "./database/once.ts";
export {
  DATABASE_OPTIONS,
  defaultPoolSize,
  type ResolvedDatabaseOptions,
  resolveDatabaseOptions,
  timeout,
} from "./database/options.ts";
export {
  checkTlsOptions,
  newTlsSettings,
  planTls,
  TLS_RULES,
  type TlsMode,
  type TlsPlan,
  type TlsSettings,
  tlsFileRule,
  tlsModeRule,
} from "./database/tls.ts";
export {
  applyUrlParameters,
  type DatabaseUrl,
  invalidParameter,
  locationOf,
  oneOfWords,
  parseDatabaseUrl,
  poolSizeRule,
  type ServerAddress,
  type UrlParameter,
  type UrlRule,
  type UrlRules,
  wholeNumber,
} from "./database/url.ts";
export { warnOnce } from "./database/warnings.ts";
export * from "./records/drizzle.ts";
export * from "./records/guards.ts";
export { NearestSignatures } from "./records/nearest-signatures.ts";
export * from "./records/records.ts";
export * from "./records/shape.ts";
export { slicesOfBytes } from "./records/slices.ts";
export * from "./records/statements.ts";
export * from "./records/tables.ts";
export { floatsOf, littleEndian } from "./records/vectors.ts";
