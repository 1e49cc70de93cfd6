export {
  type DomainDatabase,
  type DomainTarget,
  describeDomains,
  type SharedDomains,
} from "./dialect/domains.ts";
export { newRow, newTombstone, newWrite } from "./dialect/rows.ts";
export { describeSchema, type SchemaDatabase, type SchemaOptions, type SchemaTarget } from "./dialect/schema.ts";
export { describeDialect } from "./dialect/suite.ts";
export type { DialectDatabase, DialectTarget, DialectTransaction } from "./dialect/target.ts";
export { describeServerEncryption, type EncryptionTarget } from "./server/encryption.ts";
export { describeErasure, type ErasureTarget } from "./server/erasure.ts";
export { describeServerFaults, type FaultTarget } from "./server/faults.ts";
export { describeListPlans, type ListPlanTarget, PLAN_ROWS, planId } from "./server/list-plans.ts";
export {
  describeServerMigrations,
  type LimitedUser,
  type MigrationTarget,
  openInProcesses,
} from "./server/migrations.ts";
export { type Exit, type NodeProcess, startNode } from "./server/node.ts";
export { callEveryMethod, describePool, type PoolTarget, storeFifty } from "./server/pool.ts";
export { rejection } from "./server/rejection.ts";
export { describeSecrets, describeSecretsOfUrls, type SecretTarget } from "./server/secrets.ts";
export { describeSilentServer } from "./server/silent-server.ts";
export type {
  OwnServer,
  ServerDatabase,
  ServerProxy,
  ServerStorageOptions,
  ServerTarget,
} from "./server/target.ts";
export { untilDone } from "./server/until-done.ts";
export { describeWriters } from "./server/writers.ts";
export { OPENERS, sampled } from "./storage/scale.ts";
export { describeCheckpointStorage } from "./storage/suite.ts";
export type {
  ConformancePart,
  ConformanceStore,
  ConformanceTarget,
  ModelOptions,
  Remote,
  RowDamage,
  StoredRow,
} from "./storage/target.ts";
