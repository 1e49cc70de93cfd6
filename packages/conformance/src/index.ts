export { describeCheckpointStorage } from "./suite.ts";
export type { ConformanceStore, ConformanceTarget, Remote, RowDamage, StoredRow } from "./target.ts";
