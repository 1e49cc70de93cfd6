import { describe, expect, it } from "vitest";
import { type Memory, waymark } from "../../src/index.ts";
import { MEMORIES } from "../../src/tables.ts";
import { type Bench, expectRefusal, type Home, newEntity, newId, newRoom, ODD_TEXT } from "./bench.ts";
import { query } from "./raw-rows.ts";
import { Recording } from "./recording.ts";
import { atAngle, rounded } from "./vectors.ts";

/** A memory of a home's entity, in its room. */
export function memoryOf(
  { entityId, roomId }: Home,
  members: Partial<Memory> = {},
): Memory & { id: NonNullable<Memory["id"]> } {
  return { id: newId(), entityId, roomId, content: { text: "hello" }, ...members };
}

/** Stores memories one after the other, the oldest first, a second apart. */
export async function addMemories(
  home: Home,
  table: string,
  members: readonly Partial<Memory>[],
): Promise<(Memory & { id: NonNullable<Memory["id"]> })[]> {
  const memories = members.map((one, at) => memoryOf(home, { createdAt: (at + 1) * 1_000, ...one }));
  for (const memory of memories) await home.adapter.createMemory(memory, table);
  return memories;
}

const idsOf = (memories: readonly Memory[]) => memories.map(({ id }) => id);

export function describeMemories(bench: Bench): void {
  describe("memories", () => {
    it("come back as they are stored", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, worldId } = home;
      const memory = memoryOf(home, {
        ...{ worldId, createdAt: 1_234_567_890_123, embedding: atAngle(30), unique: false },
        content: { text: "hi", attachments: [{ url: "u" }], n: 1.5, deep: { nothing: null, yes: true } },
        metadata: { type: "custom", tags: ["a"] },
      });
      expect(await adapter.createMemory(memory, "messages")).toBe(memory.id);
      const { worldId: _, ...returned } = { ...memory, agentId, embedding: rounded(atAngle(30)) };
      expect(await adapter.getMemoryById(memory.id)).toEqual(returned);
      expect(await adapter.getMemoriesByIds([memory.id])).toEqual([returned]);
      expect(await adapter.getMemories({ tableName: "messages", agentId })).toEqual([
        { ...returned, type: "messages" },
      ]);
    });

    it("are rows that anybody can read", async () => {
      const home = await bench.newHome();
      const memory = memoryOf(home, {
        createdAt: 1_111_111_111_111,
        content: { text: 'a "b"' },
        embedding: atAngle(9, 7),
      });
      await home.adapter.createMemory(memory, "messages");
      const isPostgres = home.adapter.getConnectionInfo().dialect === "postgres";
      const columns = `${isPostgres ? "id" : "lower(hex(id))"} as id, type, content, metadata, created_at, is_unique, dimensions`;
      const [row] = await query(
        home.adapter,
        bench.options,
        `select ${columns} from eliza_memories where created_at = 1111111111111`,
      );
      expect(String(row?.["id"]).replaceAll("-", "")).toBe(memory.id.replaceAll("-", ""));
      expect([row?.["type"], row?.["metadata"]].map(String)).toEqual(["messages", "{}"]);
      expect(["created_at", "is_unique", "dimensions"].map((name) => Number(row?.[name]))).toEqual([
        1_111_111_111_111, 1, 7,
      ]);
      expect(JSON.parse(String(row?.["content"]))).toEqual(memory.content);
    });

    it("get an id, and the time, where none is given", async () => {
      const home = await bench.newHome();
      const before = Date.now();
      const { id: _, ...given } = memoryOf(home, { createdAt: 0 });
      const id = await home.adapter.createMemory(given, "messages");
      const memory = await home.adapter.getMemoryById(id);
      expect(memory).toMatchObject({ id, unique: true, metadata: {}, content: { text: "hello" } });
      expect(memory?.embedding).toBeUndefined();
      expect(memory?.createdAt).toBeGreaterThanOrEqual(before);
      expect(await home.adapter.getMemoryById(newId())).toBeNull();
    });

    it("are what they were when the call was made, and are not changed by it", async () => {
      const home = await bench.newHome();
      const adapter = waymark.adapter(bench.options, home.agentId);
      const memory = memoryOf(home, { embedding: atAngle(0), metadata: { a: 1 } });
      const copy = structuredClone(memory);
      const creating = adapter.createMemory(memory, "messages");
      expect(memory).toEqual(copy);
      memory.content["text"] = "changed";
      (memory.metadata as Record<string, unknown>)["a"] = 2;
      (memory.embedding as number[])[0] = 9;
      await creating;
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ ...copy, unique: true });
      const update = { id: memory.id, content: { text: "first" } };
      const updating = adapter.updateMemory(update);
      update.content.text = "second";
      await updating;
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ content: { text: "first" } });
      await adapter.close();
    });

    it("whose id is taken are not stored, and their id is returned all the same", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const memory = memoryOf(home);
      await home.adapter.createMemory(memory, "messages");
      for (const again of [home, other]) {
        const second = memoryOf(again, { id: memory.id, content: { text: "second" }, embedding: atAngle(0) });
        expect(await again.adapter.createMemory(second, "facts")).toBe(memory.id);
      }
      expect(await home.adapter.getMemoryById(memory.id)).toMatchObject({
        content: { text: "hello" },
        agentId: home.agentId,
      });
      expect(await other.adapter.getMemories({ tableName: "facts", agentId: other.agentId })).toEqual([]);
    });

    it("are refused, in one attempt, for an agent, a room or an entity that is not there", async () => {
      const home = await bench.newHome();
      const recording = new Recording(bench, home.agentId);
      for (const member of ["agentId", "roomId", "entityId"]) {
        const memory = memoryOf(home, { [member]: newId(), embedding: atAngle(0) });
        const words = "create memory: there is no such agent or room or entity";
        const call = () => expectRefusal(recording.adapter.createMemory(memory, "messages"), "NOT_FOUND", words);
        expect(await recording.statementsOf(call)).toBe(2);
        expect(recording.changes).toHaveLength(1);
        expect(await home.adapter.getMemoryById(memory.id)).toBeNull();
      }
    });

    it("take two statements to store with a vector, one without, and three to delete all of a room", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const recording = new Recording(bench, home.agentId);
      for (const [members, most] of [
        [{ embedding: atAngle(0) }, 2],
        [{ embedding: atAngle(0), unique: true }, 1],
        [{}, 1],
      ] as const) {
        const call = () => recording.adapter.createMemory(memoryOf(home, members as never), "facts");
        expect(await recording.statementsOf(call)).toBeLessThanOrEqual(most);
      }
      for (let at = 0; at < 50; at++) await adapter.createMemory(memoryOf(home), "facts");
      expect(
        await recording.statementsOf(() => recording.adapter.deleteAllMemories(home.roomId, "facts")),
      ).toBeLessThanOrEqual(3);
      expect(await adapter.countMemories(home.roomId, false, "facts")).toBe(0);
    });

    it("are listed the newest first, of one time by their ids, page by page", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const memories = await addMemories(
        home,
        "messages",
        Array.from({ length: 12 }, (_, at) => ({ createdAt: 1_000 * (1 + (at % 3)) })),
      );
      const expected = idsOf(
        [...memories].sort(
          (one, other) => (other.createdAt as number) - (one.createdAt as number) || (one.id < other.id ? 1 : -1),
        ),
      );
      const list = async (page: object) => idsOf(await adapter.getMemories({ tableName: "messages", roomId, ...page }));
      expect(await list({})).toEqual(expected);
      expect(await list({ count: 0 })).toEqual(expected);
      expect([
        ...(await list({ count: 5 })),
        ...(await list({ count: 5, offset: 5 })),
        ...(await list({ count: 5, offset: 10 })),
      ]).toEqual(expected);
      expect(await list({ offset: 11 })).toEqual(expected.slice(11));
      expect(await list({ count: 5, offset: 12 })).toEqual([]);
    });

    it("are filtered by all that a query says", async () => {
      const home = await bench.newHome();
      const { adapter, worldId, roomId, entityId } = home;
      const [room, eve] = [await newRoom(home), await newEntity(home)];
      const memories = await addMemories(home, "messages", [
        {},
        { roomId: room },
        { entityId: eve },
        { worldId },
        { unique: false },
      ]);
      await addMemories(home, "facts", [{}]);
      const list = async (members: object) =>
        (await adapter.getMemories({ tableName: "messages", agentId: home.agentId, ...members }))
          .map(({ id }) => memories.findIndex((one) => one.id === id))
          .sort();
      expect(await list({})).toEqual([0, 1, 2, 3, 4]);
      expect(await list({ roomId })).toEqual([0, 2, 3, 4]);
      expect(await list({ roomId: room.toUpperCase() })).toEqual([1]);
      expect(await list({ entityId })).toEqual([0, 1, 3, 4]);
      expect(await list({ entityId: eve, roomId })).toEqual([2]);
      expect(await list({ worldId })).toEqual([3]);
      expect(await list({ unique: true })).toEqual([0, 1, 2, 3]);
      expect(await list({ unique: false })).toEqual([0, 1, 2, 3, 4]);
      expect(await list({ start: 2_000, end: 4_000 })).toEqual([1, 2, 3]);
      expect(await list({ start: 4_000, end: 0 })).toEqual([3, 4]);
      expect(await list({ start: 0, end: 1_000 })).toEqual([0]);
      expect(await list({ entityId: newId() })).toEqual([]);
      expect(await list({ tableName: "Messages" })).toEqual([]);
    });

    it("are those of all agents, unless one is asked for", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const table = `messages of ${newId()}`;
      await other.adapter.createMemory(memoryOf(one), table);
      const [mine] = await addMemories(one, table, [{}]);
      expect(await one.adapter.getMemories({ tableName: table })).toHaveLength(2);
      expect(idsOf(await one.adapter.getMemories({ tableName: table, agentId: one.agentId }))).toEqual([mine?.id]);
      expect(await one.adapter.getMemories({ tableName: table, roomId: one.roomId })).toHaveLength(2);
      expect(await one.adapter.countMemories(one.roomId, true, table)).toBe(2);
    });

    it("are refused without a table, and behind a negative offset, in ElizaOS' words", async () => {
      const { adapter, roomId, entityId } = await bench.newHome();
      await expectRefusal(adapter.getMemories({} as never), "INVALID_ARGUMENT", "tableName is required");
      await expectRefusal(adapter.countMemories(roomId), "INVALID_ARGUMENT", "tableName is required");
      await expectRefusal(
        adapter.createMemory({ roomId, entityId, content: {} }, ""),
        "INVALID_ARGUMENT",
        "tableName is required",
      );
      const list = adapter.getMemories({ tableName: "messages", offset: -1 });
      await expectRefusal(list, "INVALID_ARGUMENT", "offset must be a non-negative number");
    });

    it("are found by their ids, the newest first, in one table or in any", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const [first, second] = await addMemories(home, "messages", [{}, {}]);
      const [third] = await addMemories(home, "facts", [{ createdAt: 9_000 }]);
      const ids = idsOf([first, second, third] as Memory[]) as (typeof home.roomId)[];
      expect(idsOf(await adapter.getMemoriesByIds([...ids, newId(), ...ids]))).toEqual([...ids].reverse());
      expect(idsOf(await adapter.getMemoriesByIds(ids, "messages"))).toEqual([second?.id, first?.id]);
      expect(await adapter.getMemoriesByIds([])).toEqual([]);
      const upper = ids.map((id) => id.toUpperCase()) as typeof ids;
      expect(await adapter.getMemoriesByIds(upper)).toHaveLength(3);
    });

    it("of rooms are this agent's, without vectors", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, roomId } = home;
      const room = await newRoom(home);
      const memories = await addMemories(home, "messages", [{ embedding: atAngle(0) }, { roomId: room }, {}]);
      await other.adapter.createMemory(memoryOf(home), "messages");
      await addMemories(home, "facts", [{}]);
      const list = async (members: object) =>
        await adapter.getMemoriesByRoomIds({ tableName: "messages", roomIds: [room, roomId, newId()], ...members });
      expect(idsOf(await list({}))).toEqual(idsOf(memories).reverse());
      expect(idsOf(await list({ limit: 2 }))).toEqual(idsOf(memories.slice(1)).reverse());
      expect(idsOf(await list({ roomIds: [room] }))).toEqual([memories[1]?.id]);
      expect(await list({ roomIds: [] })).toEqual([]);
      expect((await list({})).every(({ embedding }) => embedding === undefined)).toBe(true);
    });

    it("of a world are those in this agent's rooms there", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, worldId } = home;
      const elsewhere = await newRoom(home, { worldId: other.worldId });
      const [first, second] = await addMemories(home, "messages", [{}, {}, { roomId: elsewhere, worldId }]);
      const [fact] = await addMemories(home, "facts", [{}]);
      expect(idsOf(await adapter.getMemoriesByWorldId({ worldId }))).toEqual([second?.id, first?.id]);
      expect(idsOf(await adapter.getMemoriesByWorldId({ worldId, count: 1 }))).toEqual([second?.id]);
      expect(idsOf(await adapter.getMemoriesByWorldId({ worldId, tableName: "facts" }))).toEqual([fact?.id]);
      expect(await adapter.getMemoriesByWorldId({ worldId: newId() })).toEqual([]);
    });

    it("of a room are counted, those that are unique if nothing else is said", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      await addMemories(home, "messages", [{}, { unique: false }, { roomId: await newRoom(home) }]);
      expect(await adapter.countMemories(roomId, undefined, "messages")).toBe(1);
      expect(await adapter.countMemories(roomId, false, "messages")).toBe(2);
      expect(await adapter.countMemories(roomId, false, "facts")).toBe(0);
      expect(await adapter.countMemories(newId(), false, "messages")).toBe(0);
    });

    it("have content, metadata and vector replaced by an update, as far as they are given", async () => {
      const home = await bench.newHome();
      const { adapter, agentId } = home;
      const [memory] = await addMemories(home, "facts", [
        { embedding: atAngle(0), content: { a: 1 }, metadata: { a: 1 } },
      ]);
      const id = memory?.id as typeof agentId;
      const stored = async () => await adapter.getMemoryById(id);
      const before = await stored();
      expect(await adapter.updateMemory({ id, content: { b: 2 } })).toBe(true);
      expect(await stored()).toEqual({ ...before, content: { b: 2 } });
      expect(await adapter.updateMemory({ id: id.toUpperCase() as typeof id, metadata: { c: 3 } as never })).toBe(true);
      expect(await stored()).toEqual({ ...before, content: { b: 2 }, metadata: { c: 3 } });
      expect(await adapter.updateMemory({ id, embedding: atAngle(90) })).toBe(true);
      expect(await stored()).toEqual({
        ...before,
        content: { b: 2 },
        metadata: { c: 3 },
        embedding: rounded(atAngle(90)),
      });
      const hits = await adapter.searchMemories({ tableName: "facts", embedding: atAngle(90) });
      expect(hits).toMatchObject([{ id, similarity: 1 }]);
      expect(await adapter.updateMemory({ id, roomId: newId(), unique: false, createdAt: 5 })).toBe(true); // stay
      expect(await stored()).toMatchObject({ roomId: home.roomId, unique: true, createdAt: 1_000 });
      expect(await adapter.updateMemory({ id: newId(), content: {} })).toBe(true);
    });

    it("of documents take along their fragments, this agent's", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter } = home;
      const document = () => ({ metadata: { type: "document", timestamp: 1 } as never });
      const fragmentOf = (documentId: unknown) => ({
        metadata: { type: "fragment", documentId, position: 0 } as never,
      });
      const [one, two, three] = await addMemories(home, "documents", [document(), document(), document()]);
      const [first, upper, ofTwo, ofThree] = await addMemories(home, "knowledge", [
        fragmentOf(one?.id),
        fragmentOf(one?.id.toUpperCase()),
        fragmentOf(two?.id),
        fragmentOf(three?.id),
        fragmentOf("no UUID"),
      ]);
      const foreign = memoryOf(home, fragmentOf(one?.id));
      await other.adapter.createMemory(foreign, "knowledge");
      const left = async () => idsOf(await adapter.getMemories({ tableName: "knowledge", roomId: home.roomId }));
      expect(await left()).toHaveLength(6);
      await adapter.deleteMemory(one?.id as typeof foreign.id);
      expect(await left()).not.toContain(first?.id);
      expect(await left()).not.toContain(upper?.id);
      expect(await left()).toContain(foreign.id);
      await adapter.deleteManyMemories([two?.id as typeof foreign.id, newId()]);
      expect(await left()).not.toContain(ofTwo?.id);
      await adapter.updateMemory({ id: ofThree?.id as typeof foreign.id, ...fragmentOf(two?.id) });
      await adapter.deleteAllMemories(home.roomId, "documents");
      expect(await left()).toContain(ofThree?.id); // its document is another by then
      expect(await left()).toHaveLength(3);
    });

    it("are deleted by their ids, or by room and table, with their vectors", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const room = await newRoom(home);
      const [one, two, three, elsewhere] = await addMemories(home, "messages", [
        { embedding: atAngle(0) },
        { embedding: atAngle(90) },
        {},
        { roomId: room },
      ]);
      const [fact] = await addMemories(home, "facts", [{ embedding: atAngle(0) }]);
      await adapter.deleteMemory(one?.id.toUpperCase() as typeof roomId);
      await adapter.deleteMemory(newId());
      const list = async () => idsOf(await adapter.getMemories({ tableName: "messages", agentId: home.agentId }));
      expect(await list()).toEqual([elsewhere?.id, three?.id, two?.id]);
      expect(idsOf(await adapter.searchMemories({ tableName: "messages", embedding: atAngle(0) }))).toEqual([two?.id]);
      await adapter.deleteManyMemories([]);
      await adapter.deleteAllMemories(roomId.toUpperCase() as typeof roomId, "messages");
      expect(await list()).toEqual([elsewhere?.id]);
      expect(idsOf(await adapter.getMemories({ tableName: "facts", roomId }))).toEqual([fact?.id]);
      expect(await bench.count(MEMORIES, { agent: home.agentId })).toBe(2);
    });

    it("that are fragments or documents are refused without what these must have", async () => {
      const home = await bench.newHome();
      const cases = [
        [{ type: "fragment", position: 0 }, "documentId"],
        [{ type: "fragment", documentId: newId() }, "position"],
        [{ type: "document" }, "timestamp"],
      ] as const;
      for (const [metadata, missing] of cases) {
        const call = home.adapter.createMemory(memoryOf(home, { metadata: metadata as never }), "documents");
        await expectRefusal(call, "INVALID_ARGUMENT", `memory.metadata.${missing}`);
      }
      expect(await home.adapter.countMemories(home.roomId, false, "documents")).toBe(0);
    });

    it("have content and metadata of any characters, and tables with well-formed names", async () => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const odd = { content: { text: ODD_TEXT, [ODD_TEXT]: [ODD_TEXT] }, metadata: { [ODD_TEXT]: ODD_TEXT } as never };
      const memory = memoryOf(home, odd);
      const table = "t\u{1f600} e\u0301 ' \" \\ %_";
      await adapter.createMemory(memory, table);
      expect(await adapter.getMemories({ tableName: table, roomId })).toMatchObject([odd]);
      expect(await adapter.getMemories({ tableName: table.normalize("NFC"), roomId })).toEqual([]);
      await adapter.updateMemory({ id: memory.id, content: { again: ODD_TEXT } });
      expect(await adapter.getMemoryById(memory.id)).toMatchObject({ content: { again: ODD_TEXT } });
      for (const refused of ["nul \0", "lone \udc00", "x".repeat(256), 7]) {
        await expectRefusal(adapter.createMemory(memoryOf(home), refused as never), "INVALID_ARGUMENT", "tableName");
      }
    });

    it("may be large", async () => {
      const home = await bench.newHome();
      const content = { text: "é".repeat(500_000), list: Array.from({ length: 1_000 }, (_, at) => ({ at })) };
      const memory = memoryOf(home, { content });
      await home.adapter.createMemory(memory, "messages");
      expect(await home.adapter.getMemoryById(memory.id)).toMatchObject({ content });
    });

    it("need neither a room nor an entity", async () => {
      const { adapter, agentId } = await bench.newHome();
      const id = await adapter.createMemory({ content: { a: 1 }, embedding: atAngle(0) } as never, "facts");
      expect(await adapter.getMemories({ tableName: "facts", agentId })).toMatchObject([
        { id, roomId: null, entityId: null },
      ]);
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(0) }))).toEqual([id]);
    });
  });
}
