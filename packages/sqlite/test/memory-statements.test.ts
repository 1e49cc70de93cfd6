import type { MemoryStorage } from "@waymark/core/memory";
import { createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";

/** Statements since the last reset, and the most that were under way at once. */
let statements: { count: number; most: number };
let memory: MemoryStorage;

beforeEach(() => {
  const options = resolveOptions({ databasePath: ":memory:" });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  let underWay = 0;
  async function counted<Result>(run: () => Promise<Result>): Promise<Result> {
    statements.count++;
    statements.most = Math.max(statements.most, ++underWay);
    return await run().finally(() => underWay--);
  }
  const counting: MemoryDialect = {
    ...dialect,
    records: {
      find: (...args) => counted(() => dialect.records.find(...args)),
      count: (...args) => counted(() => dialect.records.count(...args)),
      change: (...args) => counted(() => dialect.records.change(...args)),
      modify: (...args) => counted(() => dialect.records.modify(...args)),
      nearest: (...args) => counted(() => dialect.records.nearest(...args)),
    },
  };
  memory = createMemoryStorage(counting, resolveMemoryOptions({}));
  onTestFinished(() => memory.close());
  statements = { count: 0, most: 0 };
});

const owner = "ann";

async function statementsOf(call: () => Promise<unknown>): Promise<number> {
  statements = { count: 0, most: 0 };
  await call();
  return statements.count;
}

it("reads, counts, prunes and deletes the items of many collections with few statements", async () => {
  await memory.createThread({ owner, id: "t" });
  const collections = Array.from({ length: 300 }, (_, at) => `c${at}`);
  await memory.addItems(collections.map((collection) => ({ owner, collection, text: "x", threadId: "t" })));
  expect(await statementsOf(() => memory.listItems({ owner }))).toBe(2);
  expect(await statementsOf(() => memory.countItems({ owner }))).toBe(2);
  expect(await statementsOf(() => memory.prune({ owner, expired: true, keepLast: 1, dryRun: true }))).toBe(2);
  expect(await statementsOf(() => memory.deleteItemsWhere({ owner, role: "none" }))).toBe(2);
  // Whether it is there; spaces and items; spaces and the commit; the same until there are no items; the thread.
  expect(await statementsOf(() => memory.deleteThread(owner, "t"))).toBeLessThan(12);
  expect(await memory.countItems({ owner })).toBe(0);
});

it("looks up the threads of all items at once", async () => {
  await memory.addItems([{ owner, collection: "c", text: "first" }]);
  for (let at = 0; at < 100; at++) await memory.createThread({ owner, id: `t${at}` });
  const items = Array.from({ length: 100 }, (_, at) => ({ owner, collection: "c", text: "x", threadId: `t${at}` }));
  const adding = async () => {
    const refused = memory.addItems([...items, { owner, collection: "c", text: "x", threadId: "absent" }]);
    await expect(refused).rejects.toMatchObject({ message: expect.stringContaining("items[100]") });
  };
  expect(await statementsOf(adding)).toBeLessThan(6);
});

it("reads the neighbours of a few hits at a time", async () => {
  await memory.createThread({ owner, id: "t" });
  await memory.addItems(Array.from({ length: 300 }, () => ({ owner, collection: "c", text: "word", threadId: "t" })));
  const search = { owner, collections: ["c"], text: "word", around: 1, limit: 300 };
  expect(await statementsOf(async () => expect(await memory.search(search)).toHaveLength(300))).toBeGreaterThan(600);
  expect(statements.most).toBeLessThan(10);
});

it("lets other work go on while it analyzes a long text", async () => {
  await memory.migrate();
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const text = Array.from({ length: 300_000 }, (_, at) => `w${at % 1_000}é`).join(" ");
  await memory.addItems([{ owner, collection: "c", text }]);
  isOver = true;
  expect(turns).toBeGreaterThan(12); // a turn for each 4 ms of some 300
});

it("removes long texts in commits of their own, and short ones together", async () => {
  const long = "word ".repeat(60_000);
  const add = async () =>
    await memory.addItems([long, "short", long, "short", long].map((text) => ({ owner, collection: "c", text })));
  // The spaces; heads, items, spaces and the commit for each of 3 pages.
  await add();
  expect(await statementsOf(() => memory.deleteItemsWhere({ owner }))).toBe(1 + 3 * 4);
  // Heads and spaces; items, spaces and the commit for each of 3 pages.
  const ids = (await add()).map(({ id }) => id);
  expect(await statementsOf(() => memory.deleteItems(owner, ids))).toBe(2 + 3 * 3);
  expect(await memory.countItems({ owner })).toBe(0);
});
