import { randomUUID } from "node:crypto";
import type { Item } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { refusal } from "../../../storage/errors.ts";
import { firstDifference } from "../../../storage/first-difference.ts";
import { SPECIAL_STATES } from "../../../storage/values.ts";
import {
  addAll,
  addOne,
  COLLECTION,
  countsOf,
  findNear,
  findTexts,
  itemOf,
  newOwner,
  type StorageBench,
} from "../bench.ts";
import { newId } from "../ids.ts";

export function describeItems(bench: StorageBench): void {
  describe("items", () => {
    it("come back with all members as they were given, from every call", async () => {
      const owner = newOwner();
      const thread = await bench.storage.createThread({ owner });
      const given = itemOf(owner, "every member", {
        value: { at: new Date(5), list: [1n, undefined] },
        threadId: thread.id,
        role: "user",
        key: "the key",
        id: newId(),
        embedding: [1, 2, 3],
        importance: 0.25,
        metadata: { topic: "weather", count: 3, isTrue: true },
        createdAt: 1_700_000_000_123,
        expiresAt: 8_000_000_000_000,
        checkpointId: newId(),
      });
      const { embedding: _, ...members } = given;
      const expected = { ...members, position: expect.any(Number), revision: expect.any(String) };
      const added = await addOne(bench.storage, given);
      expect(added).toStrictEqual(expected);
      const other = bench.open();
      for (const storage of [bench.storage, other]) {
        const [hit] = await storage.search({ owner, collections: [COLLECTION], text: "member", vector: [1, 2, 3] });
        expect(hit?.item).toStrictEqual(added);
        expect(await storage.getItem(owner, added.id)).toStrictEqual(added);
        expect(await storage.getItem(owner, added.id.toUpperCase())).toStrictEqual(added);
        expect(await storage.listItems({ owner })).toStrictEqual([added]);
        expect(firstDifference((await storage.getItem(owner, added.id))?.value, given.value)).toBeNull();
      }
    });

    it("have the documented defaults, and no member that was not given", async () => {
      const owner = newOwner();
      const before = Date.now();
      const added = await addOne(bench.storage, itemOf(owner, "few members"));
      expect(Object.keys(added).sort()).toEqual(
        ["collection", "createdAt", "id", "importance", "owner", "position", "revision", "text"].sort(),
      );
      expect(added).toMatchObject({ importance: 0.5, collection: COLLECTION, owner });
      expect(added.createdAt).toBeGreaterThanOrEqual(before);
      expect(added.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(await bench.storage.getItem(owner, added.id)).toStrictEqual(added);
    });

    it("keep values of every kind, and tell no value from undefined", async () => {
      const owner = newOwner();
      const values = Object.values(SPECIAL_STATES);
      const added = await addAll(
        bench.storage,
        values.map((value, at) => itemOf(owner, `value ${at}`, { value })),
      );
      const listed = await bench.storage.listItems({ owner, limit: 1_000 });
      for (const [at, value] of values.entries()) {
        expect(firstDifference((added[at] as Item).value, value), `value ${at}`).toBeNull();
        expect(firstDifference((listed[at] as Item).value, value), `value ${at}`).toBeNull();
      }
      const without = await addOne(bench.storage, itemOf(owner, "without"));
      const withUndefined = await addOne(bench.storage, itemOf(owner, "with", { value: undefined }));
      expect("value" in without).toBe(false);
      expect("value" in withUndefined).toBe(true);
      expect("value" in ((await bench.storage.getItem(owner, withUndefined.id)) as Item)).toBe(true);
    });

    it("are stored as they were when they were handed in", async () => {
      const owner = newOwner();
      const value = { list: [1] };
      const metadata = { topic: "before" };
      const embedding = Float32Array.of(1, 0);
      const items = [itemOf(owner, "before", { value, metadata, embedding })];
      const adding = bench.storage.addItems(items);
      value.list.push(2);
      metadata.topic = "after";
      embedding.set([0, 1]);
      items.push(itemOf(owner, "after"));
      expect(await adding).toMatchObject([{ text: "before", value: { list: [1] }, metadata: { topic: "before" } }]);
      const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], vector: [1, 0] });
      expect(hit?.similarity).toBe(1);
    });

    it("may be none; then nothing is made", async () => {
      expect(await bench.storage.addItems([])).toEqual([]);
    });

    it("that are added again with the same id or key and content are one item", async () => {
      const owner = newOwner();
      const items = [
        itemOf(owner, "by id", { id: newId(), value: new Map([[1, 2]]), metadata: { a: 1, b: 2 } }),
        itemOf(owner, "by key", { key: "k", embedding: [1, 1], role: "user" }),
        itemOf(owner, "by both", { id: newId(), key: "both", expiresAt: 8_000_000_000_000 }),
      ];
      const added = await bench.storage.addItems(items);
      expect(await bench.open().addItems(items)).toStrictEqual(added);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 3, collections: [{ items: 3 }] });
    });

    it.each([
      ["text", { text: "other" }],
      ["value", { value: 2 }],
      ["role", { role: "assistant" }],
      ["labels", { metadata: { a: "1" } }],
      ["importance", { importance: 0.6 }],
      ["expiry", { expiresAt: 8_000_000_000_001 }],
      ["time", { createdAt: 6 }],
      ["thread", { threadId: "the other" }],
      ["checkpoint", { checkpointId: "01890000-0000-7000-8000-000000000002" }],
    ])("with the same key and another %s are a conflict, and nothing of the call is added", async (_, change) => {
      const owner = newOwner();
      for (const id of ["the first", "the other"]) await bench.storage.createThread({ owner, id });
      const item = itemOf(owner, "one", {
        key: "k",
        value: 1,
        role: "user",
        metadata: { a: 1 },
        importance: 0.5,
        expiresAt: 8_000_000_000_000,
        createdAt: 5,
        threadId: "the first",
        checkpointId: "01890000-0000-7000-8000-000000000001",
      });
      const added = await addOne(bench.storage, item);
      const before = await countsOf(bench.storage, owner);
      const newcomer = itemOf(owner, "newcomer", { collection: "new" });
      await refusal(bench.storage.addItems([newcomer, { ...item, ...change }]), "CONFLICT");
      expect(await countsOf(bench.storage, owner)).toEqual({
        ...before,
        collections: expect.arrayContaining(before.collections),
      });
      expect(await findTexts(bench.storage, owner, "one other newcomer")).toEqual(["one"]);
      expect(await bench.storage.getItem(owner, added.id)).toStrictEqual(added);
    });

    it("with the same key and other content replace the item, if that is asked for: its words and vector too", async () => {
      const owner = newOwner();
      const thread = await bench.storage.createThread({ owner });
      const first = await addOne(
        bench.storage,
        itemOf(owner, "yellow submarine", { key: "k", threadId: thread.id, embedding: [1, 0], createdAt: 7 }),
      );
      const replacement = itemOf(owner, "green field", { key: "k", embedding: [0, 1], role: "user" });
      const [second] = await bench.storage.addItems([replacement], { replace: true });
      expect(second).toMatchObject({ id: first.id, position: first.position, createdAt: 7, role: "user" });
      expect(second).not.toHaveProperty("threadId");
      expect(second?.revision).not.toBe(first.revision);
      expect(await findTexts(bench.storage, owner, "yellow submarine")).toEqual([]);
      expect(await findTexts(bench.storage, owner, "green")).toEqual(["green field"]);
      const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], vector: [0, 1] });
      expect(hit?.similarity).toBe(1);
      expect(await countsOf(bench.storage, owner)).toMatchObject({
        items: 1,
        collections: [{ items: 1 }],
        threads: [[thread.id, 0]],
      });

      const [third] = await bench.storage.addItems([itemOf(owner, "no vector", { key: "k" })], { replace: true });
      expect(await findNear(bench.storage, owner, [0, 1])).toEqual([]);
      const [moved] = await bench.storage.addItems([itemOf(owner, "other id", { key: "k", id: newId() })], {
        replace: true,
      });
      expect(moved?.id).not.toBe(third?.id);
      expect(await bench.storage.getItem(owner, (third as Item).id)).toBeNull();
      expect(await bench.storage.countItems({ owner })).toBe(1);
    });

    it("of one call that have the same key are one item, a conflict, or with replace the last of them", async () => {
      const owner = newOwner();
      const [one, same] = await bench.storage.addItems([
        itemOf(owner, "a", { key: "k" }),
        itemOf(owner, "a", { key: "k" }),
      ]);
      expect(same).toStrictEqual(one);
      const twice = [itemOf(owner, "b", { key: "l" }), itemOf(owner, "c", { key: "l" })];
      await refusal(bench.storage.addItems(twice), "CONFLICT");
      expect(await bench.storage.countItems({ owner })).toBe(1);
      const replaced = await bench.storage.addItems(
        [...twice, itemOf(owner, "d", { key: "k" }), itemOf(owner, "e", { key: "k" })],
        { replace: true },
      );
      expect(replaced.map(({ text }) => text)).toEqual(["c", "c", "e", "e"]);
      expect(await findTexts(bench.storage, owner, "a b c d e")).toEqual(["c", "e"]);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 2 });
    });

    it("replace items when the id and the key of one are those of two others", async () => {
      const owner = newOwner();
      const [one, two] = await bench.storage.addItems([itemOf(owner, "alpha"), itemOf(owner, "beta", { key: "k" })]);
      const both = itemOf(owner, "gamma", { id: (one as Item).id, key: "k" });
      await refusal(bench.storage.addItems([both]), "CONFLICT");
      const [item] = await bench.storage.addItems([both], { replace: true });
      expect(item).toMatchObject({ id: (one as Item).id, key: "k", text: "gamma" });
      expect(await bench.storage.getItem(owner, (two as Item).id)).toBeNull();
      expect(await findTexts(bench.storage, owner, "alpha beta gamma")).toEqual(["gamma"]);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 1 });
    });

    it("with the same text are one item only among those that ask for it", async () => {
      const owner = newOwner();
      const [first, again] = await bench.storage.addItems([
        itemOf(owner, "same", { dedup: true, role: "user" }),
        itemOf(owner, "same", { dedup: true, role: "assistant", value: 1 }),
      ]);
      expect(again).toStrictEqual(first);
      // One with a key of its own is another item, and replaces none.
      const another = newOwner();
      const keyed = ["a", "b"].map((key) => itemOf(another, "same", { dedup: true, key }));
      await bench.storage.addItems(keyed, { replace: true });
      expect(await bench.storage.countItems({ owner: another })).toBe(2);
      expect(await addOne(bench.open(), itemOf(owner, "same", { dedup: true }))).toStrictEqual(first);
      const [plain, other, elsewhere] = await bench.storage.addItems([
        itemOf(owner, "same"),
        itemOf(owner, "same ", { dedup: true }),
        itemOf(owner, "same", { dedup: true, collection: "elsewhere" }),
      ]);
      expect(new Set([first, plain, other, elsewhere].map((item) => item?.id)).size).toBe(4);
      expect(await bench.storage.countItems({ owner })).toBe(4);
    });

    it("of two storages that add the same text at the same moment are one item", async () => {
      const owner = newOwner();
      const storages = bench.openAll(4);
      const added = await Promise.all(
        storages.map((storage) =>
          storage.addItems([itemOf(owner, "race", { dedup: true }), itemOf(owner, "second race", { dedup: true })]),
        ),
      );
      for (const items of added) expect(items).toStrictEqual(added[0]);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 2, collections: [{ items: 2 }] });
      expect(await findTexts(bench.storage, owner, "race")).toHaveLength(2);
    });

    it("of several storages that add the same key at the same moment: one is stored, those with other content conflict", async () => {
      const owner = newOwner();
      const outcomes = await Promise.allSettled(
        bench.openAll(6).map((storage, at) => storage.addItems([itemOf(owner, `content ${at % 3}`, { key: "k" })])),
      );
      const [stored] = await bench.storage.listItems({ owner });
      for (const [at, outcome] of outcomes.entries()) {
        if (`content ${at % 3}` === stored?.text) expect(outcome).toMatchObject({ value: [stored] });
        else expect(outcome).toMatchObject({ reason: { code: "CONFLICT" } });
      }
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 1, collections: [{ items: 1 }] });
    });

    it("of an absent thread are refused, and nothing is added", async () => {
      const owner = newOwner();
      await bench.storage.createThread({ owner: `${owner} other`, id: "t" });
      const items = [itemOf(owner, "fine"), itemOf(owner, "astray", { threadId: "t", embedding: [1] })];
      await refusal(bench.storage.addItems(items), "NOT_FOUND");
      expect(await bench.storage.countItems({ owner })).toBe(0);
      expect(await findTexts(bench.storage, owner, "fine astray")).toEqual([]);
    });

    it("of several owners and collections are added in one call, or none of them", async () => {
      const [one, two] = [newOwner(), newOwner()];
      await bench.storage.addItems([itemOf(two, "taken", { key: "k" })]);
      const items = [
        itemOf(one, "first"),
        itemOf(one, "second", { collection: "b" }),
        itemOf(two, "third", { key: "k" }),
      ];
      await refusal(bench.storage.addItems(items), "CONFLICT");
      expect(await bench.storage.countItems({ owner: one })).toBe(0);
      const added = await bench.storage.addItems([...items.slice(0, 2), itemOf(two, "third")]);
      expect(added.map(({ owner, collection, text }) => [owner, collection, text])).toEqual([
        [one, COLLECTION, "first"],
        [one, "b", "second"],
        [two, COLLECTION, "third"],
      ]);
      expect(await bench.storage.countItems({ owner: one })).toBe(2);
      expect(await bench.storage.countItems({ owner: two })).toBe(2);
    });

    it("with an id that the owner has in another collection are refused, and nothing is added", async () => {
      const [owner, id] = [newOwner(), newId()];
      const { storage } = bench;
      const first = await addOne(storage, itemOf(owner, "first", { id }));
      const elsewhere = itemOf(owner, "first", { id, collection: "other" });
      const fine = itemOf(owner, "fine", { collection: "other" });
      for (const options of [{}, { replace: true }]) {
        const error = await refusal(storage.addItems([fine, elsewhere], options), "CONFLICT");
        expect(error.message).toContain("items[1]");
      }
      const twins = [itemOf(owner, "a", { id: newId() }), itemOf(owner, "b", { id: newId() })];
      const bothHere = twins.map((item, at) => ({ ...item, id: twins[0]?.id, collection: `collection ${at}` }));
      await refusal(storage.addItems(bothHere, { replace: true }), "CONFLICT");
      expect(await storage.countItems({ owner })).toBe(1);
      expect(await storage.getItem(owner, id)).toStrictEqual(first);

      await storage.deleteCollection(owner, COLLECTION);
      const moved = await addOne(storage, elsewhere);
      expect(await storage.getItem(owner, id)).toStrictEqual(moved);
      await storage.updateItem(owner, id, { expiresAt: 0 });
      const back = await addOne(storage, itemOf(owner, "back", { id }));
      expect(await storage.getItem(owner, id)).toStrictEqual(back);
      expect(await storage.getCollection(owner, "other")).toMatchObject({ items: 0 });
      expect(await storage.search({ owner, collections: ["other"], text: "first" })).toEqual([]);
    });

    it("of several storages that add one id to different collections at the same moment: one is stored", async () => {
      const owner = newOwner();
      for (let round = 0; round < 5; round++) {
        const id = newId();
        const outcomes = await Promise.allSettled(
          bench
            .openAll(6)
            .map((storage, at) => storage.addItems([itemOf(owner, "one", { id, collection: `collection ${at}` })])),
        );
        const stored = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
        expect(stored).toHaveLength(1);
        const refused = outcomes.filter((outcome) => outcome.status === "rejected");
        expect(refused.map(({ reason }) => reason.code)).toEqual(Array.from({ length: 5 }, () => "CONFLICT"));
        expect(await bench.storage.getItem(owner, id)).toStrictEqual(stored[0]);
        expect(await bench.storage.countItems({ owner })).toBe(round + 1);
      }
    });

    it("with an id that another owner has are other items", async () => {
      const [one, two] = [newOwner(), newOwner()];
      const id = newId();
      for (const owner of [one, two]) await addOne(bench.storage, itemOf(owner, `of ${owner}`, { id }));
      for (const owner of [one, two]) {
        expect(await bench.storage.getItem(owner, id)).toMatchObject({ owner, text: `of ${owner}` });
      }
      expect(await bench.storage.deleteItems(one, [id])).toBe(1);
      expect(await bench.storage.getItem(one, id)).toBeNull();
      expect(await bench.storage.getItem(two, id)).toMatchObject({ owner: two });
    });
  });

  describe("replacing", () => {
    it("an item by one with the same content and another vector gives it that vector", async () => {
      const owner = newOwner();
      const item = itemOf(owner, "words", { key: "k" });
      const { id } = await addOne(bench.storage, item);
      const near = async () => {
        const hits = await bench.storage.search({ owner, collections: [COLLECTION], vector: [1, 0] });
        return hits.map((hit) => [hit.item.id, hit.similarity]);
      };
      await bench.storage.addItems([{ ...item, embedding: [0, 1] }], { replace: true });
      expect(await near()).toEqual([[id, 0]]);
      await bench.storage.addItems([{ ...item, embedding: [1, 0] }], { replace: true });
      expect(await near()).toEqual([[id, 1]]);
      await bench.storage.addItems([{ ...item, embedding: [0, 1] }]);
      expect(await near()).toEqual([[id, 1]]);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 1 });
    });

    it("several items of one call that share keys and ids leaves the last ones", async () => {
      const owner = newOwner();
      const [id, other] = [newId(), newId()];
      const kept = await addOne(bench.storage, itemOf(owner, "stored", { id, key: "k" }));
      const added = await bench.storage.addItems(
        [
          itemOf(owner, "second", { id, key: "m" }),
          itemOf(owner, "third", { id: other, key: "k" }),
          itemOf(owner, "fourth", { id: other, key: "m" }),
        ],
        { replace: true },
      );
      expect(added.map(({ text }) => text)).toEqual(["fourth", "fourth", "fourth"]);
      expect(await bench.storage.getItem(owner, kept.id)).toBeNull();
      expect(await findTexts(bench.storage, owner, "stored second third fourth")).toEqual(["fourth"]);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 1, collections: [{ items: 1 }] });
    });
  });

  describe("a list of items", () => {
    it("has them in the order in which they were added, whatever their times and ids, by any storage", async () => {
      const owner = newOwner();
      const other = bench.open();
      const texts: string[] = [];
      for (let at = 0; at < 6; at++) {
        const storage = at % 2 === 0 ? bench.storage : other;
        // Having read the last one, a storage adds behind it.
        await storage.listItems({ owner, collection: COLLECTION, order: "newest", limit: 1 });
        const some = Array.from({ length: 5 }, (_, index) => `${at} ${index}`);
        await storage.addItems(some.map((text, index) => itemOf(owner, text, { createdAt: 100 - at * 10 - index })));
        texts.push(...some);
      }
      const listed = await bench.storage.listItems({ owner, collection: COLLECTION });
      expect(listed.map(({ text }) => text)).toEqual(texts);
      expect((await other.listItems({ owner, order: "newest" })).map(({ text }) => text)).toEqual(texts.toReversed());
    });

    it("is read page by page in both directions, each item once", async () => {
      const owner = newOwner();
      const added = await addAll(
        bench.storage,
        Array.from({ length: 25 }, (_, at) => itemOf(owner, `item ${at}`, { role: at % 2 === 0 ? "even" : "odd" })),
      );
      await bench.storage.addItems([itemOf(owner, "elsewhere", { collection: "elsewhere" })]);
      for (const order of ["oldest", "newest"] as const) {
        for (const filter of [{}, { role: "odd" }]) {
          const seen: string[] = [];
          for (let after: number | undefined; ; ) {
            const page = await bench.storage.listItems({
              owner,
              collection: COLLECTION,
              order,
              limit: 4,
              ...filter,
              ...(after !== undefined && { after }),
            });
            seen.push(...page.map(({ text }) => text));
            after = page.at(-1)?.position;
            if (after === undefined) break;
          }
          const wanted = added
            .filter(({ role }) => !("role" in filter) || role === filter.role)
            .map(({ text }) => text);
          expect(seen).toEqual(order === "oldest" ? wanted : wanted.toReversed());
        }
      }
    });

    it("has the items of many collections in one order, whether they have few or many", async () => {
      const owner = newOwner();
      const collections = Array.from({ length: 30 }, (_, at) => `c${at}`);
      for (let round = 0; round < 4; round++) {
        const texts = Array.from({ length: 60 }, (_, at) => `${round} ${at}`);
        await addAll(bench.storage, [
          ...texts.map((text) => itemOf(owner, text)),
          ...collections.map((collection) => itemOf(owner, `${round}`, { collection })),
        ]);
      }
      const all: Item[] = [];
      for (const collection of [COLLECTION, ...collections]) {
        all.push(...(await bench.storage.listItems({ owner, collection, limit: 1_000 })));
      }
      expect(all).toHaveLength(360);
      all.sort((one, other) => one.position - other.position);
      const positions = (items: readonly Item[]) => items.map(({ position }) => position);
      for (const limit of [1, 7, 250, 1_000]) {
        const oldest = await bench.storage.listItems({ owner, limit });
        expect(positions(oldest)).toEqual(positions(all.slice(0, limit)));
        const newest = await bench.storage.listItems({ owner, order: "newest", limit });
        expect(positions(newest)).toEqual(positions(all.toReversed().slice(0, limit)));
      }
      expect(await bench.storage.countItems({ owner })).toBe(360);
      expect(await bench.storage.deleteItemsWhere({ owner, createdBefore: Date.now() + 1e6 })).toBe(360);
      expect(await bench.storage.listItems({ owner })).toEqual([]);
    });

    it("has 100 items unless a limit says otherwise", async () => {
      const owner = newOwner();
      await addAll(
        bench.storage,
        Array.from({ length: 120 }, () => itemOf(owner, "")),
      );
      expect(await bench.storage.listItems({ owner })).toHaveLength(100);
      expect(await bench.storage.listItems({ owner, limit: 1_000 })).toHaveLength(120);
      expect(await bench.storage.countItems({ owner })).toBe(120);
    });
  });

  describe("deleted items", () => {
    it("are found by nothing, also when their keys, ids and texts are used again", async () => {
      const owner = newOwner();
      const id = newId();
      const members = { id, key: "k", dedup: true };
      const old = await addOne(bench.storage, itemOf(owner, "old words", { ...members, embedding: [1, 0] }));
      expect(await bench.storage.deleteItems(owner, [id.toUpperCase(), id, newId(), "no id"])).toBe(1);
      const other = bench.open();
      for (const storage of [bench.storage, other]) {
        expect(await storage.getItem(owner, id)).toBeNull();
        expect(await findTexts(storage, owner, "old words")).toEqual([]);
        expect(await findNear(storage, owner, [1, 0])).toEqual([]);
        expect(await storage.listItems({ owner })).toEqual([]);
        expect(await storage.countItems({ owner, key: "k" })).toBe(0);
      }
      const again = await addOne(other, itemOf(owner, "new sentence", { ...members, embedding: [0, 1] }));
      expect(again.position).toBeGreaterThan(old.position);
      expect(await findTexts(bench.storage, owner, "old words")).toEqual([]);
      expect(await findTexts(bench.storage, owner, "sentence")).toEqual(["new sentence"]);
      const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], vector: [1, 0] });
      expect(hit).toMatchObject({ similarity: 0, item: { text: "new sentence" } });
      await other.deleteItems(owner, [id]);
      const without = await addOne(other, itemOf(owner, "no vector", members));
      expect(await findNear(bench.storage, owner, [0, 1])).toEqual([]);
      expect(await bench.storage.getItem(owner, id)).toStrictEqual(without);
    });

    it("are those of the ids, in several commits, and the counts follow", async () => {
      const owner = newOwner();
      const added = await addAll(
        bench.storage,
        Array.from({ length: 1_100 }, (_, at) => itemOf(owner, at % 2 === 0 ? "even" : "odd")),
      );
      const even = added.filter(({ text }) => text === "even").map(({ id }) => id);
      expect(await bench.storage.deleteItems(owner, even)).toBe(550);
      expect(await bench.storage.deleteItems(owner, even)).toBe(0);
      expect(await bench.storage.deleteItems(owner, [])).toBe(0);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 550, collections: [{ items: 550 }] });
      expect(await findTexts(bench.storage, owner, "even")).toEqual([]);
      expect(await findTexts(bench.storage, owner, "odd")).toHaveLength(550);
      expect(await bench.storage.deleteItemsWhere({ owner, collection: COLLECTION })).toBe(550);
      expect(await countsOf(bench.storage, owner)).toMatchObject({ items: 0, collections: [{ items: 0 }] });
    });

    it("may be ones whose time has come, by their ids and by a filter", async () => {
      const owner = newOwner();
      const members = { expiresAt: 1, dedup: true };
      const [one] = await addAll(bench.storage, [itemOf(owner, "one", members), itemOf(owner, "two", members)]);
      expect(await bench.storage.getItem(owner, one?.id as string)).toBeNull();
      expect(await bench.storage.countItems({ owner })).toBe(0);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 2 });
      expect(await bench.storage.deleteItems(owner, [one?.id as string])).toBe(1);
      expect(await bench.storage.deleteItems(owner, [one?.id as string])).toBe(0);
      expect(await bench.storage.deleteItemsWhere({ owner })).toBe(1);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 0 });
    });

    it("make room for the same key and text once their time has come", async () => {
      const owner = newOwner();
      await addAll(bench.storage, [
        itemOf(owner, "one", { expiresAt: 1, key: "k" }),
        itemOf(owner, "two", { expiresAt: 1, dedup: true }),
      ]);
      const again = await addAll(bench.storage, [
        itemOf(owner, "three", { key: "k" }),
        itemOf(owner, "two", { dedup: true }),
      ]);
      expect(await bench.storage.listItems({ owner })).toStrictEqual(again);
      expect(await bench.storage.getCollection(owner, COLLECTION)).toMatchObject({ items: 2 });
    });

    it("are those that a filter selects, in one collection or in all", async () => {
      const owner = newOwner();
      const add = async () => {
        await bench.storage.addItems(
          ["a", "b"].flatMap((collection) => [
            itemOf(owner, "one", { collection, role: "user", metadata: { n: 1 } }),
            itemOf(owner, "two", { collection, role: "tool", metadata: { n: 2 } }),
          ]),
        );
      };
      await add();
      expect(await bench.storage.deleteItemsWhere({ owner, collection: "a", role: "user" })).toBe(1);
      expect(await bench.storage.deleteItemsWhere({ owner, metadata: { n: 2 } })).toBe(2);
      expect((await bench.storage.listItems({ owner })).map(({ collection, text }) => [collection, text])).toEqual([
        ["b", "one"],
      ]);
      expect(await bench.storage.deleteItemsWhere({ owner })).toBe(1);
      expect(await bench.storage.deleteItemsWhere({ owner, collection: randomUUID() })).toBe(0);
    });
  });
}
