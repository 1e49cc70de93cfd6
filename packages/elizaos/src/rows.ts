import { forward } from "@waymark/core/records";
import type { Database } from "./database.ts";
import { Agents } from "./repositories/agents.ts";
import { Cache } from "./repositories/cache.ts";
import { Components } from "./repositories/components.ts";
import { Entities } from "./repositories/entities.ts";
import type { Memories } from "./repositories/memories.ts";
import { Participants } from "./repositories/participants.ts";
import { Relationships } from "./repositories/relationships.ts";
import { Rooms } from "./repositories/rooms.ts";
import { Tasks } from "./repositories/tasks.ts";
import { Worlds } from "./repositories/worlds.ts";

type Methods<Class> = Pick<Class, keyof Class>;

/** The methods of an adapter that read and write rows, without logs. */
export interface Rows
  extends Methods<Agents>,
    Methods<Entities>,
    Methods<Components>,
    Methods<Worlds>,
    Methods<Rooms>,
    Methods<Participants>,
    Methods<Relationships>,
    Methods<Tasks>,
    Methods<Cache>,
    Omit<Methods<Memories>, "within"> {}

/** Puts the methods of all repositories on a database into one object. */
export function rowsOf(database: Database, memories: Memories): Rows {
  return {
    ...forward(new Agents(database), [
      ...(["getAgent", "getAgents", "createAgent", "updateAgent", "deleteAgent"] as const),
      ...(["countAgents", "cleanupAgents"] as const),
    ]),
    ...forward(new Entities(database), [
      ...(["getEntitiesByIds", "getEntitiesForRoom", "getEntitiesByNames", "searchEntitiesByName"] as const),
      ...(["createEntities", "updateEntity", "deleteEntity"] as const),
    ]),
    ...forward(new Components(database), [
      ...(["getComponent", "getComponents", "createComponent", "updateComponent", "deleteComponent"] as const),
    ]),
    ...forward(new Worlds(database), ["createWorld", "getWorld", "getAllWorlds", "updateWorld", "removeWorld"]),
    ...forward(new Rooms(database), [
      ...(["getRoomsByIds", "getRoomsByWorld", "createRooms", "updateRoom"] as const),
      ...(["deleteRoom", "deleteRoomsByWorldId"] as const),
    ]),
    ...forward(new Participants(database), [
      ...(["getRoomsForParticipant", "getRoomsForParticipants", "getParticipantsForEntity"] as const),
      ...(["getParticipantsForRoom", "isRoomParticipant", "getParticipantUserState"] as const),
      ...(["addParticipant", "addParticipantsRoom", "removeParticipant", "setParticipantUserState"] as const),
    ]),
    ...forward(new Relationships(database), [
      ...(["createRelationship", "updateRelationship", "getRelationship", "getRelationships"] as const),
    ]),
    ...forward(new Tasks(database), [
      ...(["createTask", "getTasks", "getTasksByName", "getTask", "updateTask", "deleteTask"] as const),
    ]),
    ...forward(new Cache(database), ["getCache", "setCache", "deleteCache"]),
    ...forward(memories, [
      ...([
        "getMemories",
        "getMemoryById",
        "getMemoriesByIds",
        "getMemoriesByRoomIds",
        "getMemoriesByWorldId",
      ] as const),
      ...(["countMemories", "searchMemories", "searchMemoriesByEmbedding", "getCachedEmbeddings"] as const),
      ...(["createMemory", "updateMemory", "deleteMemory", "deleteManyMemories", "deleteAllMemories"] as const),
      ...(["ensureEmbeddingDimension", "memoriesWithoutVector", "vectorStats"] as const),
    ]),
  };
}
