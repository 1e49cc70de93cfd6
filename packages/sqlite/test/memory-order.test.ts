import { updateRecords } from "@waymark/core/kit";
import type { MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions, SPACES } from "@waymark/core/memory/kit";
import { expect, it, onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { newFile } from "./fixtures.ts";

/** A memory, its dialect, and a call that is made before its next change. */
function open(databasePath: string) {
  const options = resolveOptions({ databasePath });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  const pending: (() => Promise<unknown>)[] = [];
  const wrapped: MemoryDialect = {
    ...dialect,
    records: {
      find: (...args) => dialect.records.find(...args),
      count: (...args) => dialect.records.count(...args),
      modify: (...args) => dialect.records.modify(...args),
      async change(...args) {
        await pending.shift()?.();
        return await dialect.records.change(...args);
      },
    },
  };
  const memory = createMemoryStorage(wrapped, resolveMemoryOptions());
  onTestFinished(() => memory.close());
  return { memory, dialect, beforeNextChange: (call: () => Promise<unknown>) => pending.push(call) };
}

const add = async (memory: MemoryStorage, owner: string, text: string, id?: string) => {
  const [item] = await memory.addItems([{ owner, collection: "notes", text, id }]);
  return item?.position as number;
};

const { signal } = new AbortController();

it("gives an item a number above all that were committed before it: a cursor skips none", async () => {
  const databasePath = newFile();
  const slow = open(databasePath);
  const fast = open(databasePath);
  await add(fast.memory, "ann", "first");
  let seen = 0;
  slow.beforeNextChange(async () => {
    seen = await add(fast.memory, "ann", "overtakes");
  });
  await add(slow.memory, "ann", "was planned before it");
  const behind = await fast.memory.listItems({ owner: "ann", collection: "notes", after: seen });
  expect(behind.map(({ text }) => text)).toEqual(["was planned before it"]);
});

it("keeps a number from the future to the collection that has it", async () => {
  const { memory, dialect } = open(newFile());
  const before = await add(memory, "ann", "first");
  await add(memory, "bob", "first");
  const lastNumber = 2 ** 52;
  await dialect.records.change([updateRecords(SPACES, { owner: "ann" }, { lastNumber }, 1)], signal);
  expect(await add(memory, "ann", "next")).toBe(lastNumber + 1);
  await memory.listItems({ owner: "ann" });
  const other = await add(memory, "bob", "next");
  expect(other).toBeGreaterThan(before);
  expect(other).toBeLessThan(lastNumber / 2);
  expect(await add(memory, "ann", "last")).toBe(lastNumber + 2);
});

it("takes no id for taken by an item that is being removed with its collection", async () => {
  const { memory, dialect } = open(newFile());
  const id = "019a0000-0000-7000-8000-000000000001";
  await add(memory, "ann", "some words", id);
  await memory.createThread({ owner: "ann", id: "t" });
  await memory.addItems([{ owner: "ann", collection: "kept", text: "kept", threadId: "t" }]);
  // As an interrupted call leaves it.
  const unnamed = updateRecords(SPACES, { owner: "ann", collection: "notes" }, { removal: 1 }, 1);
  await dialect.records.change([unnamed], signal);
  expect(await memory.getItem("ann", id)).toBeNull();
  await add(memory, "ann", "other words", id);
  expect(await memory.getItem("ann", id)).toMatchObject({ text: "other words" });
  expect(await memory.countItems({ owner: "ann" })).toBe(2);
  expect(await memory.forgetOwner("ann")).toEqual({ threads: 1, items: 2 });
});
