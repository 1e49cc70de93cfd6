import { updateRecords } from "@waymark/core/kit";
import type { MemoryStorage } from "@waymark/core/memory";
import { SPACES } from "@waymark/core/memory/kit";
import { expect, it } from "vitest";
import { newFile } from "./fixtures.ts";
import { openWatchedMemory } from "./memory-fixture.ts";

const add = async (memory: MemoryStorage, owner: string, text: string, id?: string) => {
  const [item] = await memory.addItems([{ owner, collection: "notes", text, id }]);
  return item?.position as number;
};

const { signal } = new AbortController();

it("gives an item a number above all that were committed before it: a cursor skips none", async () => {
  const databasePath = newFile();
  const slow = openWatchedMemory(databasePath);
  const fast = openWatchedMemory(databasePath);
  await add(fast.memory, "ann", "first");
  let seen = 0;
  slow.meanwhile(async () => {
    seen = await add(fast.memory, "ann", "overtakes");
  });
  await add(slow.memory, "ann", "was planned before it");
  const behind = await fast.memory.listItems({ owner: "ann", collection: "notes", after: seen });
  expect(behind.map(({ text }) => text)).toEqual(["was planned before it"]);
});

it("keeps a number from the future to the collection that has it", async () => {
  const { memory, dialect } = openWatchedMemory(newFile());
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
  const { memory, dialect } = openWatchedMemory(newFile());
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
