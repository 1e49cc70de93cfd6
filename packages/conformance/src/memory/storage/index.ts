export { describeMemoryServerKills, type MemoryServerTarget } from "./server-kills.ts";
export { describeMemory } from "./suite.ts";
export type { MemoryPart, MemoryStorageTarget, MemoryStore, RemoteMemory } from "./target.ts";
