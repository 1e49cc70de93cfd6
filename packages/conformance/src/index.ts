export { describeCheckpointStorage } from "./suite.ts";
export type { ConformanceStore, ConformanceTarget, ModelOptions, Remote, RowDamage, StoredRow } from "./target.ts";
