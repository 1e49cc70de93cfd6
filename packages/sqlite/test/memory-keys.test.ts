import { createSQLiteMemory } from "@waymark/sqlite/memory";
import { expect, it, onTestFinished } from "vitest";

it("selects items by one key, or by one of many, to list, count, search and delete", async () => {
  const memory = createSQLiteMemory({ databasePath: ":memory:" });
  onTestFinished(() => memory.close());
  const [owner, collection] = ["ada", "memories"];
  const keys = Array.from({ length: 1_000 }, (_, n) => `key ${n}`);
  await memory.addItems(keys.map((key) => ({ owner, collection, key, text: `tea ${key}` })));
  await memory.addItems([{ owner, collection, text: "tea without a key" }]);
  const keysOf = (items: readonly { readonly key?: string }[]) => items.map(({ key }) => key);

  expect(keysOf(await memory.listItems({ owner, collection, key: "key 7" }))).toEqual(["key 7"]);
  const some = ["key 9", "key 3", "key 3", "none", "KEY 4", "key 10"];
  expect(keysOf(await memory.listItems({ owner, collection, key: some }))).toEqual(["key 3", "key 9", "key 10"]);
  expect(await memory.countItems({ owner, collection, key: keys })).toBe(1_000);
  const hits = await memory.search({ owner, collections: [collection], text: "tea", filter: { key: some } });
  expect(keysOf(hits.map(({ item }) => item)).sort()).toEqual(["key 10", "key 3", "key 9"]);
  expect(await memory.deleteItemsWhere({ owner, key: keys.slice(10) })).toBe(990);
  expect(await memory.countItems({ owner })).toBe(11);

  const code = "INVALID_ARGUMENT";
  await expect(memory.listItems({ owner, key: [] })).rejects.toMatchObject({ code });
  await expect(memory.deleteItemsWhere({ owner, key: [...keys, "one more"] })).rejects.toMatchObject({ code });
  await expect(memory.countItems({ owner, key: ["a", ""] })).rejects.toMatchObject({
    message: expect.stringContaining("filter.key[1]"),
  });
});

it("says in its errors which collection, which item and which member is meant", async () => {
  const memory = createSQLiteMemory({ databasePath: ":memory:" });
  onTestFinished(() => memory.close());
  const item = { owner: "ada", collection: "memories", text: "tea" };
  const [added] = await memory.addItems([{ ...item, embedding: [1, 0] }], { model: "m" });
  const cases: [() => Promise<unknown>, string][] = [
    [
      () => memory.addItems([item, { ...item, embedding: [1] }]),
      "add items: items[1].embedding: expected a vector of 2 dimensions",
    ],
    [
      () => memory.addItems([{ ...item, embedding: [1, 0] }], { model: "n" }),
      'items[0].embedding: expected a vector of the model "m"',
    ],
    [
      () => memory.updateItem("ada", added?.id as string, { embedding: [1] }),
      "update item: change.embedding: expected a vector of 2 dimensions",
    ],
    [
      () => memory.search({ owner: "ada", collections: ["none", "none", "memories"], vector: [1] }),
      "search: search.collections[2]: expected a vector of 2 dimensions",
    ],
    [
      () => memory.addItems([[1], [1, 1]].map((embedding) => ({ ...item, collection: "new", embedding }))),
      "items[1].embedding: expected a vector of 1 dimensions",
    ],
    [() => memory.countItems({ owner: "ada", threadID: "t" } as never), 'got "threadID": did you mean threadId?'],
    [
      () => memory.addItems([item, { ...item, importence: 1 } as never]),
      "expected items[1] to have the members owner, ",
    ],
    [() => memory.addItems([{ ...item, importence: 1 } as never]), 'got "importence": did you mean importance?'],
  ];
  for (const [call, message] of cases) {
    await expect(call()).rejects.toMatchObject({ message: expect.stringContaining(message) });
  }
});

it("takes a text of more different words than a call of a function may have arguments", async () => {
  await using memory = createSQLiteMemory({ databasePath: ":memory:" });
  const text = Array.from({ length: 150_000 }, (_, at) => `q${at.toString(36)}`).join(" ");
  await memory.addItems([{ owner: "o", collection: "c", text }]);
  expect(await memory.search({ owner: "o", collections: ["c"], text: "q2vzt" })).toHaveLength(1);
});
