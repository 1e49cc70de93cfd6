import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { addOne, COLLECTION, countsOf, findNear, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { newId } from "../ids.ts";

export function describeUpdating(bench: StorageBench): void {
  describe("an updated item", () => {
    it("is found by its new words and vector, and not by the old ones", async () => {
      const owner = newOwner();
      await addOne(bench.storage, itemOf(owner, "bystander", { embedding: [0.5, 0.5] }));
      const item = await addOne(bench.storage, itemOf(owner, "old apple", { embedding: [1, 0], key: "k" }));
      const change = { text: "new pear", embedding: [0, 1] };
      const updated = await bench.open().updateItem(owner, item.id, change);
      expect(updated).toStrictEqual({ ...item, text: "new pear", revision: updated.revision });
      expect(updated.revision).not.toBe(item.revision);
      expect(await bench.storage.getItem(owner, item.id)).toStrictEqual(updated);
      expect(await findTexts(bench.storage, owner, "old apple")).toEqual([]);
      expect(await findTexts(bench.storage, owner, "new pear apple")).toEqual(["new pear"]);
      const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector: [0, 1] });
      expect(hits.map(({ item: { text }, similarity }) => [text, similarity])).toEqual([
        ["new pear", 1],
        ["bystander", expect.closeTo(Math.SQRT1_2, 6)],
      ]);
    });

    it("keeps its vector with the same text, and loses it with another one, if nothing embeds it", async () => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "text", { embedding: [1, 0] }));
      await bench.storage.updateItem(owner, item.id, { text: "text", importance: 1 });
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual(["text"]);
      await bench.storage.updateItem(owner, item.id, { text: "other" });
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual([]);
      expect(await findTexts(bench.storage, owner, "text other")).toEqual(["other"]);
      await bench.storage.updateItem(owner, item.id, { embedding: [0, 1] });
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual(["other"]);
      await bench.storage.updateItem(owner, item.id, { embedding: null });
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual([]);
    });

    it("has what was given, and what null removes is gone", async () => {
      const owner = newOwner();
      const item = await addOne(
        bench.storage,
        itemOf(owner, "words", { value: 1, role: "user", metadata: { a: 1 }, expiresAt: 8_000_000_000_000 }),
      );
      const change = { value: undefined, role: "tool", importance: 0, metadata: { b: null }, expiresAt: 8e12 + 1 };
      const changed = await bench.storage.updateItem(owner, item.id, change);
      expect(changed).toStrictEqual({ ...item, ...change, revision: changed.revision });
      expect(await bench.storage.countItems({ owner, role: "tool", metadata: { b: null } })).toBe(1);
      const removal = { role: null, metadata: null, expiresAt: null };
      const bare = await bench.storage.updateItem(owner, item.id, removal);
      expect(bare).not.toHaveProperty("role");
      expect(bare).not.toHaveProperty("metadata");
      expect(bare).not.toHaveProperty("expiresAt");
      expect("value" in bare).toBe(true);
      expect(await bench.storage.getItem(owner, item.id)).toStrictEqual(bare);
    });

    it("moves to another thread, and has another key and checkpoint, if that is asked for", async () => {
      const owner = newOwner();
      for (const id of ["from", "to"]) await bench.storage.createThread({ owner, id });
      const given = { threadId: "from", key: "k", checkpointId: newId() };
      const [item, other] = await bench.storage.addItems([itemOf(owner, "words", given), itemOf(owner, "other")]);
      const threads = async () =>
        (await bench.storage.listThreads({ owner })).map((thread) => [thread.id, thread.items]).sort();
      const change = { threadId: "to", key: "l", checkpointId: newId() };
      const moved = await bench.storage.updateItem(owner, item?.id as string, change);
      expect(moved).toStrictEqual({ ...item, ...change, revision: moved.revision });
      expect(await bench.open().getItem(owner, moved.id)).toStrictEqual(moved);
      expect(await threads()).toEqual([
        ["from", 0],
        ["to", 1],
      ]);
      expect(await bench.storage.countItems({ owner, threadId: "to", key: "l" })).toBe(1);
      await bench.storage.updateItem(owner, other?.id as string, { key: "k" }); // which is free
      await refusal(bench.storage.updateItem(owner, moved.id, { key: "k", text: "x" }), "CONFLICT");
      await refusal(bench.storage.updateItem(owner, moved.id, { threadId: "absent", text: "x" }), "NOT_FOUND");
      expect(await bench.storage.getItem(owner, moved.id)).toStrictEqual(moved);
      const bare = await bench.storage.updateItem(owner, moved.id, { threadId: null, key: null, checkpointId: null });
      expect(Object.keys(bare)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/threadId|key|checkpointId/)]),
      );
      expect(await threads()).toEqual([
        ["from", 0],
        ["to", 0],
      ]);
      expect(await bench.storage.deleteThread(owner, "to")).toBe(true);
      expect(await findTexts(bench.storage, owner, "words")).toEqual(["words"]);
    });

    it("takes a vector of the collection's model, and refuses one of another", async () => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "words"));
      await bench.storage.updateItem(owner, item.id, { embedding: [1, 0], model: "m" });
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ dimensions: 2, model: "m" });
      await refusal(bench.storage.updateItem(owner, item.id, { embedding: [0, 1], model: "n" }), "MODEL_MISMATCH");
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual(["words"]);
    });

    it("takes the key and the text of items whose time has come, which are gone then", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner, id: "t" });
      const expired = { expiresAt: 1, threadId: "t", embedding: [1] };
      const [byKey, byText, item] = await bench.storage.addItems([
        itemOf(owner, "of the key", { ...expired, key: "k" }),
        itemOf(owner, "the text", { ...expired, dedup: true }),
        itemOf(owner, "before", { dedup: true }),
      ]);
      const updated = await bench.storage.updateItem(owner, item?.id as string, { key: "k", text: "the text" });
      expect(updated).toMatchObject({ key: "k", text: "the text" });
      expect(await countsOf(bench.storage, owner)).toMatchObject({
        items: 1,
        collections: [{ items: 1 }],
        threads: [["t", 0]],
      });
      expect(await bench.storage.deleteItems(owner, [byKey?.id as string, byText?.id as string])).toBe(0);
      expect(await findTexts(bench.storage, owner, "key text before")).toEqual(["the text"]);
    });

    it("is changed only at the revision that was asked for", async () => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "first"));
      const second = await bench.storage.updateItem(owner, item.id, { text: "second" }, { ifRevision: item.revision });
      await refusal(
        bench.storage.updateItem(owner, item.id, { text: "third" }, { ifRevision: item.revision }),
        "CONFLICT",
      );
      expect(await bench.storage.getItem(owner, item.id)).toStrictEqual(second);
      const outcomes = await Promise.allSettled(
        bench
          .openAll(6)
          .map((storage, at) =>
            storage.updateItem(owner, item.id, { text: `racer ${at}` }, { ifRevision: second.revision }),
          ),
      );
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "CONFLICT" });
      }
      expect(await findTexts(bench.storage, owner, "racer")).toHaveLength(1);
      expect(await findTexts(bench.storage, owner, "second")).toEqual([]);
    });

    it("is refused where there is none, or the vector does not fit, and nothing is changed", async () => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "first", { embedding: [1, 0] }));
      await refusal(bench.storage.updateItem(owner, newId(), { text: "x" }), "NOT_FOUND");
      await refusal(bench.storage.updateItem(owner, "no id", { text: "x" }), "NOT_FOUND");
      await refusal(bench.storage.updateItem(newOwner(), item.id, { text: "x" }), "NOT_FOUND");
      const vector = { text: "second", embedding: [1, 0, 0] };
      await refusal(bench.storage.updateItem(owner, item.id, vector), "DIMENSION_MISMATCH");
      expect(await bench.storage.getItem(owner, item.id)).toStrictEqual(item);
      expect(await findTexts(bench.storage, owner, "first second")).toEqual(["first"]);
      expect(await findNear(bench.storage, owner, [1, 0])).toEqual(["first"]);
    });

    it("conflicts with another item of the same text, where the same text is one item", async () => {
      const owner = newOwner();
      const [one, two] = await bench.storage.addItems([
        itemOf(owner, "one", { dedup: true }),
        itemOf(owner, "two", { dedup: true }),
      ]);
      const before = await countsOf(bench.storage, owner);
      await refusal(bench.storage.updateItem(owner, two?.id as string, { text: "one" }), "CONFLICT");
      expect(await countsOf(bench.storage, owner)).toEqual(before);
      expect(await findTexts(bench.storage, owner, "one two")).toHaveLength(2);
      await bench.storage.updateItem(owner, one?.id as string, { text: "three" });
      await bench.storage.updateItem(owner, two?.id as string, { text: "one" });
      expect(await addOne(bench.storage, itemOf(owner, "three", { dedup: true }))).toMatchObject({ id: one?.id });
    });

    it("may have its first vector, which fixes the dimensions of the collection", async () => {
      const owner = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "text"));
      expect(await bench.storage.getCollection(owner, COLLECTION)).not.toHaveProperty("dimensions");
      await bench.storage.updateItem(owner, item.id, { embedding: [1, 2, 3] });
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ dimensions: 3 });
      await refusal(bench.storage.addItems([itemOf(owner, "x", { embedding: [1] })]), "DIMENSION_MISMATCH");
    });

    it("counts once in the words of its collection, whatever its texts were", async () => {
      const owner = newOwner();
      const twin = newOwner();
      const item = await addOne(bench.storage, itemOf(owner, "one two three four five six seven"));
      await bench.storage.updateItem(owner, item.id, { text: "one two" });
      await bench.storage.addItems([itemOf(owner, "two three")]);
      await bench.storage.addItems([itemOf(twin, "one two"), itemOf(twin, "two three")]);
      const scores = async (one: string) =>
        (await bench.storage.search({ owner: one, collections: [COLLECTION], text: "two three" })).map(
          ({ textScore }) => textScore,
        );
      expect(await scores(owner)).toEqual(await scores(twin));
    });
  });
}
