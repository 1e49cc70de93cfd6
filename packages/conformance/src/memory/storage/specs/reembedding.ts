import type { Embedder, Item } from "@waymark/core/memory";
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
      expect(result).toEqual({ embedded: 25, failed: 0, failures: [] });
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
      expect(await bench.storage.reembed({ owner, collection, embedder })).toMatchObject({ embedded: 0 });
    });

    it("embeds items that have no vector yet, with the collection's own model", async () => {
      const owner = newOwner();
      await bench.storage.addItems(texts.slice(0, 5).map((text) => itemOf(owner, text)));
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) })).toMatchObject({
        embedded: 5,
      });
      await bench.storage.addItems([itemOf(owner, "late")]);
      expect(await bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) })).toMatchObject({
        embedded: 1,
      });
      await expectVectors(bench, owner, "m", 3, [...texts.slice(0, 5), "late"]);
      await refusal(bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 4) }), "DIMENSION_MISMATCH");
    });

    it("embeds what is added without a vector while it does that", async () => {
      const owner = newOwner();
      await bench.storage.addItems([itemOf(owner, "first")]);
      await bench.storage.reembed({ owner, collection, embedder: newEmbedder("m", 3) });
      await bench.storage.addItems([itemOf(owner, "second")]);
      const embedder = newEmbedder("m", 3, {
        before: async () => {
          if (embedder.calls.length === 1) await bench.storage.addItems([itemOf(owner, "meanwhile")]);
        },
      });
      expect(await bench.storage.reembed({ owner, collection, embedder })).toMatchObject({ embedded: 2 });
      await expectVectors(bench, owner, "m", 3, ["first", "second", "meanwhile"]);
    });

    it("goes on where it was after a failure; meanwhile searches use the vectors that were there", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      let calls = 0;
      const failing = newEmbedder("new", 6, {
        before: () => {
          calls += 1;
          if (calls > 2) throw new TypeError("down");
        },
      });
      const begun = bench.storage.reembed({ owner, collection, embedder: failing, batchSize: 5 });
      expect(await begun).toMatchObject({ embedded: 10, failed: 15 });
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
      const result = await bench.open().reembed({ owner, collection, embedder, batchSize: 5 });
      expect(result).toMatchObject({ embedded: 10 });
      await expectVectors(bench, owner, "new", 6, texts);
    });

    it("skips texts that the embedder fails with, tells which, and does not switch before they have changed", async () => {
      const owner = newOwner();
      const added = await bench
        .open({ embedder: newEmbedder("old", 4) })
        .addItems(texts.map((text) => itemOf(owner, text)));
      const [bad, worse] = [added[3] as Item, added[24] as Item];
      const embedder = newEmbedder("new", 6, {
        maxBatch: 4,
        before: (some) => {
          if (some.some((text) => [bad.text, worse.text].includes(text))) throw new RangeError("too long");
        },
      });
      const embed = () => bench.storage.reembed({ owner, collection, embedder, batchSize: 10 });
      const result = await embed();
      const error = expect.objectContaining({ code: "EMBEDDING_FAILED", retryable: true });
      expect(result).toEqual({
        embedded: 23,
        failed: 2,
        failures: [bad, worse].map(({ id }) => ({ id, error })),
      });
      await expectVectors(bench, owner, "old", 4, texts);
      embedder.calls.length = 0;
      await bench.storage.deleteItems(owner, [worse.id]);
      expect(await embed()).toMatchObject({ embedded: 0, failed: 1 });
      expect(embedder.calls.map((call) => call.texts)).toEqual([[bad.text]]);
      await bench.storage.updateItem(owner, bad.id, { text: "shorter" });
      expect(await embed()).toMatchObject({ embedded: 1, failed: 0 });
      await expectVectors(bench, owner, "new", 6, [
        ...texts.filter((text) => ![bad.text, worse.text].includes(text)),
        "shorter",
      ]);
    });

    it("skips a text that the embedder does not answer in time for", async () => {
      const owner = newOwner();
      const added = await bench
        .open({ embedder: newEmbedder("old", 4) })
        .addItems(texts.map((text) => itemOf(owner, text)));
      const slow = added[3] as Item;
      const never = new Promise<never>(() => {});
      const before = (some: readonly string[]) => (some.includes(slow.text) ? never : null);
      const embedder = { ...newEmbedder("new", 6, { before }), timeoutMs: 1 };
      const error = expect.objectContaining({ code: "TIMEOUT" });
      expect(await bench.storage.reembed({ owner, collection, embedder, batchSize: 10 })).toEqual({
        embedded: 24,
        failed: 1,
        failures: [{ id: slow.id, error }],
      });
      await bench.storage.deleteItems(owner, [slow.id]);
      await bench.storage.reembed({ owner, collection, embedder });
      const others = texts.filter((text) => text !== slow.text);
      await expectVectors(bench, owner, "new", 6, others);
    });

    it("ends after 20 texts in a row that the embedder fails with", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      const embedder = newEmbedder("new", 6, {
        before: () => {
          throw new TypeError("down");
        },
      });
      await refusal(bench.storage.reembed({ owner, collection, embedder }), "EMBEDDING_FAILED");
      expect(embedder.calls).toHaveLength(1 + 20);
    });

    it("ends though items of the old model are added all the time", async () => {
      const owner = newOwner();
      const other = bench.open({ embedder: newEmbedder("old", 4) });
      await other.addItems(texts.map((text) => itemOf(owner, text)));
      let added = 0;
      const embedder = newEmbedder("new", 6, {
        before: async () => {
          added += 1;
          if (added <= 20) await other.addItems([itemOf(owner, `added ${added}`)]);
        },
      });
      await bench.storage.reembed({ owner, collection, embedder, batchSize: 5 });
      expect(embedder.calls.flatMap((call) => call.texts)).toHaveLength(25 + 20); // each of them once
      const all = [...texts, ...Array.from({ length: 20 }, (_, at) => `added ${at + 1}`)];
      await expectVectors(bench, owner, "new", 6, all);
    });

    it("takes the place of one with another model only if that is asked for, and then the other one ends", async () => {
      const owner = newOwner();
      await bench.open({ embedder: newEmbedder("old", 4) }).addItems(texts.map((text) => itemOf(owner, text)));
      const second = newEmbedder("second", 6);
      const first = newEmbedder("first", 6, {
        before: async () => {
          if (first.calls.length !== 2) return;
          const error = await refusal(bench.storage.reembed({ owner, collection, embedder: second }), "CONFLICT");
          expect(error.message).toContain('"first"');
          expect(error.message).toContain("restart");
          await refusal(bench.storage.reembed({ owner, collection, embedder: newEmbedder("old", 4) }), "CONFLICT");
          await bench.storage.reembed({ owner, collection, embedder: second, restart: true });
        },
      });
      await refusal(bench.open().reembed({ owner, collection, embedder: first, batchSize: 5 }), "CONFLICT");
      expect(first.calls).toHaveLength(2);
      expect(second.calls.flatMap((call) => call.texts)).toHaveLength(25);
      expect(await bench.storage.getCollection(owner, collection)).not.toHaveProperty("reembedding");
      await expectVectors(bench, owner, "second", 6, texts);
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

    it.each(["updated", "replaced"])("meets an item again that was %s behind it", async (how) => {
      const owner = newOwner();
      const other = bench.open({ embedder: newEmbedder("old", 4) });
      const added = await other.addItems(texts.map((text) => itemOf(owner, text, { key: text })));
      const embedder = newEmbedder("new", 6, {
        before: async () => {
          if (embedder.calls.length !== 3) return;
          if (how === "updated") await other.updateItem(owner, added[1]?.id as string, { text: "other" });
          else await other.addItems([itemOf(owner, "other", { key: texts[1] as string })], { replace: true });
        },
      });
      await bench.storage.reembed({ owner, collection, embedder, batchSize: 5 });
      expect(embedder.calls.at(-1)?.texts).toEqual(["other"]);
      await expectVectors(bench, owner, "new", 6, [...texts.filter((_, at) => at !== 1), "other"]);
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
        const result = await bench.storage.reembed({ owner, collection, embedder, batchSize: 3, restart: true });
        expect(result).toMatchObject({ embedded: 3, failed: 3 });
      };
      const embed = (embedder: Embedder) => bench.storage.reembed({ owner, collection, embedder, restart: true });
      await begin("b");
      expect(await embed(newEmbedder("old", 4))).toMatchObject({ embedded: 0 });
      expect(await bench.storage.getCollection(owner, collection)).not.toHaveProperty("reembedding");
      await expectVectors(bench, owner, "old", 4, some);
      expect(await embed(newEmbedder("c", 6))).toMatchObject({ embedded: 6 });
      await expectVectors(bench, owner, "c", 6, some);

      await begin("d");
      await begin("e");
      expect(await embed(newEmbedder("d", 6))).toMatchObject({ embedded: 6 });
      await expectVectors(bench, owner, "d", 6, some);
      await begin("e");
      await embed(newEmbedder("d", 6));
      expect(await embed(newEmbedder("f", 6))).toMatchObject({ embedded: 6 });
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
