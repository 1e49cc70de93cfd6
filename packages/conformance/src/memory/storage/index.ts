export { describeMemoryServerKills, type MemoryServerTarget } from "./server-kills.ts";
export {
  describeMemoryMigrations,
  type MemoryLimitedUser,
  type MemoryMigrationOptions,
  type MemoryMigrationTarget,
} from "./server-migrations.ts";
export { describeMemory } from "./suite.ts";
export type { MemoryPart, MemoryStorageTarget, MemoryStore, RemoteMemory } from "./target.ts";
