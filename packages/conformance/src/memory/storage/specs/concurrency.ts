import { describe, expect, it } from "vitest";
import { addOne, COLLECTION, countsOf, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { expectedHits } from "../expected-hits.ts";

export function describeConcurrency(bench: StorageBench): void {
  /** Checks all counts of one collection, and by the scores of a search those of its words. */
  async function expectExact(owner: string, text: string): Promise<void> {
    const { storage } = bench;
    const items = await storage.listItems({ owner, collection: COLLECTION, limit: 1_000 });
    expect(await storage.countItems({ owner })).toBe(items.length);
    expect(await storage.getCollection(owner, COLLECTION)).toMatchObject({ items: items.length });
    for (const thread of await storage.listThreads({ owner })) {
      expect(thread.items).toBe(items.filter(({ threadId }) => threadId === thread.id).length);
    }
    const hits = await storage.search({ owner, collections: [COLLECTION], text, vector: null, limit: 1_000 });
    const added = items.map((item) => ({ item, vector: null }));
    const expected = expectedHits([{ language: "none", items: added }], { text, limit: 1_000 });
    expect(hits.map(({ item: { id }, textScore }) => [id, textScore])).toEqual(
      expected.map(({ id, textScore }) => [id, textScore]),
    );
  }

  describe("storages that work at once", () => {
    it("add to one collection, and every count is exact", async () => {
      const owner = newOwner();
      for (const id of ["t0", "t1"]) await bench.storage.createThread({ owner, id });
      const adding = bench.openAll(8).flatMap((storage, at) =>
        Array.from({ length: 4 }, (_, batch) =>
          storage.addItems(
            Array.from({ length: 5 }, (_, n) =>
              itemOf(owner, `shared word${at} ${"more ".repeat(n)}`, {
                threadId: `t${n % 2}`,
                embedding: [at + 1, batch],
                key: `${at} ${batch} ${n}`,
              }),
            ),
          ),
        ),
      );
      await Promise.all(adding);
      expect(await bench.storage.countItems({ owner })).toBe(160);
      await expectExact(owner, "word3 more shared");
      expect(
        await bench.storage.search({ owner, collections: [COLLECTION], vector: [1, 0], limit: 1_000 }),
      ).toHaveLength(160);
    });

    it("add, replace, update and delete the same items, and what is found is what is there", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      await Promise.all(
        bench.openAll(6).map(async (storage, at) => {
          for (let round = 0; round < 8; round++) {
            const key = `k${(round + at) % 4}`;
            const item = itemOf(owner, `text${at} round${round} ${"x ".repeat(round)}`, {
              key,
              embedding: [at + 1, round],
              ...(round % 2 === 0 && { threadId: "t" }),
            });
            const [added] = await storage.addItems([item, itemOf(owner, `free${at}`)], { replace: true });
            const id = added?.id as string;
            if (round % 3 === 0) await storage.deleteItems(owner, [id]);
            else await storage.updateItem(owner, id, { text: `updated${at} x` }).catch(expectNotFound);
            if (round === 5) await storage.deleteItemsWhere({ owner, key: "k1" });
          }
        }),
      );
      await expectExact(owner, "x free1 updated2 text3 round4");
      const items = await bench.storage.listItems({ owner, limit: 1_000 });
      const keyed = items.filter(({ key }) => key !== undefined);
      expect(new Set(keyed.map(({ key }) => key)).size).toBe(keyed.length);
      // An update has removed the vector of a text that is not the one that was embedded.
      const near = await bench.storage.search({ owner, collections: [COLLECTION], vector: [1, 1], limit: 1_000 });
      expect(near.every(({ item }) => item.text.startsWith("text"))).toBe(true);
      expect(near).toHaveLength(items.filter(({ text }) => text.startsWith("text")).length);
    });

    it("make the same collections at once", async () => {
      const owner = newOwner();
      await Promise.all(
        bench
          .openAll(6)
          .map((storage) =>
            storage.addItems(["a", "b", "c"].map((collection) => itemOf(owner, "one", { collection }))),
          ),
      );
      const collections = await bench.storage.listCollections({ owner });
      expect(collections.map(({ collection, items }) => [collection, items])).toEqual([
        ["a", 6],
        ["b", 6],
        ["c", 6],
      ]);
    });

    it("add while the collection is deleted: each item is gone or in the new one", async () => {
      const owner = newOwner();
      await addOne(bench.storage, itemOf(owner, "first"));
      const adding = bench.openAll(4).map(async (storage, at) => {
        for (let round = 0; round < 10; round++) await storage.addItems([itemOf(owner, `item${at} ${round} word`)]);
      });
      const deleting = (async () => {
        const storage = bench.open();
        for (let round = 0; round < 5; round++) await storage.deleteCollection(owner, COLLECTION);
      })();
      await Promise.all([...adding, deleting]);
      if ((await bench.storage.getCollection(owner, COLLECTION)) !== null) await expectExact(owner, "item1 word");
      await bench.storage.forgetOwner(owner);
      expect(await countsOf(bench.storage, owner)).toEqual({ items: 0, collections: [], threads: [] });
    });

    it("in other processes too", async ({ skip }) => {
      skip(!bench.isShared, "only this process can open the database");
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      const workers = await Promise.all([bench.startWorker(), bench.startWorker(), bench.startWorker()]);
      const memories = [bench.storage, ...workers.map(({ memory }) => memory)];
      const added = await Promise.all(
        memories.flatMap((memory, at) =>
          Array.from({ length: 6 }, (_, batch) =>
            memory.addItems([
              itemOf(owner, `process${at} shared`, { threadId: "t", embedding: [1, at] }),
              itemOf(owner, "the same", { dedup: true }),
              itemOf(owner, `batch ${batch}`, { key: `batch ${batch}` }),
            ]),
          ),
        ),
      );
      expect(added.flat()).toHaveLength(72);
      expect(await bench.storage.countItems({ owner })).toBe(24 + 1 + 6);
      await expectExact(owner, "shared process2 batch");
      for (const { memory, leave } of workers) {
        expect(await findTexts(memory as never, owner, "process0")).toHaveLength(6);
        await memory.close();
        expect(await leave()).toBe(0);
      }
    });
  });
}

function expectNotFound(error: unknown): void {
  expect(error).toMatchObject({ code: "NOT_FOUND" });
}
