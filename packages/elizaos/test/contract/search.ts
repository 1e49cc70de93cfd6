import { describe, expect, it } from "vitest";
import type { Memory } from "../../src/index.ts";
import { clusteredVectors, mostSimilar } from "../vectors.ts";
import { type Bench, expectRefusal, newEntity, newId, newRoom } from "./bench.ts";
import { addMemories, memoryOf } from "./new-memories.ts";
import { atAngle, rounded } from "./vectors.ts";

export function describeSearch(bench: Bench): void {
  describe("search", () => {
    it("finds memories by the cosine with their vectors, the most similar first", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, worldId } = home;
      const angles = [60, 0, 170, 30];
      const memories = await addMemories(
        home,
        "facts",
        angles.map((angle) => ({ embedding: atAngle(angle), worldId, unique: true })),
      );
      const found = await adapter.searchMemories({ tableName: "facts", embedding: atAngle(10) });
      expect(found.map(({ id }) => memories.findIndex((one) => one.id === id))).toEqual([1, 3, 0, 2]);
      for (const [at, angle] of [10, 20, 50, 160].entries()) {
        expect(found[at]?.similarity).toBeCloseTo(Math.cos((angle * Math.PI) / 180), 5);
      }
      const { similarity: _, ...first } = found[0] as Memory;
      expect(first).toEqual({ ...memories[1], agentId, type: "facts", metadata: {}, embedding: rounded(atAngle(0)) });
      const query = { tableName: "facts", count: 2 };
      expect(await adapter.searchMemoriesByEmbedding(atAngle(10), query)).toEqual(found.slice(0, 2));
    });

    it("does not ask how long vectors are", async () => {
      const home = await bench.newHome();
      const embedding = atAngle(20).map((value) => value * 1_000);
      const [memory] = await addMemories(home, "facts", [{ embedding }]);
      const [found] = await home.adapter.searchMemories({
        tableName: "facts",
        embedding: atAngle(20).map((value) => value / 9),
      });
      expect(found?.id).toBe(memory?.id);
      expect(found?.similarity).toBeCloseTo(1, 5);
    });

    it("finds none below a threshold, and all where it is 0 or is not given", async () => {
      const home = await bench.newHome();
      await addMemories(
        home,
        "facts",
        [0, 40, 80, 120].map((angle) => ({ embedding: atAngle(angle) })),
      );
      const count = async (match_threshold?: number) => {
        const given = match_threshold === undefined ? {} : { match_threshold };
        return (await home.adapter.searchMemories({ tableName: "facts", embedding: atAngle(0), ...given })).length;
      };
      expect([
        await count(),
        await count(0),
        await count(-0.4),
        await count(0.1),
        await count(0.5),
        await count(0.99),
      ]).toEqual([4, 4, 3, 3, 2, 1]);
    });

    it("finds 10, if no number is given", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      await addMemories(
        home,
        "facts",
        Array.from({ length: 15 }, (_, at) => ({ embedding: atAngle(at) })),
      );
      const search = { tableName: "facts", embedding: atAngle(0) };
      expect(await adapter.searchMemories(search)).toHaveLength(10);
      expect(await adapter.searchMemories({ ...search, count: 13 })).toHaveLength(13);
      expect(await adapter.searchMemories({ ...search, count: 100 })).toHaveLength(15);
      expect(await adapter.searchMemories({ ...search, count: 0 })).toEqual([]);
    });

    it("looks where a query says, and at this agent's memories alone", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, worldId, roomId, entityId } = home;
      const [room, eve] = [await newRoom(home), await newEntity(home)];
      const members = [{}, { roomId: room }, { entityId: eve }, { worldId }, { unique: false }];
      const memories = await addMemories(
        home,
        "facts",
        members.map((one, at) => ({ unique: true, embedding: atAngle(at), ...one })),
      );
      await addMemories(home, "documents", [{ embedding: atAngle(0) }]);
      await other.adapter.createMemory(memoryOf(home, { embedding: atAngle(0) }), "facts");
      const find = async (query: object) =>
        (await adapter.searchMemories({ tableName: "facts", embedding: atAngle(0), ...query })).map(({ id }) =>
          memories.findIndex((one) => one.id === id),
        );
      expect(await find({})).toEqual([0, 1, 2, 3, 4]);
      expect(await find({ roomId })).toEqual([0, 2, 3, 4]);
      expect(await find({ roomId: room.toUpperCase() })).toEqual([1]);
      expect(await find({ entityId })).toEqual([0, 1, 3, 4]);
      expect(await find({ entityId: eve, roomId })).toEqual([2]);
      expect(await find({ worldId })).toEqual([3]);
      expect(await find({ unique: true })).toEqual([0, 1, 2, 3]);
      expect(await find({ roomId: newId() })).toEqual([]);
      expect(await find({ tableName: "nothing" })).toEqual([]);
    });

    it("finds what comparing with every vector finds", async () => {
      const home = await bench.newHome();
      const vectors = clusteredVectors(80, 64, 3);
      const memories = await addMemories(
        home,
        "facts",
        vectors.map((vector) => ({ embedding: Array.from(vector), unique: true })),
      );
      for (const to of clusteredVectors(4, 64, 7)) {
        const found = await home.adapter.searchMemories({ tableName: "facts", embedding: Array.from(to), count: 12 });
        const expected = mostSimilar(vectors, to, 12);
        expect(found.map(({ id }) => memories.findIndex((one) => one.id === id))).toEqual(expected);
      }
    });

    it("refuses what is no vector and no number", async () => {
      const { adapter } = await bench.newHome();
      const refusals = [
        [{ embedding: [] }, "embedding.length"],
        [{ embedding: new Array(4_097).fill(1) }, "embedding.length"],
        [{ embedding: "text" }, "embedding"],
        [{ embedding: undefined }, "embedding"],
        [{ count: 1.5 }, "count"],
        [{ count: -1 }, "count"],
        [{ match_threshold: "high" }, "match_threshold"],
        [{ tableName: "" }, "tableName"],
      ] as const;
      for (const [given, field] of refusals) {
        const call = adapter.searchMemories({ tableName: "facts", embedding: atAngle(0), ...(given as object) });
        await expectRefusal(call, "INVALID_ARGUMENT", field);
      }
    });
  });
}
