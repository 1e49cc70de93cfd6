import type { Embedder, Item, NewItem } from "@waymark/core/memory";
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
        [newEmbedder("other", 2), "MODEL_MISMATCH", "reembed"],
        [newEmbedder("m", 3), "DIMENSION_MISMATCH", '"m@3"'],
      ] as const;
      for (const [embedder, code, advice] of cases) {
        const storage = bench.open({ embedder });
        const error = await refusal(storage.addItems([itemOf(owner, "b")]), code);
        expect(error.message).toContain(advice);
        await refusal(storage.search({ owner, collections: [COLLECTION], text: "a", requireVector: true }), code);
        await refusal(
          storage.search({ owner, collections: [COLLECTION], text: "a", fusion: { text: 0, vector: 1 } }),
          code,
        );
        if (code === "MODEL_MISMATCH") expect(embedder.calls).toEqual([]);
        expect(await storage.search({ owner, collections: [COLLECTION], text: "a", vector: null })).toHaveLength(1);
      }
      const storage = bench.open({ embedder: newEmbedder("m", 2) });
      await refusal(storage.addItems([itemOf(owner, "b")], { model: "other" }), "MODEL_MISMATCH");
      expect(await countsOf(bench.storage, owner)).toEqual(before);
    });

    it("that does not fit a collection leaves its search to the words", async () => {
      const owner = newOwner();
      await addOne(bench.open({ embedder: newEmbedder("m", 2) }), itemOf(owner, "found by its word"));
      const embedder = newEmbedder("other", 2);
      const storage = bench.open({ embedder });
      const hits = await storage.search({ owner, collections: [COLLECTION], text: "word" });
      expect(hits).toMatchObject([{ item: { text: "found by its word" } }]);
      expect(hits[0]).not.toHaveProperty("similarity");
      expect(embedder.calls).toEqual([]);
    });
  });

  describe("several embedders", () => {
    it("are each for the collections of their models, and the first for new ones", async () => {
      const owner = newOwner();
      const [next, old, unused] = [newEmbedder("next", 3), newEmbedder("old", 2), newEmbedder("unused", 2)];
      const add = (embedder: Embedder, collection: string) =>
        addOne(bench.open({ embedder }), itemOf(owner, `first of ${collection}`, { collection }));
      await add(old, "a");
      await add(old, "b");
      await add(next, "c");
      await add(newEmbedder("foreign", 5), "d");
      for (const { calls } of [next, old]) calls.length = 0;

      const storage = bench.open({ embedder: [next, unused, old] });
      const inAll = ["a", "b", "c", "e"].map((collection) => itemOf(owner, `word ${collection}`, { collection }));
      const [inA] = (await storage.addItems(inAll)) as [Item];
      expect(old.calls.map(({ texts }) => texts)).toEqual([["word a", "word b"]]);
      expect(next.calls.map(({ texts }) => texts)).toEqual([["word c", "word e"]]);
      await storage.updateItem(owner, inA.id, { text: "changed word" });
      expect(old.calls.at(-1)?.texts).toEqual(["changed word"]);
      expect(await storage.getCollection(owner, "e")).toMatchObject({ model: "next", dimensions: 3 });
      await refusal(storage.addItems([itemOf(owner, "x", { collection: "d" })]), "MODEL_MISMATCH");

      for (const { calls } of [next, old]) calls.length = 0;
      const collections = ["a", "b", "c", "d", "e", "none"];
      const hits = await storage.search({ owner, collections, text: "word first", limit: 100 });
      expect([old.calls.length, next.calls.length, unused.calls.length]).toEqual([1, 1, 0]);
      const found = hits.map(({ item, similarity }) => [item.text, similarity !== undefined]);
      expect(found.sort()).toEqual([
        ["changed word", true],
        ["first of a", true],
        ["first of b", true],
        ["first of c", true],
        ["first of d", false],
        ["word b", true],
        ["word c", true],
        ["word e", true],
      ]);
      const given = [itemOf(owner, "given", { collection: "a", embedding: [1, 2] })];
      await storage.addItems(given);
      await refusal(storage.addItems([{ ...given[0], collection: "e" } as NewItem]), "DIMENSION_MISMATCH");
    });

    it("let a collection change its model while everything goes on", async () => {
      const owner = newOwner();
      await bench
        .open({ embedder: newEmbedder("old", 4) })
        .addItems(Array.from({ length: 30 }, (_, at) => itemOf(owner, `word ${at}`)));
      const open = () => bench.open({ embedder: [newEmbedder("next", 6), newEmbedder("old", 4)] });
      let isDone = false;
      const working = [open(), open()].map(async (storage, worker) => {
        const texts: string[] = [];
        for (let at = 0; !isDone || at < 3; at++) {
          const item = await addOne(storage, itemOf(owner, `added ${worker} ${at}`));
          texts.push(`changed ${worker} ${at}`);
          await storage.updateItem(owner, item.id, { text: texts.at(-1) as string });
          const search = { owner, collections: [COLLECTION], text: texts.at(-1) as string, requireVector: true };
          const [hit] = await storage.search(search);
          expect(hit).toMatchObject({ item: { text: texts.at(-1) }, similarity: expect.closeTo(1, 6) });
        }
        return texts;
      });
      await open()
        .reembed({ owner, collection: COLLECTION, batchSize: 5 })
        .finally(() => {
          isDone = true;
        });
      const texts = (await Promise.all(working)).flat();
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ model: "next", dimensions: 6 });
      for (const text of [...texts, "word 0", "word 29"]) {
        const vector = vectorOf("next", 6, text);
        const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], vector, model: "next" });
        expect(hit).toMatchObject({ item: { text }, similarity: expect.closeTo(1, 6) });
      }
    });

    it("embed what is added and changed while a collection is re-embedded for both models", async () => {
      const owner = newOwner();
      const both = bench.open({ embedder: [newEmbedder("next", 6), newEmbedder("old", 4)] });
      const [first] = (await bench
        .open({ embedder: newEmbedder("old", 4) })
        .addItems(["first", "second"].map((text) => itemOf(owner, text)))) as [Item];
      const embedder = newEmbedder("next", 6, {
        before: async () => {
          if (embedder.calls.length > 1) return;
          await both.addItems([itemOf(owner, "added")]);
          await both.updateItem(owner, first.id, { text: "changed" });
        },
      });
      await bench.storage.reembed({ owner, collection: COLLECTION, embedder });
      expect(embedder.calls.map(({ texts }) => texts)).toEqual([["first", "second"]]);
      for (const text of ["second", "added", "changed"]) {
        const vector = vectorOf("next", 6, text);
        const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector, exact: true });
        expect(hits).toHaveLength(3);
        expect(hits[0]).toMatchObject({ item: { text }, similarity: expect.closeTo(1, 6) });
      }
    });

    it("have names of their own", () => {
      const open = (embedder: unknown) => () => bench.open({ embedder } as never);
      expect(open([])).toThrow(/options\.embedder/);
      expect(open([newEmbedder("m", 2), newEmbedder("m", 3)])).toThrow(/options\.embedder\[1\]\.model/);
      expect(open([newEmbedder("m", 2), {}])).toThrow(/options\.embedder\[1\]\.embed/);
    });
  });
}
