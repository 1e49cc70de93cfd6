import type { Item, ItemConditions } from "@waymark/core/memory";
import { beforeAll, describe, expect, it } from "vitest";
import { pick, randomFrom } from "../../rows.ts";
import { addAll, COLLECTION, itemOf, newOwner, type StorageBench, textsOf } from "../bench.ts";
import { type AddedItem, expectedHits } from "../expected-hits.ts";
import { randomVector } from "./vector-search.ts";

const COUNT = 500;

/** Returns whether conditions select an item, by the words of the contract. */
function isSelected(conditions: ItemConditions, item: Item): boolean {
  const { threadId, role, key, metadata = {}, minImportance = 0, createdFrom, createdBefore } = conditions;
  return (
    (threadId ?? item.threadId) === item.threadId &&
    (role ?? item.role) === item.role &&
    (key ?? item.key) === item.key &&
    Object.entries(metadata).every(([name, value]) => Object.is(item.metadata?.[name], value)) &&
    item.importance >= minImportance &&
    item.createdAt >= (createdFrom ?? item.createdAt) &&
    item.createdAt < (createdBefore ?? Number.POSITIVE_INFINITY)
  );
}

const CONDITIONS: readonly ItemConditions[] = [
  {},
  { threadId: "rare thread" },
  { threadId: "thread 1" },
  { role: "rare" },
  { role: "user" },
  { key: "key 250" },
  { key: "KEY 250" },
  { metadata: { rare: true } },
  { metadata: { n: 3 } },
  { metadata: { n: "3" } },
  { metadata: { n: 3, s: "x" } },
  { metadata: { s: "X" } },
  { metadata: { s: null } },
  { metadata: { 'quo"te\n': "%" } },
  { metadata: {} },
  { minImportance: 0.999 },
  { minImportance: 0.5 },
  { createdFrom: 1_000 + COUNT - 1 },
  { createdFrom: 1_100, createdBefore: 1_103 },
  { createdBefore: 1_001 },
  { createdFrom: 2_000, createdBefore: 1_000 },
  { role: "user", metadata: { n: 1 }, minImportance: 0.9, createdFrom: 1_050 },
];

export function describeFilters(bench: StorageBench): void {
  describe("a filter", () => {
    const owner = newOwner();
    const added: AddedItem[] = [];

    beforeAll(async () => {
      const random = randomFrom(17);
      for (const id of ["thread 0", "thread 1", "rare thread"]) await bench.storage.createThread({ owner, id });
      const vectors = Array.from({ length: COUNT }, () => randomVector(16, random));
      const items = await addAll(
        bench.storage,
        vectors.map((embedding, at) =>
          // The rare ones are among the worst by words: they have them once in a long text.
          itemOf(owner, at % 50 === 7 ? `common ${"other words ".repeat(20)}` : "common common words", {
            embedding,
            key: `key ${at}`,
            threadId: at === 57 ? "rare thread" : `thread ${at % 2}`,
            role: at === 107 ? "rare" : pick(["user", "assistant"], random),
            importance: at === 157 ? 1 : random() * 0.99,
            createdAt: 1_000 + at,
            metadata: {
              n: at % 5,
              s: pick(["x", "X", "x ", null], random),
              ...(at === 207 && { rare: true }),
              ...(at === 257 && { 'quo"te\n': "%" }),
            },
          }),
        ),
      );
      added.push(...items.map((item, at) => ({ item, vector: vectors[at] as Float32Array })));
    });

    it.each(CONDITIONS.map((conditions) => [JSON.stringify(conditions), conditions] as const))(
      "never shortens an answer that exists: %s",
      async (_, conditions) => {
        const random = randomFrom(23);
        const isWanted = (item: Item) => isSelected(conditions, item);
        const wanted = added.filter(({ item }) => isWanted(item)).map(({ item }) => item);
        const filter = { owner, collection: COLLECTION, ...conditions };
        expect(await bench.storage.countItems(filter)).toBe(wanted.length);
        const listed = await bench.storage.listItems({ ...filter, limit: 1_000 });
        expect(listed.map(({ id }) => id)).toEqual(wanted.map(({ id }) => id));
        const [newest] = await bench.storage.listItems({ ...filter, order: "newest", limit: 1 });
        expect(newest?.id).toBe(wanted.at(-1)?.id);
        for (const limit of [1, 10, 400]) {
          for (const search of [
            { text: "common words", limit },
            { vector: randomVector(16, random), limit },
            { text: "common", vector: randomVector(16, random), limit, fusion: "rrf" as const },
          ]) {
            const expected = expectedHits([{ language: "none", items: added }], search, isWanted);
            expect(expected).toHaveLength(Math.min(limit, wanted.length));
            for (const exact of "vector" in search ? [true, false] : [false]) {
              const hits = await bench.storage.search({
                owner,
                collections: [COLLECTION],
                ...search,
                filter: conditions,
                exact,
              });
              expect(hits).toHaveLength(expected.length);
              if (!exact && "vector" in search) continue; // by signatures: which ones, not of which order
              expect(hits.map(({ item }) => item.id)).toEqual(expected.map(({ id }) => id));
            }
          }
        }
      },
    );

    it("leaves room for others where items have expired", async () => {
      const one = newOwner();
      const storage = bench.open();
      await storage.addItems([
        ...Array.from({ length: 300 }, (_, at) =>
          itemOf(one, "gone gone", { embedding: [1, 0.001 * at], expiresAt: 1, key: `${at}` }),
        ),
        ...["a", "b", "c"].map((text) =>
          itemOf(one, `gone ${text} ${"filler ".repeat(30)}`.trim(), {
            embedding: [0, 1],
            expiresAt: 8_000_000_000_000,
          }),
        ),
        itemOf(one, `gone d ${"filler ".repeat(30)}`.trim(), { embedding: [-1, 1] }),
      ]);
      const searches = [
        { text: "gone" },
        { vector: [1, 0] },
        { vector: [1, 0], exact: true },
        { text: "gone", vector: [1, 0] },
      ];
      for (const search of searches) {
        for (const limit of [1, 4, 100]) {
          const hits = await storage.search({ owner: one, collections: [COLLECTION], ...search, limit });
          expect(hits).toHaveLength(Math.min(4, limit));
          expect(textsOf(hits).every((text) => text.includes("filler"))).toBe(true);
        }
      }
      expect(await storage.countItems({ owner: one })).toBe(4);
      expect(await storage.listItems({ owner: one })).toHaveLength(4);
      // An expired item's key is free.
      const [again] = await storage.addItems([itemOf(one, "again", { key: "5" })]);
      expect(again?.text).toBe("again");
      expect(textsOf(await storage.search({ owner: one, collections: [COLLECTION], text: "again" }))).toEqual([
        "again",
      ]);
    });

    it("finds an item until its time comes, and not from then on", async () => {
      const one = newOwner();
      const item = itemOf(one, "brief", { embedding: [1], expiresAt: 8_000_000_000_000 });
      const { id } = (await bench.storage.addItems([item]))[0] as Item;
      const find = async () =>
        await bench.storage.search({ owner: one, collections: [COLLECTION], text: "brief", vector: [1] });
      expect(await find()).toHaveLength(1);
      await bench.storage.updateItem(one, id, { expiresAt: Date.now() });
      expect(await find()).toEqual([]);
      expect(await bench.storage.getItem(one, id)).toBeNull();
      expect(await bench.storage.countItems({ owner: one })).toBe(0);
    });
  });
}
