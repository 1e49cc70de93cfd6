import { describe, expect, it } from "vitest";
import type { Memory, UUID } from "../../src/index.ts";
import { clusteredVectors, mostSimilar } from "../vectors.ts";
import { type Bench, expectRefusal, newEntity, newId, newRoom } from "./bench.ts";
import { addMemories, memoryOf } from "./memories.ts";
import { atAngle, rounded } from "./vectors.ts";

const idsOf = (memories: readonly Memory[]) => memories.map(({ id }) => id);

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

  describe("a memory", () => {
    it("is unique, if none of the same table, room and entity has about its vector", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const [room, eve] = [await newRoom(home), await newEntity(home)];
      const add = async (members: object, table = "facts") => {
        const id = await adapter.createMemory(memoryOf(home, { embedding: atAngle(0), ...members }), table);
        return (await adapter.getMemoryById(id))?.unique;
      };
      expect(await add({})).toBe(true);
      expect(await add({})).toBe(false);
      expect(await add({ embedding: atAngle(17) })).toBe(false); // 0.956
      expect(await add({ embedding: atAngle(40) })).toBe(true);
      expect(await add({ embedding: atAngle(64) })).toBe(true); // 0.914
      expect(await add({ roomId: room })).toBe(true);
      expect(await add({ entityId: eve })).toBe(true);
      expect(await add({}, "documents")).toBe(true);
      expect(await add({ unique: true })).toBe(true);
      expect(await add({ embedding: atAngle(200), unique: false })).toBe(false);
      expect(await add({ embedding: undefined })).toBe(true);
      expect(await add({ embedding: atAngle(0, 768) })).toBe(true); // of another length, nothing is like it
      // The runtime hands over a third argument, which ElizaOS' own adapter ignores.
      const create = adapter.createMemory as (...given: unknown[]) => Promise<UUID>;
      const id = await create(memoryOf(home, { embedding: atAngle(0) }), "facts", true);
      expect(await adapter.getMemoryById(id)).toMatchObject({ unique: false });
    });

    it("of a world is compared with those of that world", async () => {
      const home = await bench.newHome();
      const { adapter, worldId } = home;
      const add = async (members: object) => {
        const id = await adapter.createMemory(memoryOf(home, { embedding: atAngle(0), ...members }), "facts");
        return (await adapter.getMemoryById(id))?.unique;
      };
      expect(await add({ worldId })).toBe(true);
      expect(await add({ worldId: newId() })).toBe(true);
      expect(await add({ worldId })).toBe(false);
    });

    it.each([
      ["of zeros", (length: number) => new Array(length).fill(0), (length: number) => new Array(length).fill(0)],
      [
        "with a number that is not finite",
        (length: number) => [Number.NaN, Infinity, 3, ...new Array(length - 3).fill(0)],
        (length: number) => [0, 0, 3, ...new Array(length - 3).fill(0)],
      ],
      [
        "with a number beyond single precision",
        (length: number) => [1e39, 2, ...new Array(length - 2).fill(0)],
        (length: number) => [0, 2, ...new Array(length - 2).fill(0)],
      ],
      [
        "with what is no number",
        (length: number) => [null, "2", ...new Array(length - 2).fill(0)],
        (length: number) => new Array(length).fill(0),
      ],
      [
        "too small to have a direction",
        (length: number) => new Array(length).fill(1e-30),
        (length: number) => new Array(length).fill(1e-30),
      ],
    ])("with a vector %s comes back, is never found, and makes no other less unique", async (_, given, returned) => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      const inert = memoryOf(home, { embedding: given(384) as number[] });
      await adapter.createMemory(inert, "facts");
      const stored = await adapter.getMemoryById(inert.id);
      expect(stored).toMatchObject({ unique: true, embedding: returned(384) });
      const [one, other] = await addMemories(home, "facts", [{ embedding: atAngle(0) }, { embedding: atAngle(90) }]);
      await adapter.createMemory(memoryOf(home, { embedding: given(384) as number[] }), "facts");
      expect(await adapter.getMemories({ tableName: "facts", roomId, unique: true })).toHaveLength(4);
      for (const match_threshold of [undefined, 0.1, -1]) {
        const search = {
          tableName: "facts",
          embedding: atAngle(10),
          ...(match_threshold !== undefined && { match_threshold }),
        };
        expect(idsOf(await adapter.searchMemories({ ...search, count: 1 }))).toEqual([one?.id]);
        expect(idsOf(await adapter.searchMemories(search))).toEqual([one?.id, other?.id]);
      }
      expect(await adapter.searchMemories({ tableName: "facts", embedding: given(384) as number[] })).toEqual([]);
      expect(await adapter.vectorStats()).toEqual([{ dimensions: 384, vectors: 2 }]);
      expect(await adapter.updateMemory({ id: one?.id as typeof roomId, embedding: given(384) as number[] })).toBe(
        true,
      );
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(10) }))).toEqual([other?.id]);
      expect(await adapter.updateMemory({ id: inert.id, embedding: atAngle(10) })).toBe(true);
      expect(idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(10) }))).toEqual([
        inert.id,
        other?.id,
      ]);
    });
  });

  describe("cached embeddings", () => {
    const query = {
      ...{ query_table_name: "messages", query_field_name: "content", query_field_sub_name: "text" },
      ...{ query_input: "hello world", query_threshold: 2, query_match_count: 10 },
    };

    it("are those of memories with about the same text, the nearest first", async () => {
      const home = await bench.newHome();
      const texts = ["hello wor", "hello world", "hallo world", "goodbye", "héllo world"];
      await addMemories(
        home,
        "messages",
        texts.map((text, at) => ({ content: { text }, embedding: atAngle(at) })),
      );
      await addMemories(home, "messages", [
        { content: { text: "hello world" } },
        { content: { other: "hello world" } },
      ]);
      await addMemories(home, "facts", [{ content: { text: "hello world" }, embedding: atAngle(9) }]);
      const found = await home.adapter.getCachedEmbeddings(query);
      expect(found.map((one) => one.levenshtein_score)).toEqual([0, 1, 1, 2]);
      expect(found.map((one) => one.embedding)).toEqual([1, 4, 2, 0].map((angle) => rounded(atAngle(angle))));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_match_count: 1 })).toEqual(found.slice(0, 1));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_threshold: 0 })).toEqual(found.slice(0, 1));
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_field_sub_name: "other" })).toEqual([]);
      expect(await home.adapter.getCachedEmbeddings({ ...query, query_match_count: 0 })).toEqual([]);
    });

    it("are this agent's, of the active length, for texts of any length and characters", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const text = `${"long ".repeat(500)}\0 \ud800 \u{1f600}`;
      const input = { ...query, query_input: text.replace("\u{1f600}", "\u{1f601}"), query_threshold: 1 };
      await addMemories(home, "messages", [
        { content: { text }, embedding: atAngle(1) },
        { content: { text }, embedding: atAngle(2, 1_536) },
        { content: { text }, embedding: new Array(1_536).fill(0) },
      ]);
      await other.adapter.createMemory(memoryOf(home, { content: { text }, embedding: atAngle(3) }), "messages");
      const find = async () => (await home.adapter.getCachedEmbeddings(input)).map(({ embedding }) => embedding);
      await home.adapter.ensureEmbeddingDimension(384);
      expect(await find()).toEqual([rounded(atAngle(1))]);
      await home.adapter.ensureEmbeddingDimension(1_536);
      expect(await find()).toEqual([rounded(atAngle(2, 1_536))]);
      await home.adapter.ensureEmbeddingDimension(768);
      expect(await find()).toEqual([]);
    });
  });
}
