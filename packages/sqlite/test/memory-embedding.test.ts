import {
  createSQLiteMemory,
  type Embedder,
  type IfRevision,
  type ItemChange,
  type MemoryStorage,
  type NewItem,
} from "@waymark/sqlite/memory";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failure, newFile } from "./fixtures.ts";

/** Texts that were embedded to be stored, and a call in the middle of it. */
let embedded: string[];
let meanwhile: () => Promise<unknown>;
const embedder: Embedder = {
  model: "lengths",
  dimensions: 2,
  async embed(texts, { purpose }) {
    if (purpose === "store") {
      embedded.push(...texts);
      await meanwhile();
    }
    return texts.map(({ length }) => [1, length]);
  },
};

let memory: MemoryStorage;
beforeEach(() => {
  embedded = [];
  meanwhile = async () => {};
  memory = createSQLiteMemory({ databasePath: ":memory:", embedder });
});
afterEach(() => memory.close());

const item = (text: string, more: Partial<NewItem> = {}): NewItem => ({
  owner: "ann",
  collection: "memories",
  key: text,
  text,
  ...more,
});

describe("an embedder", () => {
  it("embeds nothing that is stored with the same content", async () => {
    const first = await memory.addItems([item("a"), item("bb")]);
    const second = await memory.addItems([item("a"), item("bb"), item("ccc"), item("ccc")], { replace: true });
    expect(embedded).toEqual(["a", "bb", "ccc"]);
    expect(second.slice(0, 2)).toEqual(first);
    const { id, text } = first[0] as (typeof first)[number];
    await memory.addItems([item(text, { id })]);
    expect(embedded).toHaveLength(3);
  });

  it("embeds nothing that is the same text with `dedup`", async () => {
    const fact = () => item("a fact", { key: undefined, dedup: true });
    await memory.addItems([fact()]);
    await memory.addItems([fact(), item("another")]);
    expect(embedded).toEqual(["a fact", "another"]);
    expect(await memory.countItems({ owner: "ann" })).toBe(2);
  });

  it("embeds a text that replaces another one", async () => {
    await memory.addItems([item("a"), item("bb")]);
    embedded = [];
    await memory.addItems([item("a"), item("four", { key: "bb" })], { replace: true });
    expect(embedded).toEqual(["four"]);
    const [hit] = await memory.search({ owner: "ann", collections: ["memories"], vector: [1, 4], limit: 1 });
    expect(hit?.item.text).toBe("four");
    expect(hit?.similarity).toBeCloseTo(1, 6);
  });

  it("is not asked for a call that is refused", async () => {
    await memory.addItems([item("a")]);
    embedded = [];
    expect(await failure(memory.addItems([item("bb"), item("b", { key: "a" })]))).toMatchObject({
      code: "CONFLICT",
      message: expect.stringContaining("items[1]"),
    });
    expect(embedded).toEqual([]);
  });

  it("is not asked for items of an absent thread", async () => {
    const adding = memory.addItems([item("a", { key: undefined }), item("b", { key: undefined, threadId: "absent" })]);
    expect(await failure(adding)).toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining("items[1]") });
    expect(embedded).toEqual([]);
  });

  it("is not asked for an update that is refused, or sets the text that is there", async () => {
    const [one, two] = await memory.addItems(["one", "two"].map((text) => item(text, { key: undefined, dedup: true })));
    await memory.addItems([item("taken")]);
    embedded = [];
    const update = (change: ItemChange, options: IfRevision = {}, id = one?.id as string) =>
      failure(memory.updateItem("ann", id, { text: "new", ...change }, options));
    expect(await update({}, { ifRevision: "another" })).toMatchObject({ code: "CONFLICT" });
    expect(await update({ key: "taken" })).toMatchObject({ code: "CONFLICT" });
    expect(await update({ text: "two" })).toMatchObject({ code: "CONFLICT" });
    expect(await update({ threadId: "absent" })).toMatchObject({ code: "NOT_FOUND" });
    expect(await update({}, {}, "0190f5fe-7c00-7a00-8000-000000000000")).toMatchObject({ code: "NOT_FOUND" });
    await memory.updateItem("ann", two?.id as string, { text: "two", role: "user" });
    expect(embedded).toEqual([]);
    const search = { owner: "ann", collections: ["memories"], vector: [1, 3], filter: { role: "user" } };
    expect(await memory.search(search)).toMatchObject([{ similarity: expect.closeTo(1, 6) }]);
    await memory.updateItem("ann", two?.id as string, { text: "another" });
    expect(embedded).toEqual(["another"]);
  });

  it("embeds an item that was stored, and is deleted before it is added", async () => {
    const [stored] = await memory.addItems([item("a")]);
    embedded = [];
    meanwhile = async () => {
      meanwhile = async () => {};
      await memory.deleteItems("ann", [stored?.id ?? ""]);
    };
    await memory.addItems([item("a"), item("bb")]);
    expect(embedded).toEqual(["bb", "a", "bb"]);
    const hits = await memory.search({ owner: "ann", collections: ["memories"], vector: [1, 1], limit: 10 });
    expect(hits.map(({ item }) => item.text)).toEqual(["a", "bb"]);
  });
});

it.each([
  ["requireVector", { requireVector: true }],
  ["a weight of words that is 0", { fusion: { text: 0, vector: 1 } }],
])("a search by words alone is refused beside %s, which would find nothing", async (_, members) => {
  await using memory = createSQLiteMemory({ databasePath: newFile() });
  const search = { owner: "o", collections: ["c"], text: "tea", ...members };
  const expected = { code: "INVALID_ARGUMENT", message: expect.stringContaining("search.vector") };
  expect(await failure(memory.search(search))).toMatchObject(expected);
  expect(await failure(memory.search({ ...search, vector: null }))).toMatchObject(expected);
  expect(await memory.search({ ...search, vector: [1, 2] })).toEqual([]);
});
