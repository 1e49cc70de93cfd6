import { describe, expect, it } from "vitest";
import { type Bench, collectWarnings, expectRefusal, type Home, newId } from "./bench.ts";
import { addMemories, idsOf, memoryOf } from "./new-memories.ts";
import { atAngle, rounded } from "./vectors.ts";

/** Searches with a vector of a length, at the angle 0. */
async function find({ adapter }: Home, dimensions: number, query: object = {}): Promise<unknown[]> {
  return idsOf(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(0, dimensions), ...query }));
}

export function describeDimensions(bench: Bench): void {
  describe("dimensions of vectors", () => {
    it("may change, and change back: answers are right at each step, and nothing is lost", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      await adapter.ensureEmbeddingDimension(384);
      const [near, far] = await addMemories(home, "facts", [{ embedding: atAngle(0) }, { embedding: atAngle(80) }]);
      expect(await find(home, 384)).toEqual([near?.id, far?.id]);

      await adapter.ensureEmbeddingDimension(1_536);
      expect(await find(home, 1_536)).toEqual([]);
      const [newFar, newNear] = await addMemories(home, "facts", [
        { embedding: atAngle(70, 1_536), createdAt: 8_000 },
        { embedding: atAngle(0, 1_536), createdAt: 9_000 },
      ]);
      expect(await find(home, 1_536)).toEqual([newNear?.id, newFar?.id]);
      expect(await find(home, 1_536, { count: 1 })).toEqual([newNear?.id]); // and none of another length before it
      expect(await find(home, 1_536, { match_threshold: 0.9 })).toEqual([newNear?.id]);
      const list = async () => await adapter.getMemories({ tableName: "facts", roomId: home.roomId });
      expect((await list()).map(({ embedding }) => embedding?.length)).toEqual([1_536, 1_536, undefined, undefined]);

      await adapter.ensureEmbeddingDimension(384);
      expect(await find(home, 384)).toEqual([near?.id, far?.id]);
      expect((await list()).map(({ embedding }) => embedding?.length)).toEqual([undefined, undefined, 384, 384]);
      expect(await adapter.vectorStats()).toEqual([
        { dimensions: 384, vectors: 2 },
        { dimensions: 1_536, vectors: 2 },
      ]);
    });

    it.each([1, 2, 384, 1_000, 2_048, 3_072, 4_096])("may be %i", async (dimensions) => {
      const home = await bench.newHome();
      const { adapter, roomId } = home;
      await adapter.ensureEmbeddingDimension(dimensions);
      const embedding = atAngle(0, dimensions);
      const opposite = embedding.map((value) => -value);
      const [one, other, same] = await addMemories(home, "facts", [
        { embedding },
        { embedding: opposite },
        { embedding },
      ]);
      const found = await adapter.searchMemories({ tableName: "facts", embedding });
      expect(idsOf(found)).toEqual([same?.id, one?.id, other?.id]);
      expect(found.map(({ similarity }) => similarity)).toEqual([1, 1, -1]);
      expect(await adapter.getMemoryById(one?.id as typeof roomId)).toMatchObject({
        embedding: rounded(embedding),
        unique: true,
      });
      const unique = await adapter.getMemories({ tableName: "facts", roomId, unique: true });
      expect(idsOf(unique)).toEqual([other?.id, one?.id]);
      expect(await adapter.vectorStats()).toEqual([{ dimensions, vectors: 3 }]);
    });

    it.each([0, -1, 1.5, 4_097, Number.NaN, "384", null])("may not be %j", async (dimensions) => {
      const { adapter } = await bench.newHome();
      await expectRefusal(adapter.ensureEmbeddingDimension(dimensions as never), "INVALID_ARGUMENT", "dimension");
    });

    it("of one vector may be other than the active ones: it is stored, found by its length, and said once", async () => {
      const warnings = collectWarnings();
      const home = await bench.newHome();
      const { adapter } = home;
      await adapter.ensureEmbeddingDimension(384);
      const [usual] = await addMemories(home, "facts", [{ embedding: atAngle(0) }]);
      const [short, odd] = await addMemories(home, "facts", [
        { embedding: atAngle(0, 5) },
        { embedding: atAngle(0, 7), unique: true },
      ]);
      expect(await find(home, 384)).toEqual([usual?.id]);
      expect(await find(home, 5)).toEqual([short?.id]);
      expect(await find(home, 7)).toEqual([odd?.id]);
      expect(await adapter.getMemoryById(short?.id as typeof home.roomId)).toMatchObject({
        content: short?.content,
        unique: true,
      });
      expect(warnings).toEqual([{ code: "WAYMARK_ELIZA_DIMENSIONS", message: expect.stringMatching(/ 5 .* 384 /) }]);
    });

    it("need not be said: memories come back with the vector that they were given last", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const [one, other] = await addMemories(home, "facts", [{ embedding: atAngle(5) }, { embedding: atAngle(5, 9) }]);
      const stored = await adapter.getMemoriesByIds([one?.id, other?.id] as (typeof home.roomId)[]);
      expect(stored.map(({ embedding }) => embedding?.length)).toEqual([9, 384]);
      const found = await adapter.searchMemories({ tableName: "facts", embedding: atAngle(5, 9) });
      expect(found).toMatchObject([{ id: other?.id, embedding: rounded(atAngle(5, 9)) }]);
    });

    it("of a memory's vectors may differ: each is found by its length, and goes with the memory", async () => {
      const home = await bench.newHome();
      const { adapter } = home;
      const [memory] = await addMemories(home, "facts", [{ embedding: atAngle(0) }]);
      const id = memory?.id as typeof home.roomId;
      for (const length of [768, 5])
        expect(await adapter.updateMemory({ id, embedding: atAngle(0, length) })).toBe(true);
      for (const length of [384, 768, 5]) {
        await adapter.ensureEmbeddingDimension(length);
        expect(await adapter.searchMemories({ tableName: "facts", embedding: atAngle(0, length) })).toMatchObject([
          { id, similarity: 1, type: "facts", content: memory?.content, embedding: rounded(atAngle(0, length)) },
        ]);
        expect(await adapter.getMemoryById(id)).toMatchObject({ embedding: rounded(atAngle(0, length)) });
        expect(await adapter.getMemories({ tableName: "facts", roomId: home.roomId })).toHaveLength(1);
      }
      expect(await adapter.countMemories(home.roomId, false, "facts")).toBe(1);
      await adapter.updateMemory({ id, embedding: atAngle(90) }); // replaces the one of its length
      await adapter.ensureEmbeddingDimension(384);
      expect(await adapter.getMemoryById(id)).toMatchObject({ embedding: rounded(atAngle(90)) });
      expect(await find(home, 768)).toEqual([id]);
      expect(await adapter.vectorStats()).toEqual([5, 384, 768].map((dimensions) => ({ dimensions, vectors: 1 })));
      await adapter.deleteMemory(id);
      for (const length of [384, 768, 5]) expect(await find(home, length)).toEqual([]);
      expect(await adapter.vectorStats()).toEqual([]);
    });

    it("that change are refused, if the options say so", async () => {
      const home = await bench.newHome({ onDimensionChange: "refuse" });
      const { adapter } = home;
      await adapter.ensureEmbeddingDimension(768);
      await adapter.ensureEmbeddingDimension(384);
      const [memory] = await addMemories(home, "facts", [
        { embedding: atAngle(0) },
        { embedding: new Array(5).fill(0) },
      ]);
      await adapter.ensureEmbeddingDimension(384);
      const words = "Cannot change embedding dimension for agent";
      await expectRefusal(adapter.ensureEmbeddingDimension(768), "DIMENSION_MISMATCH", words);
      expect(await adapter.getMemoryById(memory?.id as typeof home.roomId)).toMatchObject({
        embedding: rounded(atAngle(0)),
      });
      await (await bench.newHome({ onDimensionChange: "refuse" })).adapter.ensureEmbeddingDimension(768);
    });

    it("tell which memories are to be embedded anew", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter } = home;
      await other.adapter.createMemory(memoryOf(home), "facts");
      const facts = await addMemories(home, "facts", [
        { embedding: atAngle(0) },
        {},
        { embedding: new Array(384).fill(0) },
        { embedding: atAngle(0, 768) },
      ]);
      const [message] = await addMemories(home, "messages", [{ content: { text: "embed me" } }]);
      await expectRefusal(adapter.memoriesWithoutVector(), "INVALID_ARGUMENT", "query.dimension");
      const [found, ofAll] = [
        await adapter.memoriesWithoutVector({ dimension: 384, tableName: "facts" }),
        await adapter.memoriesWithoutVector({ dimension: 384 }),
      ];
      expect(found).toMatchObject({ next: null });
      expect(idsOf(found.memories)).toEqual(idsOf(facts.slice(1)));
      expect(idsOf(ofAll.memories)).toEqual([...idsOf(facts.slice(1)), message?.id]);
      expect(ofAll.memories.at(-1)).toMatchObject({ type: "messages", content: { text: "embed me" } });

      await adapter.ensureEmbeddingDimension(384);
      const pages: unknown[] = [];
      for (let after: string | null | undefined; after !== null; ) {
        const page = await adapter.memoriesWithoutVector({ limit: 2, ...(after !== undefined && { after }) });
        pages.push(idsOf(page.memories));
        for (const { id } of page.memories)
          await adapter.updateMemory({ id: id as typeof home.roomId, embedding: atAngle(45) });
        after = page.next;
      }
      expect(pages.flat()).toEqual(idsOf(ofAll.memories));
      expect(await adapter.memoriesWithoutVector()).toEqual({ memories: [], next: null });
      expect(await find(home, 384)).toHaveLength(4);
      expect(await find(home, 768)).toEqual([facts[3]?.id]);
      for (const after of ["", "x", newId(), Buffer.from("[1]").toString("base64url")]) {
        await expectRefusal(adapter.memoriesWithoutVector({ after }), "INVALID_ARGUMENT", "query.after");
      }
    });

    it("are those of an agent's own vectors", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      await addMemories(home, "facts", [{ embedding: atAngle(0) }, { embedding: atAngle(0, 7) }]);
      await addMemories(home, "messages", [{ embedding: atAngle(0) }, {}]);
      expect(await other.adapter.vectorStats()).toEqual([]);
      expect(await home.adapter.vectorStats()).toEqual([
        { dimensions: 7, vectors: 1 },
        { dimensions: 384, vectors: 2 },
      ]);
    });
  });
}
