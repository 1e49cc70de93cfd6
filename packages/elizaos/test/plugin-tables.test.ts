import "./quiet.mjs";
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pluginSql from "@elizaos/plugin-sql";
import { cosineDistance, eq, sql } from "drizzle-orm";
import {
  boolean,
  date,
  integer,
  jsonb,
  type PgDatabase,
  type PgQueryResultHKT,
  pgSchema,
  pgTable,
  serial,
  text,
  timestamp,
  uniqueIndex,
  uuid,
  vector,
} from "drizzle-orm/pg-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { acquire, type SharedConnection } from "../src/connections.ts";
import { type WaymarkAdapter, waymark } from "../src/index.ts";
import { checkOptions, resolveOptions } from "../src/options.ts";
import { startRuntime, stopRuntime } from "./agent.mjs";
import { collectWarnings, newId } from "./contract/bench.ts";
import { allDatabases, databases, type Kind, type TestDatabase } from "./databases.ts";

/** A database as Drizzle's drivers return it, whose `execute` has rows. */
type Drizzle = PgDatabase<PgQueryResultHKT> & { execute(query: unknown): Promise<{ rows: unknown[] }> };

const testAll = Boolean(process.env["WAYMARK_TEST_ALL"]);

const [server, ...servers] = ["PostgreSQL with pgvector", "PostgreSQL"].flatMap((name) => kindOf(name));

/** The databases that have tables of plugins. */
const withTables = [...(server ? [server] : []), ...(testAll ? servers : []), ...kindOf("PGlite")];

const withoutTables = databases.filter(({ name }) => ["SQLite", "MySQL", "MariaDB"].includes(name));

function kindOf(name: string): Kind[] {
  return allDatabases.filter((kind) => kind.name === name);
}

describe.each(withTables)("tables of plugins on $name", (kind) => {
  let database: TestDatabase;
  let connection: SharedConnection; // stays open between tests: PGlite takes seconds
  beforeAll(async () => {
    database = await kind.create();
    connection = acquire(resolveOptions(checkOptions(database.options)).place);
  });
  afterAll(async () => {
    await connection?.release();
    await database?.drop();
  });

  /** Opens an adapter, and makes the tables of a plugin. */
  async function install(name: string, schema: Record<string, unknown>, options?: object) {
    const adapter = waymark.adapter(database.options, newId());
    onTestFinished(() => adapter.close());
    await adapter.init();
    await adapter.runPluginMigrations([{ name, schema }], options);
    return adapter.db as Drizzle;
  }

  /** Opens a database of Drizzle's, around the adapter. */
  const drizzle = async () => (await (await connection.store()).drizzle()) as Drizzle;

  const rowsOf = async (query: string) => (await (await drizzle()).execute(sql.raw(query))).rows;

  const isThere = async (table: string) =>
    expect(await rowsOf(`select to_regclass('${table}') is not null as there`)).toEqual([{ there: true }]);

  it("are made when an agent starts, used through runtime.db, and there after a restart", async () => {
    const schema = pgSchema("todo");
    const owners = schema.table("owners", {
      id: uuid("id").primaryKey().defaultRandom(),
      name: text("name").notNull(),
    });
    const items = schema.table(
      "items",
      {
        id: serial("id").primaryKey(),
        owner: uuid("owner_id").references(() => owners.id, { onDelete: "cascade" }),
        title: text("title").notNull(),
        isDone: boolean("is_done").notNull().default(false),
      },
      (table) => [uniqueIndex("items_title").on(table.title)],
    );
    const plugin = { name: "plugin-todo", description: "Has tables", schema: { owners, items } };
    const start = async () => {
      const runtime = await startRuntime([waymark(database.options), plugin]);
      onTestFinished(() => stopRuntime(runtime));
      return { runtime, db: runtime.db as Drizzle };
    };

    const { runtime, db } = await start();
    const [owner] = await db.insert(owners).values({ name: "Ben" }).returning();
    const [first, second] = await db
      .insert(items)
      .values([
        { title: "one", owner: owner?.id },
        { title: "two", owner: owner?.id },
      ])
      .returning();
    expect(first).toEqual({ id: 1, owner: owner?.id, title: "one", isDone: false });
    await db.update(items).set({ isDone: true }).where(eq(items.id, 1));
    await db.insert(items).values({ title: "one", isDone: false }).onConflictDoNothing();
    await expect(db.insert(items).values({ title: "one" })).rejects.toThrow();
    const joined = db
      .select({ title: items.title, name: owners.name })
      .from(items)
      .innerJoin(owners, eq(owners.id, items.owner));
    expect(await joined.where(eq(items.isDone, true))).toEqual([{ title: "one", name: "Ben" }]);

    const added = await db.transaction(async (transaction) => {
      await transaction.insert(items).values({ title: "three" });
      const counted = await (transaction as unknown as Drizzle).execute(sql`select count(*)::int as n from todo.items`);
      return counted.rows;
    });
    expect(added).toEqual([{ n: 3 }]);
    const failing = db.transaction(async (transaction) => {
      await transaction.insert(items).values({ title: "four" });
      throw new Error("rolled back");
    });
    await expect(failing).rejects.toThrow("rolled back");
    const { rows } = await db.execute(sql`select title from todo.items where id >= ${second?.id} order by title`);
    expect(rows).toEqual([{ title: "three" }, { title: "two" }]);
    expect((await db.execute(sql`delete from todo.items where title = 'three'`)).rows).toEqual([]);
    await stopRuntime(runtime);

    const history = "select hash from migrations._migrations where plugin_name = 'plugin-todo'";
    expect(await rowsOf(history)).toHaveLength(1);
    const again = await start();
    expect((await again.db.select().from(items)).map(({ title }) => title).sort()).toEqual(["one", "two"]);
    expect(await rowsOf(history)).toHaveLength(1);
    await again.db.delete(owners);
    expect(await again.db.select().from(items)).toEqual([]);
  });

  it("hold dates, times, JSON and lists as Drizzle has them, whatever the time zone of the process", async () => {
    const times = pgTable("plugin_times", {
      id: serial("id").primaryKey(),
      at: timestamp("at"),
      zoned: timestamp("zoned", { withTimezone: true }),
      text: timestamp("text", { mode: "string" }),
      made: timestamp("made", { withTimezone: true }).notNull().defaultNow(),
      day: date("day"),
      dayAsDate: date("day_as_date", { mode: "date" }),
      data: jsonb("data"),
      labels: text("labels").array(),
    });
    const db = await install("plugin-times", { times });
    const zone = process.env["TZ"];
    onTestFinished(() => {
      process.env["TZ"] = zone;
      if (zone === undefined) delete process.env["TZ"];
    });
    const at = new Date("2024-03-10T02:30:00.123Z");
    const given = {
      ...{ at, zoned: at, text: "2024-03-10 02:30:00.123", day: "2024-03-10", dayAsDate: new Date("2024-03-10") },
      ...{ data: { deep: ["1", 1, null], text: "12" }, labels: ['a "b"', "c, d", "\\e", "null", ""] },
    };
    for (const [name, offset] of Object.entries({ UTC: 0, "America/New_York": 300, "Asia/Kolkata": -330 })) {
      process.env["TZ"] = name;
      expect(at.getTimezoneOffset()).toBe(offset);
      const [id] = await db.insert(times).values(given).returning({ id: times.id });
      const [row] = await db
        .select()
        .from(times)
        .where(eq(times.id, id?.id as number));
      expect(row).toEqual({ ...given, id: id?.id, made: expect.any(Date) });
      expect(Math.abs(Date.now() - (row?.made.getTime() ?? 0))).toBeLessThan(600_000);
      const columns = "at::text, extract(epoch from zoned)::text as zoned, day::text, data->>'text' as text";
      expect(await rowsOf(`select ${columns} from plugin_times where id = ${id?.id}`)).toEqual([
        { at: "2024-03-10 02:30:00.123", zoned: `${at.getTime() / 1_000}000`, day: "2024-03-10", text: "12" },
      ]);
    }
  });

  // The plain server has no such type.
  it.skipIf(kind.name === "PostgreSQL")("may have vectors, which are searched", async () => {
    const passages = pgTable("plugin_passages", {
      id: integer("id").primaryKey(),
      place: vector("place", { dimensions: 3 }),
    });
    const db = await install("plugin-passages", { passages });
    await db.insert(passages).values([
      { id: 1, place: [1, 0, 0] },
      { id: 2, place: [0.5, 0.5, 0] },
      { id: 3, place: null },
    ]);
    const distance = cosineDistance(passages.place, [0, 1, 0]);
    const near = db.select({ id: passages.id, place: passages.place }).from(passages).orderBy(distance);
    expect(await near.limit(2)).toEqual([
      { id: 2, place: [0.5, 0.5, 0] },
      { id: 1, place: [1, 0, 0] },
    ]);
  });

  it("are not those of plugin-sql itself", async () => {
    const { name, schema } = pluginSql as unknown as { name: string; schema: Record<string, unknown> };
    const db = await install(name, schema);
    const found = await db.execute(sql`select to_regclass('memories') as memories, to_regclass('agents') as agents`);
    expect(found.rows).toEqual([{ memories: null, agents: null }]);
    const adapter = waymark.adapter(database.options, newId());
    onTestFinished(() => adapter.close());
    const other = pgTable("plugin_beside", { id: serial("id") });
    await adapter.runPluginMigrations([
      { name, schema },
      { name: "plugin-none" },
      { name: "plugin-empty", schema: {} },
    ]);
    await adapter.runPluginMigrations([
      { name, schema },
      { name: "plugin-beside", schema: { other } },
    ]);
    await isThere("plugin_beside");
    expect(await rowsOf("select to_regclass('memories') as memories")).toEqual([{ memories: null }]);
  });

  it("leave the row-level security of other tables as it is", async () => {
    await rowsOf("create table secured (id int, server_id uuid, agent_id uuid)");
    for (const what of ["enable", "force"]) await rowsOf(`alter table secured ${what} row level security`);
    await install("plugin-secured", { things: pgTable("plugin_things", { id: serial("id") }) });
    expect(await rowsOf("select relrowsecurity, relforcerowsecurity from pg_class where relname = 'secured'")).toEqual([
      { relrowsecurity: true, relforcerowsecurity: true },
    ]);
  });

  it("are brought up to date; what would lose data is refused, or done by choice", async () => {
    const columns = { id: integer("id").primaryKey(), name: text("name") };
    const make = (more: object) => ({ notes: pgTable("plugin_notes", { ...columns, ...more }) });
    const first = make({});
    await install("plugin-notes", first, { dryRun: true });
    expect(await rowsOf("select to_regclass('plugin_notes') as notes")).toEqual([{ notes: null }]);
    const db = await install("plugin-notes", first);
    await db.insert(first.notes).values({ id: 1, name: "kept" });

    const wider = { notes: pgTable("plugin_notes", { ...columns, stars: integer("stars").default(0) }) };
    await install("plugin-notes", wider);
    expect(await db.select().from(wider.notes)).toEqual([{ id: 1, name: "kept", stars: 0 }]);

    const narrower = { notes: pgTable("plugin_notes", { id: columns.id }) };
    await expect(install("plugin-notes", narrower)).rejects.toThrow("Destructive migration blocked");
    expect(await db.select().from(wider.notes)).toEqual([{ id: 1, name: "kept", stars: 0 }]);
    await install("plugin-notes", narrower, { force: true });
    expect(await rowsOf("select * from plugin_notes")).toEqual([{ id: 1 }]);
  });

  // PGlite is for one process.
  it.skipIf(kind.name === "PGlite")("are made by processes that start at once, and know of no lock", async () => {
    const { POSTGRES_URL: _, DATABASE_URL: __, ...env } = process.env;
    const file = fileURLToPath(new URL("plugin-tables-child.mjs", import.meta.url));
    const children = Array.from({ length: testAll ? 8 : 3 }, () =>
      fork(file, [JSON.stringify(database.options)], { execArgv: [], env: { ...env, LOG_LEVEL: "fatal" } }),
    );
    onTestFinished(() => {
      for (const child of children) child.kill("SIGKILL");
    });
    await Promise.all(children.map((child) => once(child, "message")));
    const answers = await Promise.all(
      children.map(async (child) => {
        child.send("go");
        const [[answer], [code]] = await Promise.all([once(child, "message"), once(child, "exit")]);
        return { answer, code };
      }),
    );
    expect(answers).toEqual(children.map(() => ({ answer: "done", code: 0 })));
    expect(await rowsOf("select count(*)::int as rows from plugin_shared.entries")).toEqual([
      { rows: children.length },
    ]);
  });

  it.runIf(kind === server)("are named where plugin-sql, which makes them, is not installed", async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-plugins-")));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const at = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
    cpSync(at("dist"), join(folder, "dist"), { recursive: true });
    mkdirSync(join(folder, "node_modules/@waymark"), { recursive: true });
    for (const name of ["core", "postgres"]) {
      symlinkSync(realpathSync(at(`node_modules/@waymark/${name}`)), join(folder, "node_modules/@waymark", name));
    }
    const program = `
      import { waymark } from "./dist/index.js";
      const adapter = waymark.adapter(JSON.parse(process.env.OPTIONS), "${newId()}");
      const plugins = [{ name: "plugin-a", schema: { a: {} } }, { name: "plugin-b" }, { name: "plugin-c", schema: { c: {} } }];
      await adapter.runPluginMigrations(plugins).catch(({ code, message }) => console.log(code, message));
      await adapter.close();
    `;
    const env = { PATH: process.env["PATH"], OPTIONS: JSON.stringify(database.options) }; // pnpm's NODE_PATH has all packages
    const output = await new Promise((resolve) => {
      execFile(process.execPath, ["--input-type=module", "--eval", program], { cwd: folder, env }, (_, said, errors) =>
        resolve(said || errors),
      );
    });
    expect(output).toBe(
      "INVALID_CONFIG migrate tables of plugins: the tables of plugin-a, plugin-c are made by @elizaos/plugin-sql, which is not installed: npm install @elizaos/plugin-sql\n",
    );
  });
});

describe.each(withoutTables)("tables of plugins on $name", ({ name, create }) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await create();
  });
  afterAll(() => database?.drop());

  const dialect = name === "SQLite" ? "sqlite" : "mysql";
  const schema = { things: pgTable("things", { id: serial("id") }) };

  it("cannot exist: each plugin is named once in a warning, and db is null", async () => {
    const warnings = collectWarnings();
    const adapter: WaymarkAdapter = waymark.adapter(database.options, newId());
    onTestFinished(() => adapter.close());
    await adapter.init();
    const plugin = (part: string) => ({ name: `plugin-${part}-${name}`, schema });
    const none = { name: "plugin-without" };
    await adapter.runPluginMigrations([plugin("a"), plugin("b"), none, pluginSql as never], { verbose: true });
    await adapter.runPluginMigrations([plugin("b"), plugin("c")]);
    const ofPlugins = warnings.filter(({ code }) => code === "WAYMARK_ELIZA_PLUGIN_TABLES");
    expect(ofPlugins.map(({ message }) => message)).toEqual(
      ["a", "b", "c"].map(
        (part) =>
          `ElizaOS plugin plugin-${part}-${name}: its tables were not made: its schema is made for PostgreSQL, and this database is ${dialect}`,
      ),
    );
    expect([adapter.db, adapter.getDatabase(), await adapter.getConnection()]).toEqual([null, null, null]);
  });

  it.runIf(name === "SQLite")("keep no agent from starting", async () => {
    const warnings = collectWarnings();
    const plugins = ["plugin-one", "plugin-two"].map((one) => ({ name: one, description: "Has tables", schema }));
    for (let start = 0; start < 2; start++) {
      const runtime = await startRuntime([waymark(database.options), ...plugins]);
      expect(runtime.db).toBeNull();
      await stopRuntime(runtime);
    }
    expect(warnings.filter(({ code }) => code === "WAYMARK_ELIZA_PLUGIN_TABLES")).toHaveLength(2);
  });
});
