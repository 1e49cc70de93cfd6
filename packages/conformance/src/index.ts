export { describeCheckpointStorage } from "./storage/suite.ts";
export type {
  ConformanceStore,
  ConformanceTarget,
  ModelOptions,
  Remote,
  RowDamage,
  StoredRow,
} from "./storage/target.ts";
