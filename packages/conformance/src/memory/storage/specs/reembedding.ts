import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addOne, COLLECTION, countsOf, findNear, itemOf, newOwner, type StorageBench, textsOf } from "../bench.ts";
import { newEmbedder, vectorOf } from "../embedders.ts";

/** Checks that each text is found by its vector of a model, and by nothing else of that model. */
async function expectVectors(
  bench: StorageBench,
  owner: string,
  model: string,
  dimensions: number,
  texts: readonly string[],
) {
  for (const exact of [true, false]) {
    for (const text of texts) {
      const vector = vectorOf(model, dimensions, text);
      const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector, limit: 1_000, exact, model });
      expect(textsOf(hits).sort(), `vectors of ${model}`).toEqual([...texts].sort());
      expect(hits[0]).toMatchObject({ item: { text }, similarity: expect.closeTo(1, 6) });
    }
  }
}

export function describeReembedding(bench: StorageBench): void {
  describe("re-embedding", () => {
    const texts = Array.from({ length: 25 }, (_, at) => `text ${at}`);
    const collection = COLLECTION;

    it("gives all items vectors of another model and other dimensions, and tells of its progress", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      const progress: [number, number][] = [];
      const embedder = newEmbedder("new", 6, { maxBatch: 4 });
      const result = await bench.storage.reembed({
        owner,
        collection,
        embedder,
        batchSize: 10,
        onProgress: ({ done, total }) => progress.push([done, total]),
      });
      expect(result).toEqual({ embedded: 25 });
      expect(progress).toEqual([
        [10, 25],
        [20, 25],
        [25, 25],
      ]);
      expect(embedder.calls.every(({ texts: some, options }) => some.length <= 4 && options.purpose === "store")).toBe(
        true,
      );
      const stored = await bench.storage.getCollection(owner, collection);
      expect(stored).toMatchObject({ model: "new", dimensions: 6, items: 25 });
      expect(stored).not.toHaveProperty("reembedding");
      await expectVectors(bench, owner, "new", 6, texts);
      const old = { owner, collections: [COLLECTION], vector: vectorOf("old", 4, "text 1") };
      await refusal(bench.storage.search(old), "DIMENSION_MISMATCH");
      await refusal(bench.storage.search({ ...old, model: "old" }), "MODEL_MISMATCH");
      expect(await bench.storage.reembed({ owner, collection, embedder })).toEqual({ embedded: 0 });
    });

    it("embeds items that have no vector yet, with the collection's own model", async () => {
      const owner = newOwner();
      await bench.storage.addItems(texts.slice(0, 5).map((text) => itemOf(owner, text)));
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) })).toEqual({
        embedded: 5,
      });
      await bench.storage.addItems([itemOf(owner, "late")]);
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) })).toEqual({
        embedded: 1,
      });
      await expectVectors(bench, owner, "m", 3, [...texts.slice(0, 5), "late"]);
      await refusal(bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 4) }), "DIMENSION_MISMATCH");
    });

    it("goes on where it was after a failure; meanwhile searches use the vectors that were there", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      let calls = 0;
      const failing = newEmbedder("new", 6, {
        before: () => {
          calls += 1;
          if (calls === 3) throw new TypeError("down");
        },
      });
      await refusal(bench.storage.reembed({ owner, collection, embedder: failing, batchSize: 5 }), "EMBEDDING_FAILED");
      expect(await bench.storage.getCollection(owner, collection)).toMatchObject({
        model: "old",
        dimensions: 4,
        reembedding: { model: "new", dimensions: 6 },
      });
      await expectVectors(bench, owner, "old", 4, texts);
      await refusal(
        bench.storage.search({ owner, collections: [collection], vector: vectorOf("new", 6, "x"), model: "new" }),
        "MODEL_MISMATCH",
      );
      await refusal(
        bench.storage.reembed({ owner, collection, embedder: newEmbedder("new", 5) }),
        "DIMENSION_MISMATCH",
      );

      const controller = new AbortController();
      const embedder = newEmbedder("new", 6);
      const aborted = bench.open().reembed({
        owner,
        collection,
        embedder,
        batchSize: 5,
        signal: controller.signal,
        onProgress: ({ done }) => done === 15 && controller.abort(),
      });
      await refusal(aborted, "ABORTED");
      await expectVectors(bench, owner, "old", 4, texts);
      expect(await bench.open().reembed({ owner, collection, embedder, batchSize: 5 })).toEqual({ embedded: 10 });
      await expectVectors(bench, owner, "new", 6, texts);
    });

    it("loses no item that is added, changed or deleted meanwhile", async () => {
      const owner = newOwner();
      const other = bench.open({ embedder: newEmbedder("old", 4) });
      const renewed = bench.open({ embedder: newEmbedder("new", 6) });
      const added = await other.addItems(texts.map((text) => itemOf(owner, text)));
      const id = (at: number) => added[at]?.id as string;
      let batches = 0;
      const embedder = newEmbedder("new", 6, {
        before: async () => {
          batches += 1;
          if (batches === 1) {
            await other.addItems([itemOf(owner, "of the old model")]);
            await renewed.addItems([itemOf(owner, "of the new model")]);
            await bench.storage.addItems([itemOf(owner, "of none")]);
            await other.updateItem(owner, id(0), { text: "changed in the batch" });
          }
          if (batches === 3) {
            await other.updateItem(owner, id(1), { text: "changed behind it" });
            await other.deleteItems(owner, [id(2), id(24)]);
            await other.addItems([itemOf(owner, "before the end")]);
          }
        },
      });
      await bench.storage.reembed({ owner, collection, embedder, batchSize: 5 });
      const now = (await bench.storage.listItems({ owner, limit: 1_000 })).map(({ text }) => text);
      expect(now).toHaveLength(27);
      expect(now).toEqual(
        expect.arrayContaining(["of the old model", "of the new model", "of none", "before the end"]),
      );
      await expectVectors(bench, owner, "new", 6, now);
    });

    it("is finished only when every text has its vector, whatever items without text have", async () => {
      const owner = newOwner();
      const renewed = bench.open({ embedder: newEmbedder("new", 6) });
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems([itemOf(owner, "first")]);
      let batches = 0;
      const embedder = newEmbedder("new", 6, {
        before: async () => {
          batches += 1;
          if (batches > 1) return;
          await bench.storage.updateItem(owner, (await bench.storage.listItems({ owner }))[0]?.id as string, {
            text: "changed",
          });
          await renewed.addItems([itemOf(owner, "", { embedding: vectorOf("new", 6, "picture") })]);
        },
      });
      await bench.storage.reembed({ owner, collection, embedder });
      expect((await findNear(bench.storage, owner, vectorOf("new", 6, "changed"))).sort()).toEqual(["", "changed"]);
    });

    it("that was given up leaves nothing that a later one takes for its own", async () => {
      const owner = newOwner();
      const some = texts.slice(0, 6);
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(some.map((text) => itemOf(owner, text)));
      const stopAfter = (model: string, batches: number) => {
        let calls = 0;
        return newEmbedder(model, 6, {
          before: () => {
            calls += 1;
            if (calls > batches) throw new TypeError("down");
          },
        });
      };
      const begin = async (model: string) => {
        const embedder = stopAfter(model, 1);
        await refusal(bench.storage.reembed({ owner, collection, embedder, batchSize: 3 }), "EMBEDDING_FAILED");
      };
      await begin("b");
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("old", 4) })).toEqual({
        embedded: 0,
      });
      expect(await bench.storage.getCollection(owner, collection)).not.toHaveProperty("reembedding");
      await expectVectors(bench, owner, "old", 4, some);
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("c", 6) })).toEqual({
        embedded: 6,
      });
      await expectVectors(bench, owner, "c", 6, some);

      await begin("d");
      await begin("e");
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("d", 6) })).toEqual({
        embedded: 6,
      });
      await expectVectors(bench, owner, "d", 6, some);
      await begin("e");
      await bench.storage.reembed({ owner, collection, embedder: newEmbedder("d", 6) });
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("f", 6) })).toEqual({
        embedded: 6,
      });
      await expectVectors(bench, owner, "f", 6, some);
    });

    it("by several storages at once embeds each item, and ends", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      const results = await Promise.all(
        bench
          .openAll(3)
          .map((storage) => storage.reembed({ owner, collection, embedder: newEmbedder("new", 6), batchSize: 4 })),
      );
      expect(results.reduce((sum, { embedded }) => sum + embedded, 0)).toBe(25);
      await expectVectors(bench, owner, "new", 6, texts);
    });

    it("of a collection that is not there is refused", async () => {
      const owner = newOwner();
      await addOne(bench.storage, itemOf(`${owner} other`, "x"));
      await refusal(bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 2) }), "NOT_FOUND");
      expect(await countsOf(bench.storage, owner)).toEqual({ items: 0, collections: [], threads: [] });
    });
  });
}
