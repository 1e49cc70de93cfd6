import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addOne, COLLECTION, countsOf, findNear, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { newEmbedder } from "../embedders.ts";

export function describeCollections(bench: StorageBench): void {
  describe("a collection", () => {
    it("is made by its first item, and its vectors by their first one", async () => {
      const owner = newOwner();
      const { storage } = bench;
      expect(await storage.getCollection(owner, COLLECTION)).toBeNull();
      expect(await storage.search({ owner, collections: [COLLECTION], text: "a", vector: [1] })).toEqual([]);
      await storage.addItems([itemOf(owner, "a")]);
      const made = await storage.getCollection(owner, COLLECTION);
      const times = { createdAt: expect.any(Number) };
      expect(made).toStrictEqual({ owner, collection: COLLECTION, language: "none", items: 1, ...times });
      await storage.addItems([itemOf(owner, "b", { embedding: [1, 2] })], { model: "m1" });
      const fixed = await bench.open().getCollection(owner, COLLECTION);
      expect(fixed).toStrictEqual({ ...made, items: 2, dimensions: 2, model: "m1" });
      await storage.deleteItemsWhere({ owner });
      expect(await storage.getCollection(owner, COLLECTION)).toStrictEqual({ ...fixed, items: 0 });
      expect(await storage.listCollections({ owner })).toStrictEqual([{ ...fixed, items: 0 }]);
    });

    it("refuses vectors of another model, though their dimensions are the same, before anything is written", async () => {
      const owner = newOwner();
      const { storage } = bench;
      await storage.addItems([itemOf(owner, "a", { embedding: [1, 2] })], { model: "m1" });
      const before = await countsOf(storage, owner);
      await refusal(storage.addItems([itemOf(owner, "b", { embedding: [1, 2] })], { model: "m2" }), "MODEL_MISMATCH");
      const search = { owner, collections: [COLLECTION], vector: [1, 2] };
      await refusal(storage.search({ ...search, model: "m2" }), "MODEL_MISMATCH");
      expect(await countsOf(storage, owner)).toEqual(before);
      expect(await findTexts(storage, owner, "b")).toEqual([]);
      expect(await storage.search({ ...search, model: "m1" })).toHaveLength(1);
      expect(await storage.search(search)).toHaveLength(1);
      await storage.addItems([itemOf(owner, "c", { embedding: [1, 2] })]); // that of the collection
      await storage.addItems([itemOf(owner, "without a vector")], { model: "m2" });
    });

    it("has no dimensions and no model before a vector is stored, whatever was given with items that are not inserted", async () => {
      const owner = newOwner();
      const { storage } = bench;
      await storage.addItems([itemOf(owner, "a", { key: "k" })]);
      const again = itemOf(owner, "a", { key: "k", embedding: [1, 2] });
      await storage.addItems([again, itemOf(owner, "b")], { model: "m1" });
      const replaced = [itemOf(owner, "c", { key: "l", embedding: [1, 2] }), itemOf(owner, "d", { key: "l" })];
      await storage.addItems(replaced, { model: "m1", replace: true });
      const stored = await storage.getCollection(owner, COLLECTION);
      expect(stored).toMatchObject({ items: 3 });
      expect(stored).not.toHaveProperty("dimensions");
      await storage.addItems([itemOf(owner, "e", { embedding: [1, 2, 3] })], { model: "m2" });
      expect(await storage.getCollection(owner, COLLECTION)).toMatchObject({ dimensions: 3, model: "m2" });
    });

    it("whose first vector names no model takes none that names one, until it is re-embedded", async () => {
      const owner = newOwner();
      const { storage } = bench;
      const item = await addOne(storage, itemOf(owner, "a", { embedding: [1, 2] }));
      await addOne(storage, itemOf(owner, "b", { embedding: [2, 1] }));
      const named = { model: "m1" };
      const embedder = newEmbedder("m1", 2);
      await refusal(storage.addItems([itemOf(owner, "c", { embedding: [1, 2] })], named), "MODEL_MISMATCH");
      await refusal(bench.open({ embedder }).addItems([itemOf(owner, "c")]), "MODEL_MISMATCH");
      await refusal(bench.open({ embedder }).updateItem(owner, item.id, { text: "c" }), "MODEL_MISMATCH");
      await refusal(storage.search({ owner, collections: [COLLECTION], vector: [1, 2], ...named }), "MODEL_MISMATCH");
      expect(await storage.getCollection(owner, COLLECTION)).not.toHaveProperty("model");
      expect(await findNear(storage, owner, [1, 2])).toEqual(["a", "b"]);

      expect(await storage.reembed({ owner, collection: COLLECTION, embedder })).toMatchObject({ embedded: 2 });
      await storage.addItems([itemOf(owner, "c", { embedding: [1, 2] })], named);
      expect(await storage.getCollection(owner, COLLECTION)).toMatchObject({ ...named, items: 3 });
    });

    it("makes its owner known to who lists all of them, page by page", async () => {
      const owners = ["a", "b", "c", "d"].map((name) => `${name} ${newOwner()}`);
      const [first, , third] = owners as [string, string, string];
      const { storage } = bench;
      await storage.addItems(owners.map((owner) => itemOf(owner, "x")));
      await storage.addItems(["a", "b", "c"].map((collection) => itemOf(first, "x", { collection })));
      await storage.createThread({ owner: `e ${newOwner()}` });
      await storage.forgetOwner(third);
      const all: string[] = [];
      for (let page: string[] = []; page.length > 0 || all.length === 0; all.push(...page)) {
        page = await storage.listOwners({ limit: 2, ...(all.length > 0 && { after: all.at(-1) as string }) });
        expect(page.length).toBeLessThanOrEqual(2);
      }
      expect(all).toEqual([...all].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))));
      expect(new Set(all).size).toBe(all.length);
      expect(all.filter((owner) => owners.includes(owner))).toEqual(owners.filter((owner) => owner !== third));
      expect(all.some((owner) => owner.startsWith("e "))).toBe(false);
    });

    it("has the language of the options with which it was made, for every storage", async () => {
      const owner = newOwner();
      const english = bench.open({ collections: { memories: { language: "en" }, "*": { language: "none" } } });
      const other = bench.open({ collections: { "*": { language: "en" } } });
      const plain = bench.storage;
      await english.addItems([itemOf(owner, "she was running", { collection: "memories" }), itemOf(owner, "running")]);
      await other.addItems([itemOf(owner, "running", { collection: "others" })]);
      const languages = (await plain.listCollections({ owner })).map(({ collection, language }) => [
        collection,
        language,
      ]);
      expect(languages).toEqual([
        ["memories", "en"],
        [COLLECTION, "none"],
        ["others", "en"],
      ]);
      for (const storage of [plain, english, other]) {
        const found = async (collection: string) =>
          (await storage.search({ owner, collections: [collection], text: "the runs" })).length;
        expect([await found("memories"), await found(COLLECTION), await found("others")]).toEqual([1, 0, 1]);
      }
      await plain.addItems([itemOf(owner, "he runs", { collection: "memories" })]);
      expect(await english.search({ owner, collections: ["memories"], text: "running" })).toHaveLength(2);
    });

    it("is deleted with its items, and its name may be used anew, with other dimensions", async () => {
      const owner = newOwner();
      const { storage } = bench;
      await storage.createThread({ owner, id: "t" });
      await storage.addItems([
        ...Array.from({ length: 600 }, (_, at) =>
          itemOf(owner, "old words", { threadId: "t", key: `${at}`, ...(at < 5 && { embedding: [1, 2] }) }),
        ),
        itemOf(owner, "kept", { collection: "kept", threadId: "t" }),
      ]);
      expect(await storage.deleteCollection(owner, COLLECTION)).toBe(true);
      expect(await storage.deleteCollection(owner, COLLECTION)).toBe(false);
      expect(await storage.getCollection(owner, COLLECTION)).toBeNull();
      expect(await countsOf(storage, owner)).toMatchObject({ items: 1, threads: [["t", 1]] });
      const item = await addOne(bench.open(), itemOf(owner, "new", { key: "1", embedding: [1, 2, 3] }));
      expect(await findTexts(storage, owner, "old words new")).toEqual(["new"]);
      expect(await findNear(storage, owner, [1, 2, 3])).toEqual(["new"]);
      expect(await storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 1, dimensions: 3 });
      expect(await storage.listItems({ owner, collection: COLLECTION })).toStrictEqual([item]);
    });
  });
}
