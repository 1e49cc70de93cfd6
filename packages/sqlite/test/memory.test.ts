import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describeMemory, type MemoryStorageTarget } from "@waymark/conformance/memory";
import type { MemoryStorage } from "@waymark/core/memory";
import { analyze, createMemoryStorage, type MemoryDialect, resolveMemoryOptions } from "@waymark/core/memory/kit";
import { createSQLiteMemory } from "@waymark/sqlite/memory";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { shareConnection } from "../src/database.ts";
import { createMemoryDialect } from "../src/memory/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { answerOf, newFile } from "./fixtures.ts";

const BUILT = new URL("../dist/memory/index.js", import.meta.url).href;

function onFile(vectorFunctions: boolean): MemoryStorageTarget {
  return {
    name: vectorFunctions ? "SQLite with sqlite-vec" : "SQLite",
    ...(vectorFunctions && { parts: ["vectors"] }),
    create: async () => {
      const databasePath = newFile();
      return {
        open: (options) => createSQLiteMemory({ ...options, databasePath, vectorFunctions }),
        remote: { module: BUILT, options: { databasePath, vectorFunctions } },
        dispose: async () => {},
      };
    },
  };
}

for (const vectorFunctions of [true, false]) describeMemory(onFile(vectorFunctions));

/** Rounds in which processes are killed. */
const ROUNDS = process.env["WAYMARK_TEST_ALL"] === undefined ? 4 : 40;

function childProcess(task: string, databasePath: string) {
  const child = fork(fileURLToPath(new URL("./memory-child.mjs", import.meta.url)), [task, databasePath], {
    execArgv: [],
  });
  return { child, exit: once(child, "exit") };
}

/** Lists what does not fit together in the tables. */
function contradictions(databasePath: string): string[] {
  const database = new Database(databasePath, { readonly: true });
  const rows = (sql: string) => database.prepare(sql).all() as Record<string, number | string>[];
  const found = (what: string, sql: string) => rows(sql).map((row) => `${what}: ${JSON.stringify(row)}`);
  const isItem = "i where i.space = x.space and i.number = x.number";
  const isLive = "select number from agent_memory_spaces where removal = 0";
  const contradicting = [
    ...found(
      "a vector without its signature, or the other way round",
      `select space, number, generation from agent_memory_vectors except select space, number, generation from agent_memory_signatures
       union all select space, number, generation from (
         select space, number, generation from agent_memory_signatures
         except select space, number, generation from agent_memory_vectors)`,
    ),
    ...found(
      "a vector without its item",
      `select * from agent_memory_signatures x where not exists (select 1 from agent_memory_items ${isItem})`,
    ),
    ...found(
      "a posting without its item",
      `select space, term, number from agent_memory_terms x where space in (${isLive})
       and not exists (select 1 from agent_memory_items ${isItem})`,
    ),
    ...found(
      "counts of a collection that are wrong",
      `select * from (select s.number, s.items, s.tokens,
         (select count(*) from agent_memory_items i where i.space = s.number) as counted,
         (select coalesce(sum(length), 0) from agent_memory_items i where i.space = s.number) as summed
       from agent_memory_spaces s where s.removal = 0) where items <> counted or tokens <> summed`,
    ),
    ...found(
      "a thread with a wrong number of items",
      `select * from (select t.owner, t.id, t.items, (select count(*) from agent_memory_items i
         join agent_memory_spaces s on s.number = i.space and s.owner = t.owner where i.thread_id = t.id) as counted
       from agent_memory_threads t) where items <> counted`,
    ),
  ];
  const items = rows(
    `select text, length, (select count(*) from agent_memory_terms x where x.space = i.space and x.number = i.number) as terms,
       (select count(distinct length) from agent_memory_terms x where x.space = i.space and x.number = i.number) as lengths,
       (select count(*) from agent_memory_signatures x where x.space = i.space and x.number = i.number) as vectors
     from agent_memory_items i where space in (${isLive})`,
  );
  for (const { text, length, terms, lengths, vectors } of items) {
    const analysis = analyze(String(text), "none");
    if (analysis.terms.size !== terms || analysis.length !== length || lengths !== 1) {
      contradicting.push(`an item with ${terms} postings: ${text}`);
    }
    // An update without a vector has removed the old one.
    if (text !== "changed words" && vectors === 0) contradicting.push(`an item without its vector: ${text}`);
  }
  database.close();
  return contradicting;
}

describe("a memory in an SQLite file", () => {
  it("is opened by 16 processes at once, though it is empty", async () => {
    const databasePath = newFile();
    const children = Array.from({ length: 16 }, () => childProcess("open", databasePath));
    await Promise.all(children.map(({ child }) => answerOf(child)));
    const answers = children.map(({ child }) => answerOf(child));
    for (const { child } of children) child.send("go");
    expect(await Promise.all(answers)).toEqual(children.map(() => "opened"));
    await Promise.all(children.map(({ exit }) => exit));
    await using memory = createSQLiteMemory({ databasePath });
    expect(await memory.getCollection("owner", "notes")).toMatchObject({ items: 16 });
    expect(contradictions(databasePath).filter((one) => !one.includes("without its vector"))).toEqual([]);
  });

  it("has whole items and exact counts after processes were killed while they add, re-embed and forget", async () => {
    const databasePath = newFile();
    const acknowledged: string[] = [];
    await createSQLiteMemory({ databasePath }).migrate();
    for (let round = 0; round < ROUNDS; round++) {
      const tasks = ["add for ever", "re-embed for ever", "forget for ever"];
      const children = tasks.map((task) => childProcess(task, databasePath));
      const [adder, reembedder, forgetter] = children as [
        ReturnType<typeof childProcess>,
        ReturnType<typeof childProcess>,
        ReturnType<typeof childProcess>,
      ];
      let added = 0;
      adder.child.on("message", (message) => {
        if (Array.isArray(message)) acknowledged.push(...message);
        else if (++added === 5 + round) adder.child.kill("SIGKILL"); // while it adds the next ones
      });
      let progress = 0;
      reembedder.child.on("message", () => ++progress === 3 + 2 * round && reembedder.child.kill("SIGKILL"));
      let forgetting = 0;
      forgetter.child.on("message", (message) => {
        // Every other time while it adds: 200 items of one commit.
        const isDue = message === (round % 2 === 0 ? "forgetting" : "adding");
        if (isDue && ++forgetting === 1 + round) forgetter.child.kill("SIGKILL");
      });
      await Promise.all(children.map(({ exit }) => exit));
      expect(contradictions(databasePath)).toEqual([]);
    }
    await using memory = createSQLiteMemory({ databasePath });
    const embedder = {
      model: "the last one",
      dimensions: 4,
      embed: async (texts: readonly string[]) => texts.map((text) => [text.length, 1, 1, 1]),
    };
    await memory.reembed({ owner: "owner", collection: "notes", embedder, restart: true });
    await memory.forgetOwner("forgotten");
    const items = await memory.listItems({ owner: "owner", limit: 1_000 });
    expect(items.length).toBeGreaterThan(0);
    expect(contradictions(databasePath)).toEqual([]);
    const database = new Database(databasePath, { readonly: true });
    const count = (sql: string) => database.prepare(sql).pluck().get();
    expect(count("select count(*) from agent_memory_spaces")).toBe(1);
    expect(count("select count(*) from agent_memory_threads")).toBe(1);
    expect(count("select count(*) from agent_memory_items")).toBe(items.length);
    expect(count("select count(*) from agent_memory_vectors")).toBe(items.length); // of one generation
    expect(count("select count(distinct generation) from agent_memory_signatures")).toBe(1);
    database.close();
    // Of those that were acknowledged some were deleted, two by two; none has lost another one.
    const stored = new Set(items.map(({ id }) => id));
    const lost = acknowledged.filter((id, at) => !stored.has(id) && ![1, 2].includes(at % 8));
    expect(lost).toEqual([]);
  });

  describe("whose connection is lost after a commit", () => {
    /** A memory whose next change takes place, and is reported as a lost connection. */
    function losing(): { memory: MemoryStorage; loseNext(): void } {
      const options = resolveOptions({ databasePath: newFile() });
      const dialect = createMemoryDialect(shareConnection(options).share(), options, false);
      const lost = new TypeError("the connection was lost");
      let isDue = false;
      const loses = async <Result>(changing: Promise<Result>): Promise<Result> => {
        const result = await changing;
        if (!isDue) return result;
        isDue = false;
        throw lost;
      };
      const wrapped: MemoryDialect = {
        ...dialect,
        classify: (error) => (error === lost ? "connection" : dialect.classify(error)),
        records: {
          find: (...args) => dialect.records.find(...args),
          count: (...args) => dialect.records.count(...args),
          change: (...args) => loses(dialect.records.change(...args)),
          modify: (...args) => loses(dialect.records.modify(...args)),
          nearest: (...args) => dialect.records.nearest(...args),
        },
      };
      const retry = { baseDelayMs: 1, jitterMaxMs: 0 };
      const memory = createMemoryStorage(wrapped, resolveMemoryOptions({ retry }));
      const loseNext = () => {
        isDue = true;
      };
      return { memory, loseNext };
    }

    it("adds each item once", async () => {
      const { memory, loseNext } = losing();
      await memory.createThread({ owner: "o", id: "t" });
      await memory.addItems([{ owner: "o", collection: "c", text: "first" }]);
      loseNext();
      const items = ["a", "b", "a"].map((text) => ({ owner: "o", collection: "c", text, threadId: "t" }));
      const added = await memory.addItems(items);
      expect(await memory.listItems({ owner: "o", threadId: "t" })).toStrictEqual(added);
      expect(await memory.getThread("o", "t")).toMatchObject({ items: 3 });
      expect(await memory.getCollection("o", "c")).toMatchObject({ items: 4 });
      loseNext();
      const [keyed] = await memory.addItems([{ owner: "o", collection: "c", text: "k", key: "k" }]);
      loseNext();
      const [replaced] = await memory.addItems([{ owner: "o", collection: "c", text: "l", key: "k" }], {
        replace: true,
      });
      expect(replaced?.id).toBe(keyed?.id);
      expect(await memory.countItems({ owner: "o" })).toBe(5);
      await memory.close();
    });

    it("takes its own update for no other one's", async () => {
      const { memory, loseNext } = losing();
      const [item] = await memory.addItems([{ owner: "o", collection: "c", text: "first" }]);
      const thread = await memory.createThread({ owner: "o" });
      loseNext();
      const id = item?.id as string;
      const updated = await memory.updateItem("o", id, { text: "next" }, { ifRevision: item?.revision as string });
      expect(await memory.getItem("o", id)).toStrictEqual(updated);
      loseNext();
      const titled = await memory.updateThread("o", thread.id, { title: "t" }, { ifRevision: thread.revision });
      expect(await memory.getThread("o", thread.id)).toStrictEqual(titled);
      loseNext();
      expect(await memory.createThread({ owner: "o", id: "t" })).toMatchObject({ id: "t" });
      await memory.close();
    });

    it("says that there was what it has deleted", async () => {
      const { memory, loseNext } = losing();
      for (const options of [{}, { ifEmpty: true }]) {
        await memory.createThread({ owner: "o", id: "t" });
        loseNext();
        expect(await memory.deleteThread("o", "t", options)).toBe(true);
        expect(await memory.deleteThread("o", "t", options)).toBe(false);
      }
      await memory.addItems([{ owner: "o", collection: "c", text: "x" }]);
      loseNext();
      expect(await memory.deleteCollection("o", "c")).toBe(true);
      expect(await memory.deleteCollection("o", "c")).toBe(false);
      await memory.close();
    });
  });
});
