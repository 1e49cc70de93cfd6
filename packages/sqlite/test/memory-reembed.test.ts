import {
  createMemoryStorage,
  type MemoryDialect,
  resolveMemoryOptions,
  SIGNATURES,
  VECTORS,
} from "@waymark/core/memory/kit";
import { expect, it, onTestFinished } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { newFile } from "./fixtures.ts";

const [owner, collection] = ["ann", "notes"];
const { signal } = new AbortController();

function open() {
  const options = resolveOptions({ databasePath: newFile() });
  const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
  /** Numbers of the rows whose texts were read, by statement. */
  const reads: number[] = [];
  /** The deadlines of commits. */
  const deadlines: AbortSignal[] = [];
  const wrapped: MemoryDialect = {
    ...dialect,
    records: {
      count: (...args) => dialect.records.count(...args),
      change(steps, deadline) {
        deadlines.push(deadline);
        return dialect.records.change(steps, deadline);
      },
      modify: (...args) => dialect.records.modify(...args),
      nearest: (...args) => dialect.records.nearest(...args),
      async find(table, query, deadline) {
        const rows = await dialect.records.find(table, query, deadline);
        if (query.columns?.some((name) => name === "text")) reads.push(rows.length);
        return rows;
      },
    },
  };
  const memory = createMemoryStorage(wrapped, resolveMemoryOptions());
  onTestFinished(() => memory.close());
  return { memory, dialect, reads, deadlines };
}

/** `fails`: the texts that it fails with. */
const embedder = (model: string, fails: (text: string) => boolean = () => false) => ({
  model,
  dimensions: 2,
  embed: async (texts: readonly string[]) => {
    if (texts.some(fails)) throw new TypeError("too long");
    return texts.map(({ length }) => [1, length]);
  },
});

it("removes the vectors of a model that was given up", async () => {
  const { memory, dialect } = open();
  await memory.addItems(Array.from({ length: 700 }, (_, at) => ({ owner, collection, text: `text ${at}` })));
  const count = async () => [
    await dialect.records.count(SIGNATURES, {}, signal),
    await dialect.records.count(VECTORS, {}, signal),
  ];
  const begin = () => memory.reembed({ owner, collection, embedder: embedder("b", (text) => text === "text 0") });
  await memory.reembed({ owner, collection, embedder: embedder("a") });
  expect(await count()).toEqual([700, 700]);
  await begin();
  expect(await count()).toEqual([1_399, 1_399]);
  await memory.reembed({ owner, collection, embedder: embedder("a"), restart: true });
  expect(await count()).toEqual([700, 700]);
  await begin();
  await memory.reembed({ owner, collection, embedder: embedder("c"), restart: true });
  expect(await count()).toEqual([700, 700]);
});

it("reads the texts of those items alone that lack a vector", async () => {
  const { memory, reads } = open();
  await memory.addItems(Array.from({ length: 300 }, (_, at) => ({ owner, collection, text: `text ${at}` })));
  await memory.reembed({ owner, collection, embedder: embedder("a") });
  await memory.addItems([{ owner, collection, text: "another" }]);
  reads.length = 0;
  expect(await memory.reembed({ owner, collection, embedder: embedder("a") })).toMatchObject({ embedded: 1 });
  expect(reads).toEqual([1]);
});

it("gives each item a deadline of its own where a batch is inserted one by one", async () => {
  const { memory, deadlines } = open();
  const added = await memory.addItems(
    Array.from({ length: 10 }, (_, at) => ({ owner, collection, text: `text ${at}` })),
  );
  const { embed, ...model } = embedder("a");
  const changing = async (texts: readonly string[]) => {
    if (texts.length > 1) {
      await memory.updateItem(owner, added[3]?.id as string, { text: "other" });
      deadlines.length = 0;
    }
    return await embed(texts);
  };
  expect(await memory.reembed({ owner, collection, embedder: { ...model, embed: changing } })).toMatchObject({
    embedded: 10,
  });
  expect(deadlines).toHaveLength(1 + 10 + 1); // the batch, each of it, and the one that had changed
  expect(new Set(deadlines).size).toBe(deadlines.length);
});
