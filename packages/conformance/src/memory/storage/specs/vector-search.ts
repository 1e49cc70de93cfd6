import type { MemorySearch } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { pick, randomFrom } from "../../rows.ts";
import { addAll, addOne, COLLECTION, countsOf, itemOf, newOwner, type StorageBench, textsOf } from "../bench.ts";
import { type AddedItem, expectedHits } from "../expected-hits.ts";

const WORDS = ["coffee", "tea", "tokyo", "memory", "agent", "likes", "runs", "blue"];

/** A random vector with a length anywhere between those that float32 has. */
export function randomVector(dimensions: number, random: () => number): Float32Array {
  const length = 10 ** (random() * 30 - 15);
  return Float32Array.from({ length: dimensions }, () => (random() + random() + random() - 1.5) * length);
}

/** Cosine with doubles. */
function cosineOf(one: ArrayLike<number>, other: ArrayLike<number>): number {
  const [a, b] = [Float32Array.from(one), Float32Array.from(other)];
  const product = (x: Float32Array, y: Float32Array) =>
    x.reduce((sum, value, at) => sum + value * (y[at] as number), 0);
  return product(a, b) / Math.sqrt(product(a, a)) / Math.sqrt(product(b, b));
}

/** Items with words and vectors, some without either, and several with the same. */
async function addCorpus(bench: StorageBench, owner: string, collection: string, count: number, dimensions: number) {
  const random = randomFrom(dimensions);
  const vectors = Array.from({ length: count }, (_, at) =>
    at % 9 === 8
      ? null
      : at % 10 === 7
        ? Float32Array.from({ length: dimensions }, () => 1)
        : randomVector(dimensions, random),
  );
  const items = await addAll(
    bench.storage,
    vectors.map((vector, at) =>
      itemOf(
        owner,
        at % 7 === 6 ? "" : `${pick(WORDS, random)} ${pick(WORDS, random)} ${at % 3 === 0 ? pick(WORDS, random) : ""}`,
        {
          collection,
          ...(vector !== null && { embedding: vector }),
        },
      ),
    ),
  );
  return items.map((item, at): AddedItem => ({ item, vector: vectors[at] as Float32Array | null }));
}

export function describeVectorSearch(bench: StorageBench): void {
  describe("a search by vectors", () => {
    it("finds the same items in the same order as computed here, alone and with words, however it is fused", async () => {
      const owner = newOwner();
      const dimensions = 24;
      const one = await addCorpus(bench, owner, "one", 260, dimensions);
      const two = await addCorpus(bench, owner, "two", 90, dimensions);
      const random = randomFrom(5);
      const variants: Omit<MemorySearch, "owner" | "collections">[] = [
        {},
        { text: "coffee tokyo" },
        { text: "coffee tokyo", fusion: "rrf" },
        { fusion: "rrf" },
        { text: "blue agent", fusion: { text: 0.3, vector: 0.7 } },
        { text: "blue agent", fusion: { text: 5, vector: 0 } },
        { text: "blue agent", fusion: { text: 0, vector: 2 } },
        { text: "memory", minSimilarity: 0.2 },
        { minSimilarity: 0.3 },
        { minSimilarity: -0.1, limit: 300 },
        { text: "memory", requireVector: true },
        { text: "memory likes", requireVector: true, minSimilarity: 0.1, limit: 100 },
        { text: "memory", requireVector: true, fusion: { text: 1, vector: 0 } },
        { text: "no such words at all" },
        { text: "" },
        { limit: 1 },
        { text: "tea", limit: 1_000 },
      ];
      for (const variant of variants) {
        for (const items of [[one], [two], [one, two]]) {
          const search = { ...variant, vector: randomVector(dimensions, random), limit: variant.limit ?? 20 };
          const hits = await bench.storage.search({
            owner,
            collections: items.length === 2 ? ["one", "two", "one", "absent"] : [items[0] === one ? "one" : "two"],
            exact: true,
            ...search,
          });
          const expected = expectedHits(
            items.map((some) => ({ language: "none", items: some })),
            search,
          );
          const what = JSON.stringify({ ...variant, collections: items.length });
          expect(
            hits.map(({ item: { id }, textScore }) => ({ id, textScore })),
            what,
          ).toEqual(expected.map(({ id, textScore }) => ({ id, textScore })));
          for (const [at, { score, similarity }] of hits.entries()) {
            expect(score, what).toBeCloseTo(expected[at]?.score as number, 6);
            if (expected[at]?.similarity === undefined) expect(similarity, what).toBeUndefined();
            else expect(similarity, what).toBeCloseTo(expected[at].similarity, 6);
          }
        }
      }
    });

    it("finds an item by its words that is not among the nearest, though a vector is required", async () => {
      const owner = newOwner();
      const far = Array.from({ length: 300 }, (_, at) => itemOf(owner, "filler", { embedding: [1, at / 1_000, 0, 0] }));
      await addAll(bench.storage, [...far, itemOf(owner, "needle", { embedding: [0.6, 0.8, 0, 0] })]);
      const search = { owner, collections: [COLLECTION], text: "needle", vector: [1, 0, 0, 0], requireVector: true };
      const fusion = { text: 0.9, vector: 0.1 };
      const [first] = await bench.storage.search({ ...search, minSimilarity: 0.5, fusion });
      expect(first).toMatchObject({ item: { text: "needle" }, similarity: expect.closeTo(0.6, 6) });
      const hits = await bench.storage.search({ ...search, minSimilarity: 0.7, fusion });
      expect(hits.map(({ item }) => item.text)).not.toContain("needle");
    });

    it("finds with signatures what an exact one finds", async () => {
      const owner = newOwner();
      const random = randomFrom(3);
      const dimensions = 64;
      const centres = Array.from({ length: 12 }, () => randomVector(dimensions, random).map(Math.sign));
      const near = () => pick(centres, random).map((value) => value + (random() - 0.5) * 2.5);
      await addAll(
        bench.storage,
        Array.from({ length: 900 }, (_, at) => itemOf(owner, "", { key: `${at}`, embedding: near() })),
      );
      let found = 0;
      for (let round = 0; round < 10; round++) {
        const search = { owner, collections: [COLLECTION], vector: near() };
        const [hits, exact] = [
          await bench.storage.search(search),
          await bench.storage.search({ ...search, exact: true }),
        ];
        expect(hits).toHaveLength(10);
        expect(exact).toHaveLength(10);
        const ids = new Set(exact.map(({ item }) => item.id));
        found += hits.filter(({ item }) => ids.has(item.id)).length;
      }
      expect(found).toBeGreaterThanOrEqual(98); // of 100
    });

    it.each([1, 2, 3, 8, 100, 384, 1_536, 4_096])(
      "has the cosine of doubles as its similarity, with %d dimensions",
      async (dimensions) => {
        const owner = newOwner();
        const random = randomFrom(dimensions);
        const vectors = Array.from({ length: 6 }, () => randomVector(dimensions, random));
        const extremes = [1e-45, 3e38, -1e-20, 1e19].map((value) =>
          Float32Array.from({ length: dimensions }, () => value),
        );
        const given = [...vectors, ...extremes];
        await bench.storage.addItems(given.map((embedding, at) => itemOf(owner, "", { key: `${at}`, embedding })));
        for (const exact of [true, false]) {
          for (const vector of [
            vectors[0] as Float32Array,
            randomVector(dimensions, random),
            extremes[1] as Float32Array,
          ]) {
            const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector, limit: 20, exact });
            expect(hits).toHaveLength(given.length);
            for (const { item, similarity } of hits) {
              const expected = cosineOf(given[Number(item.key)] as Float32Array, vector);
              expect(Math.abs((similarity as number) - expected)).toBeLessThanOrEqual(1e-6);
              expect(similarity).toBeLessThanOrEqual(1);
              expect(similarity).toBeGreaterThanOrEqual(-1);
            }
            const similarities = hits.map(({ similarity }) => similarity as number);
            const descents = similarities.slice(1).map((similarity, at) => (similarities[at] as number) - similarity);
            for (const descent of descents) expect(descent).toBeGreaterThanOrEqual(-1e-9);
          }
        }
      },
    );

    it("finds the nearest vectors whatever their lengths, among more than are compared one by one", async () => {
      const owner = newOwner();
      const random = randomFrom(41);
      const lengths = [1e38, 1e25, 1, 1e-25, 1e-38];
      const wanted = lengths.map((length) => [length, length * 0.01, 0]);
      const others = Array.from({ length: 700 }, () => [random() - 0.5, random() + 0.5, random() - 0.5]);
      await addAll(
        bench.storage,
        [...wanted, ...others].map((embedding, at) => itemOf(owner, "", { key: `${at}`, embedding })),
      );
      for (const exact of [true, false]) {
        for (const length of lengths) {
          const search = { owner, collections: [COLLECTION], vector: [length, 0, 0], exact, limit: 5 };
          const hits = await bench.storage.search(search);
          expect(hits.map(({ item }) => item.key).sort()).toEqual(["0", "1", "2", "3", "4"]);
          for (const { similarity } of hits) expect(similarity).toBeCloseTo(Math.cos(Math.atan(0.01)), 5);
        }
      }
    });

    it("takes arrays and Float32Arrays, also of larger buffers", async () => {
      const owner = newOwner();
      const part = new Float32Array(Float32Array.of(9, 9, 1, 2, 9).buffer, 8, 2);
      await bench.storage.addItems([itemOf(owner, "part", { embedding: part })]);
      for (const vector of [part, [1, 2], Float32Array.of(1, 2)]) {
        const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], vector });
        expect(hit?.similarity).toBeCloseTo(1, 6);
      }
    });

    it.each([
      ["NaN", [1, Number.NaN], "INVALID_ARGUMENT"],
      ["an infinite number", [1, Number.POSITIVE_INFINITY], "INVALID_ARGUMENT"],
      ["a number that float32 cannot hold", [1, 1e39], "INVALID_ARGUMENT"],
      ["zeros", [0, 0], "INVALID_ARGUMENT"],
      ["numbers that are zero in float32", [1e-46, -1e-60], "INVALID_ARGUMENT"],
      ["no numbers", [], "INVALID_ARGUMENT"],
      ["a hole", Object.assign(new Array(2), { 0: 1 }), "INVALID_ARGUMENT"],
      ["a text", [1, "2"], "INVALID_ARGUMENT"],
      ["too many dimensions", new Float32Array(4_097).fill(1), "INVALID_ARGUMENT"],
      ["more dimensions than the collection has", [1, 2, 3], "DIMENSION_MISMATCH"],
      ["fewer", [1], "DIMENSION_MISMATCH"],
    ] as const)("refuses a vector of %s before anything is written", async (_, vector, code) => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "kept", { embedding: [1, 0], key: "k" }));
      const before = await countsOf(bench.storage, owner);
      const embedding = vector as unknown as number[];
      const items = [itemOf(owner, "fine", { embedding: [0, 1] }), itemOf(owner, "wrong", { embedding })];
      await refusal(bench.storage.addItems(items), code);
      await refusal(bench.storage.addItems([itemOf(owner, "wrong", { key: "k", embedding })], { replace: true }), code);
      await refusal(bench.storage.updateItem(owner, item.id, { text: "wrong", embedding }), code);
      await refusal(bench.storage.search({ owner, collections: [COLLECTION], vector: embedding }), code);
      const elsewhere = [itemOf(owner, "fine", { collection: "new" }), itemOf(owner, "wrong", { embedding })];
      await refusal(bench.storage.addItems(elsewhere), code);
      expect(await countsOf(bench.storage, owner)).toEqual(before);
      expect(
        textsOf(await bench.storage.search({ owner, collections: [COLLECTION], text: "kept fine wrong" })),
      ).toEqual(["kept"]);
    });

    it("refuses vectors of different dimensions within one call, also for a new collection", async () => {
      const owner = newOwner();
      const items = [itemOf(owner, "a", { embedding: [1] }), itemOf(owner, "b", { embedding: [1, 2] })];
      await refusal(bench.storage.addItems(items), "DIMENSION_MISMATCH");
      expect(await bench.storage.countItems({ owner })).toBe(0);
      await bench.storage.addItems([itemOf(owner, "b", { embedding: [1, 2] })]);
    });

    it("lets one of two storages fix the dimensions of a collection, and refuses the other", async () => {
      const owner = newOwner();
      const outcomes = await Promise.allSettled(
        bench
          .openAll(4)
          .map((storage, at) =>
            storage.addItems([itemOf(owner, `${at}`, { embedding: at % 2 === 0 ? [1, 0] : [1, 0, 0] })]),
          ),
      );
      const dimensions = (await bench.storage.getCollection(owner, COLLECTION))?.dimensions;
      for (const [at, outcome] of outcomes.entries()) {
        if ((at % 2 === 0) === (dimensions === 2)) expect(outcome.status).toBe("fulfilled");
        else expect(outcome).toMatchObject({ reason: { code: "DIMENSION_MISMATCH" } });
      }
    });

    it("returns neighbours in the thread, of the same collection, and not those whose time has come", async () => {
      const owner = newOwner();
      for (const id of ["t", "u"]) await bench.storage.createThread({ owner, id });
      const added = await bench.storage.addItems(
        Array.from({ length: 12 }, (_, at) =>
          itemOf(owner, at === 5 ? "needle" : `hay${at}`, {
            threadId: at % 4 === 3 ? "u" : "t",
            collection: at === 6 ? "other" : COLLECTION,
            ...(at === 4 && { expiresAt: 1 }),
          }),
        ),
      );
      const search = { owner, collections: [COLLECTION], text: "needle" };
      const [hit] = await bench.storage.search({ ...search, around: 3 });
      expect(hit?.before?.map(({ text }) => text)).toEqual(["hay0", "hay1", "hay2"]);
      expect(hit?.after?.map(({ text }) => text)).toEqual(["hay8", "hay9", "hay10"]);
      expect(hit?.before?.[0]).toStrictEqual(added[0]);
      const [near] = await bench.storage.search({ ...search, around: 1 });
      expect([near?.before, near?.after].map((items) => items?.map(({ text }) => text))).toEqual([["hay2"], ["hay8"]]);
      const [alone] = await bench.storage.search(search);
      expect(alone).not.toHaveProperty("before");
      expect(alone).not.toHaveProperty("after");
      await bench.storage.addItems([itemOf(owner, "threadless")]);
      const [free] = await bench.storage.search({ owner, collections: [COLLECTION], text: "threadless", around: 2 });
      expect([free?.before ?? [], free?.after ?? []]).toEqual([[], []]);
    });

    it("compares vectors of one model alone, also where it searches by words", async () => {
      const owner = newOwner();
      await bench.storage.addItems([itemOf(owner, "words", { embedding: [1, 0] })], { model: "m" });
      const search = {
        owner,
        collections: [COLLECTION],
        text: "words",
        vector: [1, 0],
        fusion: { text: 1, vector: 0 },
      };
      expect(await bench.storage.search({ ...search, model: "m" })).toMatchObject([{ similarity: 1 }]);
      await refusal(bench.storage.search({ ...search, model: "n" }), "MODEL_MISMATCH");
      await refusal(bench.storage.search({ ...search, vector: [1] }), "DIMENSION_MISMATCH");
    });

    it("searches several collections of one model, and refuses a vector that does not fit one of them", async () => {
      const owner = newOwner();
      await bench.storage.addItems([
        itemOf(owner, "a", { collection: "two", embedding: [1, 0] }),
        itemOf(owner, "b", { collection: "three", embedding: [1, 0, 0] }),
        itemOf(owner, "c", { collection: "none" }),
      ]);
      const find = async (collections: string[]) =>
        textsOf(await bench.storage.search({ owner, collections, vector: [1, 0] }));
      expect(await find(["none", "two", "absent"])).toEqual(["a"]);
      await refusal(find(["two", "three"]), "DIMENSION_MISMATCH");
      const words = await bench.storage.search({ owner, collections: ["two", "three", "none"], text: "a b c" });
      expect(textsOf(words).sort()).toEqual(["a", "b", "c"]);
    });
  });
}
