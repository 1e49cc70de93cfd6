export { describeMemoryServerKills, type MemoryServerTarget } from "./server-kills.ts";
export { describeMemory } from "./suite.ts";
export type { MemoryStorageTarget, MemoryStore, RemoteMemory } from "./target.ts";
