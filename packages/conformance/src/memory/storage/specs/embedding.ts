import type { Item } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addOne, COLLECTION, countsOf, findNear, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { newEmbedder, vectorOf } from "../embedders.ts";

export function describeEmbedding(bench: StorageBench): void {
  describe("an embedder", () => {
    it("makes vectors of texts that have none, in batches, and of what is searched for", async () => {
      const owner = newOwner();
      const embedder = newEmbedder("m", 8, { maxBatch: 3 });
      const storage = bench.open({ embedder });
      const items = [
        ...["a", "b", "c", "d", "e", "f", "g"].map((text) => itemOf(owner, text)),
        itemOf(owner, "given", { embedding: vectorOf("m", 8, "other") }),
        itemOf(owner, ""),
      ];
      await storage.addItems(items);
      expect(embedder.calls.map(({ texts }) => texts)).toEqual([["a", "b", "c"], ["d", "e", "f"], ["g"]]);
      for (const { options } of embedder.calls) {
        expect(options.purpose).toBe("store");
        expect(options.signal).toBeInstanceOf(AbortSignal);
      }
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({
        model: "m",
        dimensions: 8,
        items: 9,
      });
      embedder.calls.length = 0;
      const [hit] = await storage.search({ owner, collections: [COLLECTION], text: "d" });
      expect(hit).toMatchObject({ item: { text: "d" }, similarity: expect.closeTo(1, 6) });
      expect(embedder.calls).toMatchObject([{ texts: ["d"], options: { purpose: "search" } }]);
      const [given] = await storage.search({ owner, collections: [COLLECTION], text: "other", requireVector: true });
      expect(given).toMatchObject({ item: { text: "given" }, similarity: expect.closeTo(1, 6) });
      expect(await findNear(bench.storage, owner, vectorOf("m", 8, "a"))).toHaveLength(8);
    });

    it("is not called where its vector would not be used", async () => {
      const owner = newOwner();
      const embedder = newEmbedder("m", 4);
      const storage = bench.open({ embedder });
      const item = await addOne(storage, itemOf(owner, "word", { embedding: [1, 2, 3, 4] }));
      await addOne(storage, itemOf(owner, ""));
      await addOne(storage, itemOf(owner, "by its words alone", { embedding: null }));
      const search = { owner, collections: [COLLECTION], text: "word" };
      await storage.search({ ...search, vector: null });
      await storage.search({ ...search, vector: [1, 2, 3, 4] });
      await storage.search({ ...search, fusion: { text: 1, vector: 0 } });
      await storage.search({ ...search, text: "" });
      await storage.updateItem(owner, item.id, { importance: 1 });
      await storage.updateItem(owner, item.id, { text: "other", embedding: [1, 1, 1, 1] });
      await storage.updateItem(owner, item.id, { embedding: null });
      await refusal(storage.addItems([itemOf("", "x")]), "INVALID_ARGUMENT");
      expect(embedder.calls).toEqual([]);
      expect(await findNear(bench.storage, owner, [1, 2, 3, 4])).toEqual([]); // none has a vector
    });

    it("makes the vector of a new text", async () => {
      const owner = newOwner();
      const storage = bench.open({ embedder: newEmbedder("m", 8) });
      const item = await addOne(storage, itemOf(owner, "before"));
      await storage.updateItem(owner, item.id, { text: "after" });
      const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector: vectorOf("m", 8, "after") });
      expect(hits).toMatchObject([{ item: { text: "after" }, similarity: expect.closeTo(1, 6) }]);
      await storage.updateItem(owner, item.id, { text: "" });
      expect(await findNear(bench.storage, owner, vectorOf("m", 8, "after"))).toEqual([]);
    });

    const broken: Readonly<Record<string, unknown>> = {
      "throws an error": () => {
        throw new TypeError("out of tokens");
      },
      "rejects with no error": async () => await Promise.reject("nothing"),
      "returns too few vectors": async (texts: readonly string[]) => texts.slice(1).map(() => [1, 2]),
      "returns too many": async (texts: readonly string[]) => [...texts, "x"].map(() => [1, 2]),
      "returns vectors of other dimensions": async (texts: readonly string[]) => texts.map(() => [1, 2, 3]),
      "returns NaN": async (texts: readonly string[]) => texts.map(() => [1, Number.NaN]),
      "returns zeros": async (texts: readonly string[]) => texts.map(() => [0, 0]),
      "returns nothing": async () => undefined,
      "returns texts": async (texts: readonly string[]) => texts,
    };

    it.each(Object.entries(broken))("that %s fails the call, and nothing is written", async (how, embed) => {
      const owner = newOwner();
      const [item] = (await bench.storage.addItems([itemOf(owner, "kept", { embedding: [1, 2] })], {
        model: "m",
      })) as [Item];
      const before = await countsOf(bench.storage, owner);
      const embedder = { model: "m", dimensions: 2, embed: embed as never };
      const storage = bench.open({ embedder });
      // An embedder that throws may be up again later; one that returns nothing of use does what it is made for.
      const isRetryable = how.startsWith("throws") || how.startsWith("rejects");
      const code = isRetryable ? "EMBEDDING_FAILED" : "EMBEDDING_INVALID";
      const error = await refusal(
        storage.addItems([itemOf(owner, "given", { embedding: [1, 2] }), itemOf(owner, "a"), itemOf(owner, "b")]),
        code,
      );
      expect(error.retryable).toBe(isRetryable);
      expect(error.message).toContain("items[1]");
      expect(error.message).not.toContain("out of tokens");
      await refusal(storage.updateItem(owner, item.id, { text: "c" }), code);
      await refusal(storage.search({ owner, collections: [COLLECTION], text: "kept" }), code);
      const other = { ...embedder, model: "other" };
      expect(await bench.storage.reembed({ owner, collection: COLLECTION, embedder: other })).toEqual({
        embedded: 0,
        failed: 1,
        failures: [{ id: item.id, error: expect.objectContaining({ code }) }],
        isComplete: false,
      });
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: before.items });
      expect(await findTexts(bench.storage, owner, "kept a b c")).toEqual(["kept"]);
      expect(await findNear(bench.storage, owner, [1, 2])).toEqual(["kept"]);
    });

    it("gets the signal of the call, and an aborted call is ABORTED", async () => {
      const owner = newOwner();
      const controller = new AbortController();
      const embedder = newEmbedder("m", 2, { maxBatch: 1, before: () => controller.abort() });
      const storage = bench.open({ embedder });
      const items = [itemOf(owner, "a"), itemOf(owner, "b")];
      await refusal(storage.addItems(items, { signal: controller.signal }), "ABORTED");
      expect(embedder.calls).toHaveLength(1);
      expect(embedder.calls[0]?.options.signal.aborted).toBe(true);
      expect(await bench.storage.countItems({ owner })).toBe(0);
    });

    it("of another model or of other dimensions than the collection has is refused", async () => {
      const owner = newOwner();
      await addOne(bench.open({ embedder: newEmbedder("m", 2) }), itemOf(owner, "a"));
      const before = await countsOf(bench.storage, owner);
      const cases = [
        [newEmbedder("other", 2), "MODEL_MISMATCH"],
        [newEmbedder("m", 3), "DIMENSION_MISMATCH"],
      ] as const;
      for (const [embedder, code] of cases) {
        const storage = bench.open({ embedder });
        await refusal(storage.addItems([itemOf(owner, "b")]), code);
        await refusal(storage.search({ owner, collections: [COLLECTION], text: "a" }), code);
        expect(await storage.search({ owner, collections: [COLLECTION], text: "a", vector: null })).toHaveLength(1);
      }
      const storage = bench.open({ embedder: newEmbedder("m", 2) });
      await refusal(storage.addItems([itemOf(owner, "b")], { model: "other" }), "MODEL_MISMATCH");
      expect(await countsOf(bench.storage, owner)).toEqual(before);
    });
  });
}
