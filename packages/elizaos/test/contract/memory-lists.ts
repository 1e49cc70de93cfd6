import { describe, expect, it } from "vitest";
import type { Memory } from "../../src/index.ts";
import { type Bench, expectRefusal, newEntity, newId, newRoom } from "./bench.ts";
import { addMemories, idsOf, memoryOf } from "./new-memories.ts";
import { atAngle } from "./vectors.ts";

export function describeMemoryLists(bench: Bench): void {
  describe("memories", () => {
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
  });
}
