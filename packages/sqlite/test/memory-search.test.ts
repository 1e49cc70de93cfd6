import { newThread } from "@waymark/conformance/memory";
import { insertRecords, updateRecords } from "@waymark/core/kit";
import { type RowFilter, THREADS } from "@waymark/core/memory/kit";
import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";

const { signal } = new AbortController();

/** Opens the memory on a database of a user's own. */
async function openOn(database: Database.Database) {
  const options = resolveOptions({ database });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  return dialect;
}

const FILTERS: readonly RowFilter[] = [
  { thread: "t" },
  { thread: { in: ["t", "u"] }, role: "r" },
  { thread: "t", expiresAt: { above: 1 } },
  { number: { above: 5 }, thread: "t" },
  { number: { in: [1, 2, 3] } },
  { number: 7, metadata: { contains: ["x"] } },
  { expiresAt: { above: 1 }, createdAt: { below: 3 } },
];

it("a filter of a search looks up one item for each row, and never a range of them", async () => {
  const database = new Database(":memory:");
  const dialect = await openOn(database);
  const texts: string[] = [];
  const prepare = database.prepare.bind(database);
  database.prepare = ((text: string) => {
    texts.push(text);
    return prepare(text);
  }) as typeof database.prepare;
  const [vector, signature] = [Float32Array.of(1), Uint8Array.of(1, 1)];
  for (const filter of FILTERS) {
    await dialect.nearest({ space: 1, generation: 1, vector, signature, filter, size: 9, limit: 9 }, signal);
    const terms = [{ term: "a", weight: 1 }];
    await dialect.scoreTerms({ space: 1, terms, base: 1, perToken: 1, filter, limit: 9 }, signal);
  }
  const all = texts.map((text) =>
    (prepare(`explain query plan ${text}`).all(...Array.from(text.matchAll(/\?/g), () => 1)) as { detail: string }[])
      .map(({ detail }) => detail)
      .filter((detail) => /SEARCH|SCAN|B-TREE/.test(detail)),
  );
  const ofTerms = "SEARCH agent_memory_terms USING PRIMARY KEY (space=? AND term=? AND number>?)";
  expect(all).toContainEqual([ofTerms]);
  const plans = all
    .map((steps) => steps.filter((step) => step.includes("agent_memory_items")))
    .filter((steps) => steps.length > 0);
  const ofRanges =
    "SEARCH agent_memory_items USING COVERING INDEX sqlite_autoindex_agent_memory_items_1 (space=? AND number>?)";
  expect(plans.filter(([step]) => step === ofRanges)).toHaveLength(1);
  const ofFilters = plans.filter(([step]) => step !== ofRanges);
  expect(ofFilters).toHaveLength(2 * FILTERS.length);
  for (const lookups of ofFilters) {
    expect(lookups).toEqual([
      expect.stringMatching(/^SEARCH agent_memory_items .*space=\? AND (thread_id=\? AND )?number=\?\)$/),
    ]);
  }
});

it("no row is changed within a transaction of the database's owner", async () => {
  const database = new Database(":memory:");
  const { records } = await openOn(database);
  const thread = newThread("owner", "a");
  await records.change([insertRecords(THREADS, [thread])], signal);
  database.exec("begin");
  const changes = [
    records.change([updateRecords(THREADS, { owner: "owner" }, { title: "changed" })], signal),
    records.modify(THREADS, { owner: "owner" }, () => ({ title: "changed" }), signal),
  ];
  for (const change of changes) await expect(change).rejects.toMatchObject({ code: "CONTENTION" });
  expect(await records.find(THREADS, { where: {}, limit: 9 }, signal)).toEqual([thread]);
  database.exec("rollback");
});

it("reads whole numbers of a database whose owner wants bigints", async () => {
  const database = new Database(":memory:");
  database.defaultSafeIntegers(true);
  const { records } = await openOn(database);
  const thread = newThread("owner", "a", { items: 2 ** 53 - 1 });
  expect(await records.change([insertRecords(THREADS, [thread])], signal)).toEqual([1]);
  expect(await records.find(THREADS, { where: {}, limit: 9 }, signal)).toEqual([thread]);
  expect(await records.count(THREADS, { items: 2 ** 53 - 1 }, signal)).toBe(1);
});
