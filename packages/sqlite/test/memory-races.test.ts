import type { CommonMemoryOptions, Embedder } from "@waymark/core/memory";
import { expect, it, onTestFinished, vi } from "vitest";
import { newFile } from "./fixtures.ts";
import { openWatchedMemory } from "./memory-fixture.ts";

/** A memory, and another one on the same file, which changes something while the first one is at work. */
function racing(common: CommonMemoryOptions = {}) {
  const databasePath = newFile();
  const { memory, meanwhile } = openWatchedMemory(databasePath, common);
  return { memory, other: openWatchedMemory(databasePath, common).memory, meanwhile };
}

const [owner, collection] = ["o", "c"];

it("an item that takes the place of one that is being deleted by its id stays", async () => {
  const { memory, other, meanwhile } = racing();
  const [item] = await memory.addItems([{ owner, collection, text: "old", key: "k" }]);
  const id = "01890000-0000-7000-8000-000000000001";
  meanwhile(() => other.addItems([{ owner, collection, text: "new", key: "k", id }], { replace: true }));
  expect(await memory.deleteItems(owner, [item?.id as string])).toBe(0);
  expect(await memory.listItems({ owner })).toMatchObject([{ id, text: "new" }]);
});

it("an item that a filter does not select any more stays", async () => {
  const { memory, other, meanwhile } = racing();
  const added = await memory.addItems(["one", "two"].map((text) => ({ owner, collection, text, role: "user" })));
  meanwhile(() => other.updateItem(owner, added[0]?.id as string, { role: "tool" }));
  expect(await memory.deleteItemsWhere({ owner, role: "user" })).toBe(1);
  expect(await memory.listItems({ owner })).toMatchObject([{ text: "one", role: "tool" }]);
});

it("an item moves to no thread that is deleted meanwhile", async () => {
  const { memory, other, meanwhile } = racing();
  await memory.createThread({ owner, id: "t" });
  const [item] = await memory.addItems([{ owner, collection, text: "one" }]);
  meanwhile(() => other.deleteThread(owner, "t"));
  const moving = memory.updateItem(owner, item?.id as string, { threadId: "t" });
  await expect(moving).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await memory.listItems({ owner })).toStrictEqual([item]);
});

it("an update is refused where another item takes its key meanwhile", async () => {
  const { memory, other, meanwhile } = racing();
  const [item] = await memory.addItems([{ owner, collection, text: "one" }]);
  meanwhile(() => other.addItems([{ owner, collection, text: "two", key: "k" }]));
  const updating = memory.updateItem(owner, item?.id as string, { key: "k" });
  await expect(updating).rejects.toMatchObject({ code: "CONFLICT" });
});

it("many items are added although others are added to their collection all the time", async () => {
  const { memory, other, meanwhile } = racing();
  await memory.addItems([{ owner, collection, text: "first" }]);
  let count = 0;
  const addOne = () => other.addItems([{ owner, collection, text: `small ${++count}` }]);
  meanwhile(addOne, "change", 50);
  const items = Array.from({ length: 100 }, (_, at) => ({ owner, collection, text: `many ${at}` }));
  const added = await memory.addItems(items);
  expect(count).toBeLessThan(10);
  expect(await memory.listItems({ owner, limit: 200 })).toStrictEqual([
    ...(await memory.listItems({ owner, limit: count + 1 })),
    ...added,
  ]);
  const [last] = await other.addItems([{ owner, collection, text: "last" }]);
  expect(await memory.listItems({ owner, order: "newest", limit: 1 })).toStrictEqual([last]);
});

it("a search finds what is there although the time of hits comes while it runs", async () => {
  const { memory, meanwhile } = racing();
  const now = Date.now();
  onTestFinished(() => {
    vi.restoreAllMocks();
  });
  const clock = vi.spyOn(Date, "now").mockReturnValue(now);
  const items = [1, 2, 3, 4].map((at) => ({ owner, collection, text: "tea", expiresAt: now + at }));
  await memory.addItems([{ owner, collection, text: "tea for ever" }, ...items]);
  let passed = 0;
  meanwhile(async () => clock.mockReturnValue(now + ++passed), "scoreTerms", 4);
  const hits = await memory.search({ owner, collections: [collection], text: "tea" });
  expect(hits.map(({ item }) => item.text)).toContain("tea for ever");
  expect(hits.filter(({ item }) => (item.expiresAt ?? now + 9) <= now + passed)).toEqual([]);
});

it("a search finds an item whose collection is re-embedded, from beginning to end, while it runs", async () => {
  const ofModel = (model: string): Embedder => ({
    model,
    dimensions: 2,
    embed: async (texts) => texts.map(({ length }) => [1, length]),
  });
  const [old, next] = [ofModel("old"), ofModel("next")];
  const { memory, other, meanwhile } = racing({ embedder: [old, next] });
  await memory.addItems([{ owner, collection, text: "tea" }]);
  meanwhile(() => other.reembed({ owner, collection, embedder: next }), "nearest");
  const search = { owner, collections: [collection], text: "tea", fusion: { text: 0, vector: 1 } };
  expect(await memory.search(search)).toMatchObject([{ item: { text: "tea" }, similarity: expect.closeTo(1, 6) }]);
});

it("a thread is created where the one that had its id is deleted meanwhile", async () => {
  const { memory, other, meanwhile } = racing();
  await other.createThread({ owner, id: "t", title: "old" });
  meanwhile(() => other.deleteThread(owner, "t"), "refused change");
  const created = await memory.createThread({ owner, id: "t", title: "new" });
  expect(await other.getThread(owner, "t")).toStrictEqual(created);
  expect(created).toMatchObject({ title: "new" });
});

it("an item whose text changes while it is deleted leaves no words", async () => {
  const { memory, other, meanwhile } = racing();
  const texts = ["one", "two"];
  const added = await memory.addItems(texts.map((text) => ({ owner, collection, text })));
  meanwhile(() => other.updateItem(owner, added[0]?.id as string, { text: "three" }));
  expect(await memory.deleteItemsWhere({ owner })).toBe(2);
  await memory.addItems([{ owner, collection, text: "four" }]);
  expect(await memory.search({ owner, collections: [collection], text: "one two three" })).toEqual([]);
});
