import "./quiet.mjs";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { acquire } from "../src/connections.ts";
import {
  type ImportOptions,
  type ImportProgress,
  type ImportReport,
  importPluginSql,
  type WaymarkAdapter,
  waymark,
} from "../src/index.ts";
import { checkOptions, resolveOptions } from "../src/options.ts";
import { createPglite, createSQLite, databases, type TestDatabase } from "./databases.ts";
import { type Answers, answersOf, logsOf } from "./import/answers.ts";
import {
  AGENTS,
  CANARY,
  fill,
  fillBroken,
  fingerprint,
  id,
  openPluginSql,
  type PluginSqlAdapter,
  vectorOf,
} from "./import/plugin-sql.ts";

const server = inject("waymarkServers")["postgres-vector"];
const CHILD = fileURLToPath(new URL("import-child.mjs", import.meta.url));

/** Makes an empty database, which is dropped after the test. */
async function newTarget(create: () => TestDatabase | Promise<TestDatabase> = createSQLite): Promise<TestDatabase> {
  const database = await create();
  onTestFinished(() => database.drop());
  return database;
}

/** Opens the adapter of an agent until the test ends. */
function open({ options }: TestDatabase, agentId = AGENTS[0]): WaymarkAdapter {
  const adapter = waymark.adapter(options, agentId);
  onTestFinished(() => adapter.close());
  return adapter;
}

type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Returns the numbers of a report, without those that are 0. */
function countsOf(report: ImportReport): Counts {
  const tables = Object.entries(report).map(([name, { problems, ...numbers }]) => {
    expect(numbers.inserted + numbers.skipped + numbers.merged + numbers.failed).toBe(numbers.read);
    if (name !== "embeddings") expect(problems).toHaveLength(numbers.failed);
    return [name, Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0))];
  });
  return Object.fromEntries(tables);
}

const all = (how: string, read: number) => ({ read, [how]: read });

/** What becomes of the rows of `fill`. */
const countsFor = (how: "inserted" | "skipped"): Counts => ({
  ...{ agents: all(how, 2), entities: all(how, 10), worlds: all(how, 1), rooms: all(how, 4) },
  ...{ components: all(how, 1), memories: all(how, 40), participants: { read: 14, [how]: 10, merged: 4 } },
  ...{ relationships: all(how, 2), tasks: all(how, 1), cache: all(how, 7), logs: {}, embeddings: all(how, 37) },
});

/** Counts the rows of a table in an SQLite file, around the adapter. */
function rowsIn({ options }: TestDatabase, table: string): number {
  const database = new Database(String(options.url).replace(/^sqlite:/, ""), { readonly: true });
  try {
    return database.prepare(`select count(*) from ${table}`).pluck().get() as number;
  } finally {
    database.close();
  }
}

/** Compares answers one by one: they are long. */
function expectSame(ours: Answers, theirs: Answers): void {
  expect(Object.keys(ours)).toEqual(Object.keys(theirs));
  for (const [call, answer] of Object.entries(theirs)) expect({ call, answer: ours[call] }).toEqual({ call, answer });
}

/** Expects an import to be refused, with this code. No part of the error has the secret. */
async function refusal(code: string, options: ImportOptions): Promise<string> {
  const error = await importPluginSql(options).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: "CheckpointError", code });
  expect(inspect(error, { showHidden: true, depth: 20 })).not.toContain(CANARY);
  return (error as Error).message;
}

describe.skipIf(!server)("what plugin-sql has written in PostgreSQL", () => {
  let source: PluginSqlAdapter;
  let url: string;
  let from: ImportOptions["from"];
  let answers: Answers;
  let before: unknown;
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const database = await createDatabase(server?.url as string);
    ({ url } = database);
    drop = () => database.drop();
    from = { postgresUrl: url };
    source = await openPluginSql({ postgresUrl: url });
    await fill(source);
    answers = await answersOf(source);
    before = await fingerprint(source);
  });
  afterAll(async () => {
    await source?.close();
    await drop?.();
  });

  /** Expects a database to hold all of it, once. */
  async function expectAll(database: TestDatabase): Promise<void> {
    const adapter = open(database);
    expectSame(await answersOf(adapter), answers);
    expect([await adapter.getCache("4 line\nbreak\r\n\ttab"), await adapter.getCache("6 %s $1 ? :x @y #{z}")]).toEqual([
      "123",
      '"quoted"',
    ]);
    expect(await adapter.countMemories(id("room 1"), false, "messages")).toBe(
      await source.countMemories(id("room 1"), false, "messages"),
    );
    const vectors = { 384: 7, 512: 7, 768: 6, 1024: 6, 1536: 6, 3072: 6 };
    expect(await adapter.vectorStats()).toEqual(
      Object.entries(vectors).map(([dimensions, count]) => ({ dimensions: Number(dimensions), vectors: count })),
    );
  }

  const same = { name: "the same database", create: async () => ({ options: { url }, drop: async () => {} }) };
  const kinds = databases.filter(({ name }) => ["SQLite", "MySQL", "MariaDB"].includes(name));

  it.each([...kinds, same])("is found by the adapter on $name, all of it", async ({ create }) => {
    const database = await newTarget(create);
    const report = await importPluginSql({ from, to: database.options, logs: true });
    expect(countsOf(report)).toEqual({ ...countsFor("inserted"), logs: all("inserted", 8) });
    await expectAll(database);
    expect(await logsOf(open(database))).toEqual(await logsOf(source));
    expect(await fingerprint(source)).toEqual(before); // nothing there has changed
  });

  it("is read through a Drizzle database too, which stays open", async () => {
    const database = await newTarget();
    const report = await importPluginSql({ from: { db: source.db }, to: database.options });
    expect(countsOf(report)).toEqual(countsFor("inserted"));
    await expectAll(database);
    expect(await fingerprint(source)).toEqual(before);
  });

  it("is imported through an open connection, which stays open", async () => {
    const { options } = await newTarget();
    const connection = acquire(resolveOptions(checkOptions(options)).place);
    onTestFinished(() => connection.release());
    expect(countsOf(await importPluginSql({ from, to: connection }))).toEqual(countsFor("inserted"));
    expect(connection.opened).not.toBeNull();
  });

  it("is skipped when it is there already; rows that were changed since are counted, and stay", async () => {
    const database = await newTarget();
    const again = async () => countsOf(await importPluginSql({ from, to: database.options, batch: 7 }));
    expect(await again()).toEqual(countsFor("inserted"));
    expect(await again()).toEqual(countsFor("skipped"));
    const adapter = open(database);
    await adapter.updateMemory({ id: id("memory 2"), content: { text: "changed" } });
    await adapter.updateMemory({ id: id("memory 3"), embedding: vectorOf(512, 99) });
    await adapter.setCache("0 plain", "changed");
    await adapter.deleteMemory(id("memory 4"));
    const third = await again();
    expect(third).toEqual({
      ...countsFor("skipped"),
      memories: { read: 40, skipped: 39, inserted: 1, changed: 2 },
      embeddings: { read: 37, skipped: 36, inserted: 1, changed: 2 },
      cache: { read: 7, skipped: 7, changed: 1 },
    });
    expect((await adapter.getMemoryById(id("memory 2")))?.content).toEqual({ text: "changed" });
    expect(await adapter.getCache("0 plain")).toBe("changed");
    expect(await adapter.getMemoryById(id("memory 4"))).not.toBeNull();
    expect(rowsIn(database, "eliza_participants")).toBe(10);
  });

  it("is reported while it comes, batch by batch", async () => {
    const { options } = await newTarget();
    const seen = new Map<string, ImportProgress[]>();
    const onProgress = (progress: ImportProgress) =>
      void seen.set(progress.table, [...(seen.get(progress.table) ?? []), progress]);
    await importPluginSql({ from, to: options, batch: 7, onProgress });
    const tables = ["agents", "entities", "worlds", "rooms", "components", "memories", "participants"];
    expect([...seen.keys()]).toEqual([...tables, "relationships", "tasks", "cache"]);
    expect(seen.get("memories")?.map(({ done, total }) => [done, total])).toEqual(
      [7, 14, 21, 28, 35, 40].map((done) => [done, 40]),
    );
    for (const [table, steps] of seen) {
      const { read } = countsFor("inserted")[table] as { read: number };
      expect(steps.at(-1)).toEqual({ table, done: read, total: read });
    }
  });

  it("goes on after it was aborted", async () => {
    const database = await newTarget();
    const controller = new AbortController();
    const message = await refusal("ABORTED", {
      ...{ from, to: database.options, batch: 5, signal: controller.signal },
      onProgress: ({ table, done }) => table === "memories" && done === 15 && controller.abort(),
    });
    expect(message).toBe("import plugin-sql: cancelled by the caller's signal");
    const { memories, entities, tasks } = await importPluginSql({ from, to: database.options });
    expect(memories).toMatchObject({ read: 40, skipped: 15, inserted: 25, changed: 0 });
    expect(entities).toMatchObject({ skipped: 10, changed: 0 });
    expect(tasks).toMatchObject({ inserted: 1 });
    await expectAll(database);
    expect(await refusal("ABORTED", { from, to: database.options, signal: AbortSignal.abort() })).toBe(message);
  });

  it("goes on after its process was killed, and nothing is there twice", async () => {
    const database = await newTarget();
    const argument = JSON.stringify({ from, to: database.options });
    const signal = await new Promise((resolve) => {
      execFile(process.execPath, [CHILD, argument], (error) => resolve(error?.signal ?? error));
    });
    expect(signal).toBe("SIGKILL");
    const { memories, entities } = await importPluginSql({ from, to: database.options });
    expect(memories).toMatchObject({ read: 40, changed: 0, failed: 0 });
    expect(memories.skipped).toBeGreaterThanOrEqual(15);
    expect(memories.inserted).toBeGreaterThanOrEqual(1);
    expect(entities).toMatchObject({ read: 10, skipped: 10, changed: 0 });
    await expectAll(database);
    // Vectors beside a memory's own have rows of their own: two of one memory.
    expect(rowsIn(database, "eliza_memories")).toBe(40 + 2);
    expect(rowsIn(database, "eliza_participants")).toBe(10);
  });

  describe("and around it", () => {
    beforeAll(() => fillBroken(source));

    it("comes without the rows that cannot be kept: they are listed, and their contents are not", async () => {
      const database = await newTarget();
      const report = await importPluginSql({ from, to: database.options, batch: 4 });
      const reasons = Object.fromEntries(
        Object.entries(report).flatMap(([table, { problems }]) =>
          table === "embeddings" ? [] : problems.map(({ key, reason }) => [key, reason]),
        ),
      );
      const missing = "an agent, entity, room or world that it names is not there";
      expect(reasons).toEqual({
        [id("of nobody")]: "its agent is not known",
        [id("no entity")]: "its room or its entity is not known",
        [id("no room")]: "its room or its entity is not known",
        [id("no such entity")]: missing,
        [id("no such world")]: missing,
        [id("long type")]: expect.stringContaining("to be 1 to 255 bytes of UTF-8, got 300"),
        [id("long name")]: "expected name to be 1 to 1024 bytes of UTF-8, got 2000",
        [`${id("no agent")} of nobody`]: missing,
      });
      expect(JSON.stringify(report)).not.toContain(CANARY);
      const inserted = countsFor("inserted");
      expect(countsOf(report)).toEqual({
        ...inserted,
        rooms: { read: 6, inserted: 5, failed: 1 },
        components: { read: 2, inserted: 1, failed: 1 },
        memories: { read: 43, inserted: 41, failed: 2 },
        embeddings: all("inserted", 38),
        participants: { read: 17, inserted: 11, merged: 4, failed: 2 },
        tasks: { read: 2, inserted: 1, failed: 1 },
        cache: { read: 8, inserted: 7, failed: 1 },
      });
      const adapter = open(database);
      expect(await adapter.getRoomsByIds([id("of world")])).toMatchObject([{ agentId: AGENTS[0] }]);
      expect(await adapter.getParticipantsForRoom(id("room 3"))).toContain(id("entity 9"));
      const other = open(database, AGENTS[1]);
      expect(await other.getMemories({ tableName: "facts", agentId: AGENTS[1] })).toMatchObject([
        { id: id("without place"), content: { text: CANARY } },
      ]);
    });

    it("keeps the newer one of two vectors that are as long, and all others", async () => {
      const database = await newTarget();
      await importPluginSql({ from, to: database.options });
      const adapter = open(database);
      const { embedding } = (await adapter.getMemoryById(id("memory 1"))) ?? {};
      // plugin-sql stores 6 digits.
      expect(embedding?.slice(0, 5)).toEqual(
        vectorOf(384, 1)
          .slice(0, 5)
          .map((one) => Number(one.toFixed(6))),
      );
      const found = await adapter.searchMemories({ tableName: "facts", embedding: vectorOf(512, 2), count: 1 });
      expect(found).toMatchObject([{ id: id("memory 1"), similarity: expect.closeTo(1, 5) }]);
    });
  });
});

describe("what plugin-sql has written in a folder of PGlite", () => {
  it("is found by the adapter, all of it; the folder is closed then", async () => {
    const { options, drop } = createPglite();
    onTestFinished(drop);
    const dataDir = options.pgliteDataDir as string;
    const source = await openPluginSql({ dataDir });
    await fill(source);
    const answers = await answersOf(source);
    const logs = await logsOf(source);
    await source.close();

    const database = await newTarget();
    const again = () => importPluginSql({ from: { pgliteDataDir: dataDir }, to: database.options, logs: true });
    expect(countsOf(await again())).toEqual({ ...countsFor("inserted"), logs: all("inserted", 8) });
    const adapter = open(database);
    expectSame(await answersOf(adapter), answers);
    expect(await logsOf(adapter)).toEqual(logs);
    expect(countsOf(await again())).toEqual({ ...countsFor("skipped"), logs: all("skipped", 8) });
  });

  it("is not looked for in a folder that has no database, and none is made there", async () => {
    const { options, drop } = createPglite();
    onTestFinished(drop);
    const dataDir = options.pgliteDataDir as string;
    const { options: to } = await newTarget();
    expect(await refusal("INVALID_CONFIG", { from: { pgliteDataDir: dataDir }, to })).toBe(
      "import plugin-sql: expected options.from.pgliteDataDir to be the folder of a database that plugin-sql has written, with PostgreSQL 17, got one without the file PG_VERSION",
    );
    expect(existsSync(join(dataDir, "PG_VERSION"))).toBe(false);
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "PG_VERSION"), "18\n");
    expect(await refusal("INVALID_CONFIG", { from: { pgliteDataDir: dataDir }, to })).toContain(
      "got one of PostgreSQL 18",
    );
  });
});

describe("an import", () => {
  const to = { url: "sqlite::memory:" };
  const postgresUrl = `postgres://u:${CANARY}@127.0.0.1:1/db`;

  it.each<[options: object, message: string]>([
    [{ to, from: {} }, "expected options.from to have one of postgresUrl, pgliteDataDir and db, got none"],
    [
      { to, from: { postgresUrl, pgliteDataDir: CANARY } },
      "expected options.from to have one of postgresUrl, pgliteDataDir and db, got postgresUrl and pgliteDataDir",
    ],
    [
      { to, from: { postgresUrl: "" } },
      "expected options.from.postgresUrl to be a string that is not empty, got an empty string",
    ],
    [
      { to, from: { url: postgresUrl } },
      'expected options.from to have the members postgresUrl, pgliteDataDir, db, database, got "url"',
    ],
    [{ to }, "expected options.from to be an object, got undefined"],
    [{ from: { postgresUrl }, to: { url: "" } }, "expected options.to.url to be a string that is not empty"],
    [{ from: { postgresUrl }, to: { ulr: CANARY } }, "expected options.to to have the members url"],
    [
      { from: { postgresUrl }, to, batch: 0 },
      "expected options.batch to be a whole number from 1 to 5000 (rows), got 0",
    ],
    [{ from: { postgresUrl }, to, logs: "yes" }, "expected options.logs to be a boolean, got a string"],
    [{ from: { postgresUrl }, to, signal: {} }, "expected options.signal to be an AbortSignal, got an object"],
    [{ from: { postgresUrl }, to, onProgress: 1 }, "expected options.onProgress to be a function"],
    [{ from: { postgresUrl }, to, onprogress: () => {} }, 'got "onprogress": did you mean onProgress?'],
  ])("is refused with options that are not as documented, by their names: %#", async (options, message) => {
    expect(await refusal("INVALID_ARGUMENT", options as ImportOptions)).toContain(message);
  });

  it("is refused where its databases cannot be opened, and says which", async () => {
    const refused = (options: object) => refusal("INVALID_CONFIG", options as ImportOptions);
    expect(await refused({ from: { postgresUrl: `mysql://u:${CANARY}@h/d` }, to })).toBe(
      "import plugin-sql: expected options.from.postgresUrl to be a URL of postgres:, postgresql:, got mysql:",
    );
    expect(await refused({ from: { postgresUrl, database: { poolSize: 0 } }, to })).toContain(
      "import plugin-sql: expected options.from.database.poolSize to be",
    );
    expect(await refused({ from: { postgresUrl }, to: { url: `http://u:${CANARY}@h/d` } })).toContain(
      "expected options.to.url to be a URL of postgres:,",
    );
    const database = { retry: { maxRetries: 0 } };
    expect(await refusal("UNAVAILABLE", { from: { postgresUrl, database }, to })).toContain(
      "open database of plugin-sql: postgres: could not connect",
    );
  });

  it.skipIf(!server)("is refused where plugin-sql has written nothing", async () => {
    const { url, drop } = await createDatabase(server?.url as string);
    onTestFinished(() => drop());
    expect(await refusal("DATABASE_ERROR", { from: { postgresUrl: url }, to })).toBe(
      "import plugin-sql: reading the table agents failed (42P01): expected the tables of plugin-sql 1.7, in the schema public; one of an older version has to be started with 1.7 once",
    );
  });
});
