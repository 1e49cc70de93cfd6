import type { WaymarkAdapter } from "../../src/index.ts";

type MethodName = Exclude<keyof WaymarkAdapter, "db">;

/** Methods of `IDatabaseAdapter` in `@elizaos/core` 1.7.2: all 73. */
const OF_INTERFACE = [
  ...(["initialize", "init", "runPluginMigrations", "runMigrations", "isReady", "close", "getConnection"] as const),
  "withEntityContext",
  ...(["getAgent", "getAgents", "createAgent", "updateAgent", "deleteAgent", "ensureEmbeddingDimension"] as const),
  ...(["getEntitiesByIds", "getEntitiesForRoom", "createEntities", "updateEntity"] as const),
  ...(["getComponent", "getComponents", "createComponent", "updateComponent", "deleteComponent"] as const),
  ...(["getMemories", "getMemoryById", "getMemoriesByIds", "getMemoriesByRoomIds", "getMemoriesByWorldId"] as const),
  ...(["getCachedEmbeddings", "searchMemories", "createMemory", "updateMemory", "countMemories"] as const),
  ...(["deleteMemory", "deleteManyMemories", "deleteAllMemories"] as const),
  ...(["log", "getLogs", "deleteLog", "getAgentRunSummaries"] as const),
  ...(["createWorld", "getWorld", "removeWorld", "getAllWorlds", "updateWorld"] as const),
  ...(["getRoomsByIds", "createRooms", "deleteRoom", "deleteRoomsByWorldId", "updateRoom"] as const),
  ...(["getRoomsForParticipant", "getRoomsForParticipants", "getRoomsByWorld"] as const),
  ...(["addParticipantsRoom", "removeParticipant", "getParticipantsForEntity", "getParticipantsForRoom"] as const),
  ...(["isRoomParticipant", "getParticipantUserState", "setParticipantUserState"] as const),
  ...(["createRelationship", "updateRelationship", "getRelationship", "getRelationships"] as const),
  ...(["getCache", "setCache", "deleteCache"] as const),
  ...(["createTask", "getTasks", "getTask", "getTasksByName", "updateTask", "deleteTask"] as const),
] as const satisfies readonly MethodName[];

/** Methods that other plugins call on plugin-sql's adapter too, and those of our own. */
const OTHERS = [
  ...(["addParticipant", "deleteEntity", "getEntitiesByNames", "searchEntitiesByName"] as const),
  ...(["searchMemoriesByEmbedding", "countAgents", "cleanupAgents", "getDatabase"] as const),
  ...(["isConnected", "getConnectionInfo", "transaction", "memoriesWithoutVector", "vectorStats"] as const),
] as const satisfies readonly MethodName[];

/** Every method of an adapter. */
export const METHODS: readonly MethodName[] = [...OF_INTERFACE, ...OTHERS];
