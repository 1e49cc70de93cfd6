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
