export { describeMemoryDialect } from "./memory-dialect.ts";
export { describeRecords } from "./records.ts";
export { newItem, newSignature, newSpace, newTerm, newThread, newVector } from "./rows.ts";
export { describeMemoryServerKills, type MemoryServerTarget } from "./server-kills.ts";
export * from "./storage/index.ts";
export type { MemoryClientOptions, MemoryDatabase, MemoryTarget } from "./target.ts";
