import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createSQLiteMemory, type Embedder, type MemoryStorage } from "@waymark/sqlite/memory";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLibrary } from "../src/library.ts";
import { scriptedEmbedder } from "../src/scripted-embedder.ts";

const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-documents-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the program in the example's folder. Returns what it prints. */
async function run(...args: string[]): Promise<string> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const command = ["dist/main.js", join(folder, "library.db"), "ann", ...args];
  return (await promisify(execFile)(process.execPath, command, { cwd: example, env })).stdout;
}

/** Number of texts that were embedded, and after how many of them the embedder fails. */
let embedded: number;
let failsAfter: number;
const embedder: Embedder = {
  ...scriptedEmbedder,
  async embed(texts, options) {
    if (options.purpose === "store") embedded += texts.length;
    if (embedded > failsAfter) throw new Error("the network is gone");
    return await scriptedEmbedder.embed(texts, options);
  },
};

let memory: MemoryStorage;
beforeEach(() => {
  embedded = 0;
  failsAfter = Number.POSITIVE_INFINITY;
  memory = createSQLiteMemory({ databasePath: ":memory:", embedder, collections: { "*": { language: "en" } } });
});
afterEach(() => memory.close());

const read = (name: string) => readFile(join(example, "library", name), "utf8");

/** A document of this many sections, each of which is a part. */
const long = (sections: number) =>
  Array.from({ length: sections }, (_, at) => `## Section ${at}\n\nword${at} ${"and so on ".repeat(40)}\n`).join("\n");

describe("the program", () => {
  it("adds files, finds parts with their neighbours, removes, and forgets", async () => {
    const added = await run("add", "library/sailing.md", "library/knots.md");
    expect(added).toMatch(/^library\/sailing\.md: (\d+) of \1 parts\nSailing: \1 parts, 0 removed$/m);
    expect(await run("add", "library/sailing.md")).toMatch(/^Sailing: as before, \d+ parts, 0 removed\n$/);

    const found = await run("find", "How do I reef the mainsail?");
    expect(found).toMatch(/^--- library\/sailing\.md#\d+ /);
    expect(found).toContain("Reef when you first think of it.");
    expect(found).toContain("Points of sail"); // the part before it

    expect(await run("remove", "library/sailing.md")).toBe("removed library/sailing.md\n");
    expect(await run("find", "How do I reef the mainsail?")).not.toContain("Reef when you first think of it.");
    expect(await run("list")).toMatch(/^library\/knots\.md: Knots, \d+ parts\n$/);
    expect(await run("forget")).toContain("threads: 1");
    expect(await run("list")).toBe("");
    expect(await run("find", "How do I reef the mainsail?")).toBe("nothing found\n");
    await expect(run("lst")).rejects.toMatchObject({
      stderr: expect.stringContaining("expected add, list, find, remove or forget, got lst"),
    });
  });
});

describe("a library", () => {
  it("embeds a changed part, and no other", async () => {
    const library = createLibrary({ memory, owner: "ann" });
    const document = { id: "knots", title: "Knots", markdown: long(20) };
    const { parts } = await library.put(document);
    expect(embedded).toBe(parts);

    embedded = 0;
    const markdown = document.markdown.replace("word7 ", "sheepshank ");
    expect(await library.put({ ...document, markdown })).toEqual({ isNew: true, parts, removed: 0 });
    expect(embedded).toBe(1);
    const [hit] = await library.find("sheepshank", 1);
    expect(hit?.before?.[0]?.text).toContain("word6 ");
    expect(hit?.after?.[0]?.text).toContain("word8 ");
    expect((await library.find("word7")).filter(({ textScore }) => textScore !== undefined)).toEqual([]);
  });

  it("removes parts that a document no longer has", async () => {
    const library = createLibrary({ memory, owner: "ann" });
    const { parts } = await library.put({ id: "d", title: "D", markdown: long(10) });
    const shorter = await library.put({ id: "d", title: "D", markdown: long(4) });
    expect(shorter.removed).toBe(parts - shorter.parts);
    expect((await library.list()).map(({ items }) => items)).toEqual([shorter.parts]);
  });

  it("goes on where it was interrupted, in batches", async () => {
    const done: number[] = [];
    const library = createLibrary({ memory, owner: "ann", onProgress: (progress) => done.push(progress.done) });
    const document = { id: "long", title: "Long", markdown: long(700) };
    failsAfter = 450;
    await expect(library.put(document)).rejects.toMatchObject({ code: "EMBEDDING_FAILED" });
    expect(done).toEqual([200, 400]);
    const before = await memory.countItems({ owner: "ann" });
    expect(before).toBe(400);

    embedded = 0;
    failsAfter = Number.POSITIVE_INFINITY;
    const { parts } = await library.put(document);
    expect(embedded).toBe(parts - before);
    const texts: string[] = [];
    for (let after: number | undefined; ; ) {
      const page = await memory.listItems({ owner: "ann", collection: "documents", after, limit: 1_000 });
      texts.push(...page.map(({ text }) => text));
      if (page.length < 1_000) break;
      after = page.at(-1)?.position;
    }
    expect(texts).toHaveLength(parts);
    expect(texts.map((text) => Number(/word(\d+)/.exec(text)?.[1]))).toEqual(
      Array.from({ length: parts }, (_, at) => at),
    );
  });

  it("keeps owners apart, and forgets one of them", async () => {
    const [ann, ben] = ["ann", "ben"].map((owner) => createLibrary({ memory, owner })) as [
      ReturnType<typeof createLibrary>,
      ReturnType<typeof createLibrary>,
    ];
    await ann.put({ id: "a", title: "Knots", markdown: await read("knots.md") });
    await ben.put({ id: "a", title: "Sailing", markdown: await read("sailing.md") });
    expect((await ann.find("reef the mainsail")).every(({ item }) => item.owner === "ann")).toBe(true);
    await ann.forget();
    expect(await ann.find("bowline")).toEqual([]);
    expect((await ben.find("reef the mainsail", 1))[0]?.item.text).toContain("Reef when");
  });
});
