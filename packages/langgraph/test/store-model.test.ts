import { randomUUID } from "node:crypto";
import { InMemoryStore, type Item, type Operation, type SearchItem } from "@langchain/langgraph-checkpoint";
import type { MemoryStorage } from "@waymark/core/memory";
import { WaymarkStore } from "@waymark/langgraph";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { everyMemory, memoryOf } from "./memories.ts";
import { DIMS, ScriptedEmbeddings } from "./scripted-embeddings.ts";

/**
 * Random operations on a store and on LangGraph's `InMemoryStore`, which must have the same results.
 *
 * Left out, or undone in the oracle, is where `InMemoryStore` 1.2.2 differs from its documentation:
 * - It keeps the vectors of an item that is deleted, put anew with `index: false`, or with other paths: `put` on the key finds the
 *   new value by the old text.
 * - It lists namespaces all of whose items are deleted.
 * - It takes the keys `"b:c"` of `["a"]` and `"c"` of `["a", "b"]` for one in a batch.
 * - It returns the very objects that it keeps.
 * - A filter of `[]` selects everything, and one of an object nothing.
 * - Items without a vector fill up the answer to a query. (A decision, not a mistake: PostgresStore leaves them out, and so do we.)
 * - It embeds empty texts.
 *
 * Mended since 1.1.5: to that version `["a"]` is a prefix of `["ab"]` too. The labels `a` and `ab` show it.
 */
class Oracle extends InMemoryStore {
  override async batch(operations: never): Promise<never> {
    const { vectors, data } = this as unknown as Record<"vectors" | "data", Map<string, Map<string, unknown>>>;
    for (const operation of operations as Operation[]) {
      if ("value" in operation) vectors.get(operation.namespace.join(":"))?.delete(operation.key);
    }
    const results = structuredClone(await super.batch(operations));
    for (const [namespace, items] of data) if (items.size === 0) data.delete(namespace);
    return results as never;
  }
}

const label = fc.constantFrom("a", "b", "ab", "a b", "%", "_", "A", "é", "e\u0301", "/", "%2F", "'");
const namespace = fc.array(label, { minLength: 1, maxLength: 3 });
const prefix = fc.array(label, { maxLength: 3 });
const key = fc.constantFrom("1", "10", "K", "k", "%", "'; drop table x; --");
const scalar = fc.constantFrom(0, -0, 1, 2, 10, "1", "one", "", "two words", true, false, null);
const value = fc.record(
  {
    text: fc.constantFrom("tea", "green tea", "coffee", "coffee with milk"),
    n: scalar,
    kind: scalar.filter((one) => one !== ""),
    ["__proto__"]: scalar,
  },
  { requiredKeys: ["text"], noNullPrototype: true },
);
const operand = fc.oneof(
  scalar,
  ...["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"].map((name) => scalar.map((one) => ({ [name]: one }))),
  ...["$in", "$nin"].map((name) => fc.array(scalar, { maxLength: 3 }).map((list) => ({ [name]: list }))),
  fc.record({ $gt: scalar, $ne: scalar }),
);
const filter = fc.option(fc.dictionary(fc.constantFrom("n", "kind", "text", "other"), operand, { maxKeys: 2 }), {
  nil: undefined,
});
const index = fc.constantFrom(undefined, undefined, false as const, ["kind"]);
const pattern = fc.record({
  matchType: fc.constantFrom("prefix" as const, "suffix" as const),
  path: fc.array(fc.oneof(label, fc.constant("*")), { maxLength: 3 }),
});

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ namespace, key, value, index }) },
  { weight: 1, arbitrary: fc.record({ namespace, key, value: fc.constant(null) }) },
  { weight: 2, arbitrary: fc.record({ namespace, key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      namespacePrefix: prefix,
      filter,
      query: fc.constantFrom(undefined, undefined, "tea", "milk", "one"),
      limit: fc.nat(6),
      offset: fc.nat(4),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      matchConditions: fc.option(fc.array(pattern, { maxLength: 2 }), { nil: undefined }),
      maxDepth: fc.constantFrom(undefined, 1, 2),
      limit: fc.nat(6),
      offset: fc.nat(3),
    }),
  },
);

const sorted = (list: readonly unknown[]) => list.map((one) => JSON.stringify(one)).sort();
const contentOf = ({ namespace, key, value }: Item) => ({ namespace, key, value });
const rankOf = (items: readonly SearchItem[]) =>
  items.filter(({ score }) => score !== undefined).map(({ score }) => Math.round((score as number) * 1e5));

/** Compares the results of an operation: all of them with the oracle's, and a page with all of ours. */
async function compare(operation: Operation, store: WaymarkStore, oracle: Oracle): Promise<void> {
  const all = ("key" in operation ? operation : { ...operation, limit: 1_000, offset: 0 }) as Operation;
  const [ours] = (await store.batch([all])) as unknown as [never];
  const [theirs] = (await oracle.batch([all] as never)) as unknown as [never];
  if ("namespacePrefix" in operation) {
    const { limit = 10, offset = 0, query } = operation;
    const found = ours as SearchItem[];
    const expected = (theirs as SearchItem[]).filter(({ score }) => query === undefined || score !== undefined);
    expect(sorted(found.map(contentOf))).toEqual(sorted(expected.map(contentOf)));
    if (query !== undefined) {
      for (const [at, score] of rankOf(expected).entries()) {
        expect(Math.abs((rankOf(found)[at] as number) - score)).toBeLessThanOrEqual(1);
      }
    }
    expect((await store.batch([operation]))[0]).toEqual(found.slice(offset, offset + limit));
  } else if ("key" in operation) {
    expect(ours === null ? null : contentOf(ours)).toEqual(theirs === null ? null : contentOf(theirs));
  } else {
    const { limit, offset } = operation as { limit: number; offset: number };
    expect(sorted(ours)).toEqual(sorted(theirs));
    expect((await store.batch([operation]))[0]).toEqual((ours as unknown[]).slice(offset, offset + limit));
  }
}

const isWrite = (operation: object) => "value" in operation;

async function run(memory: MemoryStorage, steps: readonly (readonly object[])[]): Promise<void> {
  const index = { dims: DIMS, embeddings: new ScriptedEmbeddings() as never, fields: ["text"] };
  const oracle = new Oracle({ index });
  const store = new WaymarkStore({ memory, owner: randomUUID(), index });
  for (const step of steps) {
    // Reads are on what was stored before the batch: so they are compared before its writes.
    for (const one of step) if (!isWrite(one)) await compare(one as Operation, store, oracle);
    const operations = step as Operation[];
    const [ours, theirs] = [await store.batch(operations), await oracle.batch(structuredClone(operations) as never)];
    expect(ours).toHaveLength(step.length);
    expect((theirs as unknown[]).length).toBe(step.length);
  }
  await compare({ namespacePrefix: [] }, store, oracle);
}

describe.each(everyMemory)("a store on $name", (kind) => {
  it("has the results of LangGraph's InMemoryStore", async () => {
    const memory = (await memoryOf(kind)).open();
    const steps = fc.array(fc.array(operation, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(steps, (some) => run(memory, some)),
      { numRuns: process.env["WAYMARK_TEST_ALL"] ? 60 : 25 },
    );
  }, 240_000);
});
