import type { Call } from "../calls.ts";
import { AGENTS, vectorsOf } from "../material.ts";
import { ALONE_E, call, dice, E, EXAMPLES, NOBODY, OTHER_R, R, W } from "./ids.ts";

const [A] = AGENTS;

/** Calls with arguments that plugin-sql, or ours, does not take. */
export function refusedCalls(): Call[] {
  return [...leftOut(), ...refused(), ...texts(), ...capitals()];
}

/** What is left out, or empty. */
function leftOut(): Call[] {
  const component = { id: dice.uuid(), entityId: E, roomId: R, type: "t", data: {} };
  return [
    call(0, "createEntities", []),
    call(0, "addParticipantsRoom", [], R),
    call(0, "createRooms", []),
    call(0, "getEntitiesByNames", { names: [], agentId: A }),
    call(0, "updateWorld", { id: W }),
    call(0, "createEntities", [{ id: dice.uuid(), names: ["without an agent"] }]),
    call(0, "createWorld", { id: dice.uuid(), name: "without an agent" }),
    call(0, "createComponent", component),
    call(0, "deleteComponent", component.id),
    call(0, "setCache", "null", null),
    call(0, "getCache", "null"),
    call(0, "setCache", "undefined", undefined),
    call(0, "getCache", "undefined"),
  ];
}

/** What is not as it should be. */
function refused(): Call[] {
  const id = dice.uuid();
  return [
    call(0, "createEntities", [{ id: dice.uuid(), agentId: NOBODY, names: [] }]),
    call(0, "createRelationship", { sourceEntityId: E, targetEntityId: NOBODY }),
    call(0, "createRelationship", { sourceEntityId: "no id", targetEntityId: E }),
    call(0, "createMemory", { id, entityId: E, roomId: NOBODY, content: {} }, "facts"),
    call(0, "createMemory", { id, entityId: NOBODY, roomId: R, content: {} }, "facts"),
    call(0, "createMemory", { id, entityId: E, roomId: R, content: {}, metadata: { type: "fragment" } }, "facts"),
    call(0, "createMemory", { id, entityId: E, roomId: R, content: {}, metadata: { type: "document" } }, "facts"),
    call(0, "createMemory", { id, entityId: E, roomId: R, content: "no JSON" }, "facts"),
    call(0, "getMemoryById", id),
    call(0, "createMemory", { id, entityId: E, roomId: R, content: '{"text":"JSON"}', metadata: '{"a":1}' }, "facts"),
    call(0, "updateMemory", { id, metadata: { type: "fragment", documentId: NOBODY } }),
    call(0, "updateMemory", { id, content: "no JSON" }),
    call(0, "updateMemory", { id, content: "", metadata: { a: 2 } }),
    call(0, "updateMemory", { id: NOBODY, content: {} }),
    call(0, "updateMemory", { id: NOBODY, embedding: vectorsOf(384)[0] }),
    call(0, "getMemoryById", id),
    call(0, "getMemories", {}),
    call(0, "getMemories", { tableName: "facts", offset: -1 }),
    call(0, "countMemories", R),
    call(0, "getMemoryById", "no id"),
    call(0, "getMemories", { tableName: "facts", count: -1 }),
    call(0, "getLogs", { count: -1 }),
    call(0, "getMemoriesByRoomIds", { roomIds: [R] }),
    call(0, "deleteAllMemories", R),
    call(0, "searchMemories", { embedding: vectorsOf(384)[0] }),
    call(0, "deleteRoom", undefined),
    call(0, "createAgent", { id: dice.uuid(), bio: [] }),
    call(0, "updateAgent", A, { topics: null }),
    call(0, "createTask", { name: "t", tags: [] }),
    call(0, "createTask", { id, name: "", tags: [], worldId: W }),
    call(0, "deleteTask", id),
    call(0, "createMemory", { entityId: E, roomId: R, content: {} }, "t".repeat(256)),
    call(0, "addParticipant", ALONE_E, OTHER_R),
    call(0, "setParticipantUserState", OTHER_R, ALONE_E, "OTHER"),
  ];
}

/** Key in the cache of a text that is JSON. */
export const JSON_TEXT = "text that is JSON";

/** Texts that PostgreSQL has no place for, or its patterns another meaning. */
function texts(): Call[] {
  const withNul = dice.uuid();
  const key = Array.from({ length: 1_000 }, () => dice.uuid()).join("");
  return [
    call(0, "createMemory", { id: withNul, entityId: E, roomId: R, content: { text: "a\0b\ud800" } }, "facts"),
    call(0, "getMemoryById", withNul),
    call(0, "setCache", "nul", "\0"),
    call(0, "getCache", "nul"),
    call(0, "setCache", key, 1),
    call(0, "getCache", key),
    call(0, "setCache", "text", "5 apples"),
    call(0, "getCache", "text"),
    call(0, "setCache", JSON_TEXT, '{"a":1}'),
    call(0, "getCache", JSON_TEXT),
    call(0, "searchEntitiesByName", { query: "0%", agentId: A }),
    call(0, "searchEntitiesByName", { query: "n%", agentId: A }),
    call(0, "searchEntitiesByName", { query: "A_n", agentId: A }),
    call(0, "searchEntitiesByName", { query: "äö", agentId: A }),
    call(0, "getEntitiesByNames", { names: ["ÄÖ", "n"], agentId: A }),
  ];
}

function capitals(): Call[] {
  const [world, room, memory, task, entity] = dice.uuids(5).map((id) => id.toUpperCase()) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const metadata = { type: "fragment", documentId: memory, position: 0 };
  const fragment = { id: dice.uuid(), entityId: E, roomId: R, metadata };
  return [
    call(0, "createWorld", { id: world, agentId: A, name: "capitals" }),
    call(0, "createRooms", [{ id: room, source: "s", type: "DM", worldId: world }]),
    call(0, "createEntities", [{ id: entity, agentId: A, names: ["capitals"] }]),
    call(0, "createMemory", { id: memory, entityId: entity, roomId: room, content: {} }, "capitals"),
    call(0, "createTask", { id: task, name: "capitals", tags: [], worldId: world }),
    call(0, "getWorld", world),
    call(0, "getRoomsByWorld", world),
    call(0, "getEntitiesByIds", [entity, entity.toLowerCase()]),
    call(0, "getMemories", { roomId: room, tableName: "capitals" }),
    call(0, "createMemory", { ...fragment, content: { example: EXAMPLES.fragment } }, "capitals"),
    call(0, "deleteMemory", memory.toLowerCase()),
    call(0, "getMemoryById", memory),
    call(0, "getMemoryById", fragment.id),
  ];
}
