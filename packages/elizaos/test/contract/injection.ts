import { describe, expect, it } from "vitest";
import { CheckpointError, type UUID } from "../../src/index.ts";
import { ELIZA_TABLES } from "../../src/tables.ts";
import { type Bench, expectRefusal, newId } from "./bench.ts";
import { argumentsOf, CALLS, placesOf, withPlace } from "./calls.ts";

/** Texts that break out of a quoted string, a pattern or a template, were they a part of a statement. */
const HOSTILE_TEXTS: readonly string[] = [
  "'",
  '"',
  "`",
  "\\",
  "\\'",
  "' OR '1'='1",
  "'; DROP TABLE eliza_memories; --",
  '"; DROP TABLE eliza_memories; --',
  "\\'; DELETE FROM eliza_agents; #",
  "'||(SELECT 1)||'",
  "/*! SELECT 1 */",
  "縗' OR 1=1 -- ",
  "%",
  "_",
  "?",
  "$1::text",
  ":name",
  "\n",
  "__proto__",
  "null",
  "0",
];

/** Texts that are none, but hold, begin or end as an id does. */
const NEARLY_IDS: readonly string[] = [
  "'",
  "' OR '1'='1",
  "'; DROP TABLE eliza_memories; --",
  "%",
  "00000000-0000-4000-8000-00000000000",
  "00000000-0000-4000-8000-0000000000000",
  "00000000-0000-4000-8000-000000000000\n",
  "00000000-0000-4000-8000-000000000000' OR '1'='1",
  "{00000000-0000-4000-8000-000000000000}",
  "00000000000040008000000000000000",
  "0000000g-0000-4000-8000-000000000000",
];

/** Places of ids that updates do not change, and do not read. */
const IGNORED_IDS = [
  ...["sourceEntityId", "targetEntityId", "agentId"].map((name) => `updateRelationship.0.${name}`),
  "updateTask.1.id",
  ...["entityId", "roomId", "worldId", "agentId"].map((name) => `updateMemory.0.${name}`),
];

/** Methods that store something of each kind, parents first. */
const CREATING = [
  ...["createAgent", "createWorld", "createEntities", "createRooms", "createComponent", "addParticipantsRoom"],
  ...["setParticipantUserState", "createRelationship", "createTask", "createMemory"],
];

/** Methods that change what {@link CREATING} has stored, and those that read it. */
const UPDATING = [
  ...[["updateAgent", "getAgent"] as const, ["updateWorld", "getWorld"] as const],
  ...[["updateEntity", "getEntitiesByIds"] as const, ["updateRoom", "getRoomsByIds"] as const],
  ...[["updateComponent", "getComponents"] as const, ["updateTask", "getTask"] as const],
  ["updateMemory", "getMemoryById"] as const,
];

/** Methods that remove what {@link CREATING} has stored, each from its table; parents last. */
const REMOVING = [
  ...[["deleteComponent", "eliza_components"] as const, ["removeParticipant", "eliza_participants"] as const],
  ...[["deleteTask", "eliza_tasks"] as const, ["deleteMemory", "eliza_memories"] as const],
  ...[["removeWorld", "eliza_worlds"] as const, ["deleteRoom", "eliza_rooms"] as const],
  ...[["deleteEntity", "eliza_entities"] as const, ["deleteAgent", "eliza_agents"] as const],
];

export function describeInjection(bench: Bench): void {
  describe("ids", () => {
    it("mean the same in upper case, wherever a method takes them", async () => {
      const id = newId();
      const upper = id.toUpperCase() as UUID;
      const adapter = bench.adapterOf(upper);
      const call = async (name: string, given: UUID, text = "text") => {
        const { make } = CALLS.find((one) => one.name === name) as (typeof CALLS)[0];
        return await make(adapter, given, text);
      };
      for (const name of CREATING) await call(name, upper);
      for (const type of ["text", "run_event"]) {
        await adapter.log({ body: { runId: id }, entityId: upper, roomId: upper, type });
      }
      const reading = CALLS.filter(({ name, takesId }) => takesId && /^(?:get|is|count|search)/.test(name));
      expect(reading.length).toBeGreaterThan(25);
      for (const { name, make } of reading) {
        const answer = await make(adapter, id, "text");
        expect(await make(adapter, upper, "text"), name).toEqual(answer);
        const isFound = answer === true || answer === 1 || answer === "MUTED" || JSON.stringify(answer).includes(id);
        expect(isFound, name).toBe(true);
      }
      for (const [update, read] of UPDATING) {
        await call(update, upper, "changed");
        expect(JSON.stringify(await call(read, id)), update).toContain("changed");
      }
      for (const [remove, table] of REMOVING) {
        expect(await bench.rowsOf(id), remove).toMatchObject({ [table]: 1 });
        await call(remove, upper);
        expect(await bench.rowsOf(id), remove).toMatchObject({ [table]: 0 });
      }
      expect(Object.values(await bench.rowsOf(id)).every((count) => count === 0)).toBe(true);
    });
  });

  describe("hostile text", () => {
    it("is refused in place of an id, wherever a method takes one", async () => {
      const { adapter } = await bench.newHome();
      const countAll = async () => await Promise.all(ELIZA_TABLES.map((table) => bench.count(table, {})));
      const before = await countAll();
      const id = newId();
      let places = 0;
      const ignored: string[] = [];
      for (const call of CALLS) {
        const given = argumentsOf(call, id, "text");
        for (const place of placesOf(given, id)) {
          places++;
          const where = [call.name, ...place].join(".");
          for (const text of NEARLY_IDS) {
            const method = adapter[call.name] as (...args: unknown[]) => Promise<unknown>;
            const outcome = await method(...(withPlace(given, place, text) as unknown[])).catch(
              (error: unknown) => error,
            );
            if (!(outcome instanceof CheckpointError)) ignored.push(where);
            else expect(outcome.code, `${where} ${text}`).toBe("INVALID_ARGUMENT");
          }
        }
      }
      expect(places).toBeGreaterThan(100);
      expect([...new Set(ignored)]).toEqual(IGNORED_IDS);
      for (const id of NEARLY_IDS) await adapter.log({ body: {}, entityId: id as UUID, roomId: id as UUID, type: "x" });
      await adapter.getLogs({ count: 1 });
      expect(adapter.getConnectionInfo().droppedLogs).toBe(NEARLY_IDS.length);
      expect(await countAll()).toEqual(before);
      for (const id of [undefined, null, 7, {}, ["00000000-0000-4000-8000-000000000000"]]) {
        await expectRefusal(adapter.getAgent(id as never), "INVALID_ARGUMENT", "agentId");
        await expectRefusal(adapter.deleteMemory(id as never), "INVALID_ARGUMENT", "memoryIds[0]");
        await expectRefusal(adapter.deleteRoomsByWorldId(id as never), "INVALID_ARGUMENT", "worldId");
      }
    });

    it("is an ordinary name of tables, entities, tasks, tags, types and keys", async () => {
      const { adapter, agentId, worldId, roomId, entityId } = await bench.newHome();
      const bystander = await bench.newHome();
      const named = new Map<string, UUID>();
      for (const text of HOSTILE_TEXTS) {
        const id = newId();
        named.set(text, id);
        const metadata = { [text]: text };
        await adapter.createEntities([{ id, agentId, names: [text], metadata }]);
        await adapter.createMemory(
          { id, entityId, roomId, content: metadata, metadata: metadata as never, embedding: [1, 2] },
          text,
        );
        await adapter.createTask({ id, name: text, description: text, worldId, tags: [text], metadata });
        const component = {
          id,
          entityId,
          agentId,
          roomId,
          worldId,
          sourceEntityId: entityId,
          type: text,
          data: metadata,
        };
        await adapter.createComponent({ ...component, createdAt: 0 });
        await adapter.createRelationship({ sourceEntityId: entityId, targetEntityId: id, tags: [text], metadata });
        await adapter.setCache(text, text);
        await adapter.log({ body: metadata, entityId, roomId, type: text });
      }
      for (const [text, id] of named) {
        const metadata = { [text]: text };
        const only = [{ id }];
        expect(await adapter.getEntitiesByNames({ names: [text], agentId })).toMatchObject([
          { id, names: [text], metadata },
        ]);
        const found = await adapter.searchEntitiesByName({ query: text, agentId, limit: 100 });
        const expected = [...named].filter(
          ([name]) => text.trim() === "" || name.toLowerCase().includes(text.toLowerCase()),
        );
        expect(found.filter((entity) => entity.id !== entityId).map((entity) => entity.id)).toEqual(
          expected.map(([, one]) => one),
        );
        expect(await adapter.getMemories({ tableName: text, roomId })).toMatchObject([
          { id, type: text, content: metadata, metadata },
        ]);
        expect(await adapter.getMemoriesByRoomIds({ tableName: text, roomIds: [roomId] })).toMatchObject(only);
        expect(await adapter.getMemoriesByWorldId({ tableName: text, worldId })).toMatchObject(only);
        expect(await adapter.searchMemories({ tableName: text, embedding: [1, 2], query: text })).toMatchObject(only);
        expect(await adapter.countMemories(roomId, true, text)).toBe(1);
        expect(await adapter.getTasksByName(text)).toMatchObject([
          { id, name: text, description: text, tags: [text], metadata },
        ]);
        expect(await adapter.getTasks({ tags: [text] })).toMatchObject(only);
        expect(await adapter.getComponent(entityId, text)).toMatchObject({ id, type: text, data: metadata });
        expect(await adapter.getRelationships({ entityId, tags: [text] })).toMatchObject([
          { targetEntityId: id, metadata },
        ]);
        expect(await adapter.getCache(text)).toBe(text);
        expect(await adapter.getLogs({ roomId, type: text })).toMatchObject([{ type: text, body: metadata }]);
        expect(await bystander.adapter.getTasksByName(text)).toEqual([]);
        expect(await bystander.adapter.getCache(text)).toBeUndefined();
      }
      for (const [text, id] of named) {
        await adapter.deleteAllMemories(roomId, text);
        expect(await adapter.getMemoryById(id)).toBeNull();
        await adapter.deleteCache(text);
        expect(await adapter.getCache(text)).toBeUndefined();
      }
      expect(await bystander.adapter.getAgent(bystander.agentId)).toMatchObject({ name: "Ada" });
      expect(await adapter.getEntitiesByIds([...named.values()])).toHaveLength(HOSTILE_TEXTS.length);
    });

    it("is an ordinary member of settings and of content, the names of prototypes too", async () => {
      const { adapter, agentId, roomId, entityId } = await bench.newHome();
      const hostile = JSON.parse(
        '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":2}',
      );
      await adapter.updateAgent(agentId, { settings: hostile });
      await adapter.updateAgent(agentId, { settings: JSON.parse('{"__proto__":{"more":2}}') });
      const settings = JSON.stringify((await adapter.getAgent(agentId))?.settings);
      expect(settings).toBe(
        '{"__proto__":{"polluted":1,"more":2},"constructor":{"prototype":{"polluted":1}},"toString":2}',
      );
      const id = await adapter.createMemory({ entityId, roomId, content: hostile, metadata: hostile }, "facts");
      expect(JSON.stringify((await adapter.getMemoryById(id))?.content)).toBe(JSON.stringify(hostile));
      expect(Reflect.get({}, "polluted")).toBeUndefined();
    });
  });
}
