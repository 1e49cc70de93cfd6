import type { UUID, WaymarkAdapter } from "../../src/index.ts";

type MethodName = Exclude<keyof WaymarkAdapter, "db">;

/** A call of a method, all of whose texts and ids are the same. */
export interface Call {
  readonly name: MethodName;
  /** Whether one of the arguments, or of their members, is an id. */
  readonly takesId: boolean;
  readonly make: (adapter: WaymarkAdapter, id: UUID, text: string) => Promise<unknown>;
}

const withId = (name: MethodName, make: Call["make"]): Call => ({ name, takesId: true, make });
const withoutId = (name: MethodName, make: Call["make"]): Call => ({ name, takesId: false, make });

const component = (id: UUID, text: string) => {
  const ids = { id, entityId: id, agentId: id, roomId: id, worldId: id, sourceEntityId: id };
  return { ...ids, type: text, data: { [text]: text }, createdAt: 0 };
};
const room = (id: UUID, text: string) => ({
  ...{ id, worldId: id, messageServerId: id, source: text, type: text, name: text, channelId: text },
  metadata: { [text]: text },
});
const memory = (id: UUID, text: string) => ({
  ...{
    id,
    entityId: id,
    roomId: id,
    worldId: id,
    agentId: id,
    content: { [text]: text },
    metadata: { [text]: text } as never,
  },
  embedding: [1, 2, 3],
});
const task = (id: UUID, text: string) => ({
  ...{ id, roomId: id, worldId: id, name: text, description: text, tags: [text], metadata: { [text]: text } },
});

/** Calls of every method that reads or writes rows of the adapter's own. None that reads says twice where to look. */
export const CALLS: readonly Call[] = [
  withId("getAgent", (adapter, id) => adapter.getAgent(id)),
  withId("createAgent", (adapter, id, text) => adapter.createAgent({ id, name: text, settings: { [text]: text } })),
  withId("updateAgent", (adapter, id, text) => adapter.updateAgent(id, { name: text, settings: { [text]: text } })),
  withId("deleteAgent", (adapter, id) => adapter.deleteAgent(id)),
  withoutId("getAgents", (adapter) => adapter.getAgents()),
  withoutId("countAgents", (adapter) => adapter.countAgents()),
  withoutId("cleanupAgents", (adapter) => adapter.cleanupAgents()),

  withId("createEntities", (adapter, id, text) =>
    adapter.createEntities([{ id, agentId: id, names: [text], metadata: { [text]: text } }]),
  ),
  withId("updateEntity", (adapter, id, text) =>
    adapter.updateEntity({ id, agentId: id, names: [text], metadata: { [text]: text } }),
  ),
  withId("deleteEntity", (adapter, id) => adapter.deleteEntity(id)),
  withId("getEntitiesByIds", (adapter, id) => adapter.getEntitiesByIds([id])),
  withId("getEntitiesForRoom", (adapter, id) => adapter.getEntitiesForRoom(id, true)),
  withId("getEntitiesByNames", (adapter, id, text) => adapter.getEntitiesByNames({ names: [text], agentId: id })),
  withId("searchEntitiesByName", (adapter, id, text) => adapter.searchEntitiesByName({ query: text, agentId: id })),

  withId("createComponent", (adapter, id, text) => adapter.createComponent(component(id, text))),
  withId("updateComponent", (adapter, id, text) => adapter.updateComponent(component(id, text))),
  withId("deleteComponent", (adapter, id) => adapter.deleteComponent(id)),
  withId("getComponent", (adapter, id, text) => adapter.getComponent(id, text, id, id)),
  withId("getComponents", (adapter, id) => adapter.getComponents(id, id, id)),

  withId("createWorld", (adapter, id, text) =>
    adapter.createWorld({ id, agentId: id, name: text, metadata: { [text]: text } }),
  ),
  withId("updateWorld", (adapter, id, text) => adapter.updateWorld({ id, agentId: id, name: text })),
  withId("getWorld", (adapter, id) => adapter.getWorld(id)),
  withId("removeWorld", (adapter, id) => adapter.removeWorld(id)),
  withoutId("getAllWorlds", (adapter) => adapter.getAllWorlds()),

  withId("createRooms", (adapter, id, text) => adapter.createRooms([room(id, text)])),
  withId("updateRoom", (adapter, id, text) => adapter.updateRoom(room(id, text))),
  withId("getRoomsByIds", (adapter, id) => adapter.getRoomsByIds([id])),
  withId("getRoomsByWorld", (adapter, id) => adapter.getRoomsByWorld(id)),
  withId("deleteRoom", (adapter, id) => adapter.deleteRoom(id)),
  withId("deleteRoomsByWorldId", (adapter, id) => adapter.deleteRoomsByWorldId(id)),

  withId("addParticipant", (adapter, id) => adapter.addParticipant(id, id)),
  withId("addParticipantsRoom", (adapter, id) => adapter.addParticipantsRoom([id], id)),
  withId("removeParticipant", (adapter, id) => adapter.removeParticipant(id, id)),
  withId("isRoomParticipant", (adapter, id) => adapter.isRoomParticipant(id, id)),
  withId("getParticipantsForEntity", (adapter, id) => adapter.getParticipantsForEntity(id)),
  withId("getParticipantsForRoom", (adapter, id) => adapter.getParticipantsForRoom(id)),
  withId("getRoomsForParticipant", (adapter, id) => adapter.getRoomsForParticipant(id)),
  withId("getRoomsForParticipants", (adapter, id) => adapter.getRoomsForParticipants([id])),
  withId("getParticipantUserState", (adapter, id) => adapter.getParticipantUserState(id, id)),
  withId("setParticipantUserState", (adapter, id) => adapter.setParticipantUserState(id, id, "MUTED")),

  withId("createRelationship", (adapter, id, text) =>
    adapter.createRelationship({ sourceEntityId: id, targetEntityId: id, tags: [text], metadata: { [text]: text } }),
  ),
  withId("updateRelationship", (adapter, id, text) =>
    adapter.updateRelationship({ id, sourceEntityId: id, targetEntityId: id, agentId: id, tags: [text], metadata: {} }),
  ),
  withId("getRelationship", (adapter, id) => adapter.getRelationship({ sourceEntityId: id, targetEntityId: id })),
  withId("getRelationships", (adapter, id, text) => adapter.getRelationships({ entityId: id, tags: [text] })),

  withId("createTask", (adapter, id, text) => adapter.createTask(task(id, text))),
  withId("updateTask", (adapter, id, text) => adapter.updateTask(id, task(id, text))),
  withId("getTask", (adapter, id) => adapter.getTask(id)),
  withId("getTasks", (adapter, id, text) => adapter.getTasks({ roomId: id, tags: [text] })),
  withId("deleteTask", (adapter, id) => adapter.deleteTask(id)),
  withoutId("getTasksByName", (adapter, _, text) => adapter.getTasksByName(text)),

  withoutId("setCache", (adapter, _, text) => adapter.setCache(text, { [text]: text })),
  withoutId("getCache", (adapter, _, text) => adapter.getCache(text)),
  withoutId("deleteCache", (adapter, _, text) => adapter.deleteCache(text)),

  withId("createMemory", (adapter, id, text) => adapter.createMemory(memory(id, text), text)),
  withId("updateMemory", (adapter, id, text) => adapter.updateMemory(memory(id, text))),
  withId("getMemoryById", (adapter, id) => adapter.getMemoryById(id)),
  withId("getMemories", (adapter, id, text) => adapter.getMemories({ tableName: text, roomId: id })),
  withId("getMemories", (adapter, id, text) => adapter.getMemories({ tableName: text, entityId: id })),
  withId("getMemories", (adapter, id, text) => adapter.getMemories({ tableName: text, agentId: id })),
  withId("getMemories", (adapter, id, text) => adapter.getMemories({ tableName: text, worldId: id })),
  withId("getMemoriesByIds", (adapter, id, text) => adapter.getMemoriesByIds([id], text)),
  withId("getMemoriesByRoomIds", (adapter, id, text) =>
    adapter.getMemoriesByRoomIds({ tableName: text, roomIds: [id] }),
  ),
  withId("getMemoriesByWorldId", (adapter, id, text) => adapter.getMemoriesByWorldId({ tableName: text, worldId: id })),
  withId("countMemories", (adapter, id, text) => adapter.countMemories(id, true, text)),
  withId("searchMemories", (adapter, id, text) =>
    adapter.searchMemories({ tableName: text, embedding: [1, 2, 3], query: text, roomId: id }),
  ),
  withId("searchMemoriesByEmbedding", (adapter, id, text) =>
    adapter.searchMemoriesByEmbedding([1, 2, 3], { tableName: text, entityId: id, worldId: id }),
  ),
  withoutId("getCachedEmbeddings", (adapter, _, text) =>
    adapter.getCachedEmbeddings({
      ...{ query_table_name: text, query_field_name: text, query_field_sub_name: text, query_input: text },
      ...{ query_threshold: 1, query_match_count: 1 },
    }),
  ),
  withId("deleteMemory", (adapter, id) => adapter.deleteMemory(id)),
  withId("deleteManyMemories", (adapter, id) => adapter.deleteManyMemories([id])),
  withId("deleteAllMemories", (adapter, id, text) => adapter.deleteAllMemories(id, text)),
  withoutId("memoriesWithoutVector", (adapter, _, text) =>
    adapter.memoriesWithoutVector({ tableName: text, dimension: 3 }),
  ),
  withoutId("vectorStats", (adapter) => adapter.vectorStats()),

  withId("getLogs", (adapter, id, text) => adapter.getLogs({ entityId: id, roomId: id, type: text })),
  withId("deleteLog", (adapter, id) => adapter.deleteLog(id)),
  withId("getAgentRunSummaries", (adapter, id) => adapter.getAgentRunSummaries({ roomId: id, entityId: id })),
  withId("transaction", (adapter, id, text) =>
    adapter.transaction(async (one) => {
      await one.createWorld({ id, agentId: id, name: text, metadata: { [text]: text } });
    }),
  ),
];

/** A place in the arguments of a call. */
export type Place = readonly (string | number)[];

/** Returns what a call gives to its method; `null`: a function, which cannot be changed. */
export function argumentsOf({ make }: Call, id: UUID, text: string): readonly unknown[] | null {
  let given: readonly unknown[] = [];
  const recorder = new Proxy({} as WaymarkAdapter, {
    get:
      () =>
      (...args: readonly unknown[]) => {
        given = args;
      },
  });
  void make(recorder, id, text);
  return given.some((one) => typeof one === "function") ? null : given;
}

/** Returns the places where a value has an id. */
export function placesOf(value: unknown, id: UUID): Place[] {
  if (value === id) return [[]];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => placesOf(member, id).map((place) => [name, ...place]));
}

/** Returns a copy of a value with another one in a place. */
export function withPlace(value: unknown, [name, ...rest]: Place, other: unknown): unknown {
  if (name === undefined) return other;
  const copy: unknown = Array.isArray(value) ? [...value] : { ...(value as object) };
  Reflect.set(copy as object, name, withPlace(Reflect.get(value as object, name), rest, other));
  return copy;
}
