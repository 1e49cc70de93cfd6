import type { MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { expect, it, onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { newFile } from "./fixtures.ts";

/**
 * A memory, and another one on the same file; `meanwhile`: work that is done when the first one is about to change something, or where its
 * change was refused by a unique index.
 */
function racing() {
  const options = resolveOptions({ databasePath: newFile() });
  const open = (wrap: (dialect: MemoryDialect) => MemoryDialect): MemoryStorage => {
    const memory = createMemoryStorage(
      wrap(createMemoryDialect(shareConnection(options).share(), options, false)),
      resolveMemoryOptions({}),
    );
    onTestFinished(() => memory.close());
    return memory;
  };
  let due: (() => Promise<unknown>) | null = null;
  let dueOnRefusal: (() => Promise<unknown>) | null = null;
  const memory = open((dialect) => ({
    ...dialect,
    records: {
      find: (...args) => dialect.records.find(...args),
      count: (...args) => dialect.records.count(...args),
      modify: (...args) => dialect.records.modify(...args),
      async change(...args) {
        const work = due;
        due = null;
        await work?.();
        return await dialect.records.change(...args).catch(async (error) => {
          const work = dueOnRefusal;
          dueOnRefusal = null;
          await work?.();
          throw error;
        });
      },
    },
  }));
  const meanwhile = (work: () => Promise<unknown>) => {
    due = work;
  };
  const afterRefusal = (work: () => Promise<unknown>) => {
    dueOnRefusal = work;
  };
  return { memory, other: open((dialect) => dialect), meanwhile, afterRefusal };
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

it("a thread is created where the one that had its id is deleted meanwhile", async () => {
  const { memory, other, afterRefusal } = racing();
  await other.createThread({ owner, id: "t", title: "old" });
  afterRefusal(() => other.deleteThread(owner, "t"));
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
