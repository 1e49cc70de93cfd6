export { describeMemoryDialect } from "./memory-dialect.ts";
export { describeRecords } from "./records.ts";
export { newItem, newSignature, newSpace, newTerm, newThread, newVector } from "./rows.ts";
export * from "./storage/index.ts";
export type { MemoryClientOptions, MemoryDatabase, MemoryTarget } from "./target.ts";
