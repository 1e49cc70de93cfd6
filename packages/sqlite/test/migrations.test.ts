import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createdTables } from "@waymark/core/kit";
import { MEMORY_SCHEMA, MEMORY_TABLES } from "@waymark/core/memory/kit";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { compileMigrations } from "../../../scripts/compile-migrations.mjs";
import { migrations as memoryMigrations } from "../src/memory/migrations.ts";
import { answerOf, checkpoint, childProcess, newFile } from "./fixtures.ts";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));

const ALL = ["0000_initial", "0001_writes", "0002_settings", "0003_labels"];

describe.each([
  ["checkpoints", "drizzle.config.ts", "migrations"],
  ["memory", "drizzle.memory.config.ts", "memory-migrations"],
] as const)("the migrations of %s in SQLite", (domain, config, folder) => {
  it("make the schema, as drizzle-kit confirms", () => {
    // Inside the package, so that the copy finds drizzle, and the build of core, which drizzle-kit loads.
    const copy = mkdtempSync(join(packageFolder, ".migrations-"));
    try {
      for (const name of [config, "src", folder])
        cpSync(join(packageFolder, name), join(copy, name), { recursive: true });
      const kit = join(packageFolder, "node_modules/drizzle-kit/bin.cjs");
      const output = execFileSync(process.execPath, [kit, "generate", "--config", config], {
        cwd: copy,
        encoding: "utf8",
      });
      expect(output).toContain("No schema changes, nothing to migrate");
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  it("are compiled into the module that users run", () => {
    expect(readFileSync(join(packageFolder, `src/${domain}/migrations.ts`), "utf8")).toBe(
      compileMigrations(packageFolder, folder),
    );
  });
});

it("the migrations of memory make the tables and columns of its schema, and keep small rows in the tree of their key", () => {
  expect(createdTables(memoryMigrations)).toEqual(
    [...MEMORY_SCHEMA.tables].sort((one, other) => (one.name < other.name ? -1 : 1)),
  );
  const statements = memoryMigrations.flatMap((migration) => migration.statements);
  const clustered = statements.filter((statement) => statement.endsWith("WITHOUT ROWID"));
  expect(clustered.map((statement) => /`(\w+)`/.exec(statement)?.[1])).toEqual(
    MEMORY_TABLES.filter((table) => "isClustered" in table).map(({ name }) => name),
  );
});

describe("the migrations of checkpoints in SQLite", () => {
  it("run once when sixteen processes open a new file at the same moment", async () => {
    const databasePath = newFile();
    const children = Array.from({ length: 16 }, () => childProcess("open", databasePath));
    await Promise.all(children.map(answerOf)); // all are ready
    const answers = children.map(answerOf);
    for (const child of children) child.send("go");
    expect(await Promise.all(answers)).toEqual(children.map(() => "opened"));
    expect(readHistory(databasePath)).toEqual(ALL);
  });

  it("are not run by `verify`, whose error has the statements to run", async () => {
    const databasePath = newFile();
    const storage = createSQLiteStorage({ databasePath, migrate: "verify" });
    const error = await storage.storeCheckpoint(checkpoint(1)).catch((reason) => reason);
    expect(error).toMatchObject({ code: "SCHEMA_OUTDATED", retryable: false });
    expect(error.message).toContain(ALL.join(", "));

    const admin = new Database(databasePath);
    for (const statement of error.sql) admin.exec(statement);
    admin.close();
    await expect(storage.storeCheckpoint(checkpoint(1))).resolves.toBeTypeOf("string");
    expect(await storage.migrate("sql")).toEqual([]);
    await storage.close();
    expect(readHistory(databasePath)).toEqual(ALL);
  });

  it("are applied by `migrate`, which returns their names", async () => {
    const storage = createSQLiteStorage({ databasePath: newFile(), migrate: "verify" });
    expect(await storage.migrate("apply")).toEqual(ALL);
    expect(await storage.migrate()).toEqual([]);
    expect(await storage.migrate("verify")).toEqual([]);
    await storage.close();
  });

  it("of a newer version are accepted as long as they allow this version", async () => {
    const databasePath = newFile();
    await storeOne(databasePath);
    execute(databasePath, "insert into waymark_migrations values ('0099_newer', 'digest', 1, 0)");
    await expect(storeOne(databasePath)).resolves.toBeTypeOf("string");
    execute(databasePath, "update waymark_migrations set minimum_reader = 5 where name = '0099_newer'");
    await expect(storeOne(databasePath)).rejects.toMatchObject({ code: "SCHEMA_TOO_NEW" });
  });

  it("bring a database of the previous version up to date, and keep its checkpoints", async () => {
    const databasePath = newFile();
    const id = await storeOne(databasePath);
    execute(
      databasePath,
      "drop table agent_checkpoint_labels; drop table agent_checkpoint_settings; drop table agent_checkpoint_writes",
    );
    execute(databasePath, "delete from waymark_migrations where name > '0001'");
    await using storage = createSQLiteStorage({ databasePath });
    await storage.appendWrites(id, [{ taskId: "task", index: 0, channel: "c", value: 1 }]);
    expect(await storage.listWrites(id)).toEqual([{ taskId: "task", index: 0, channel: "c", value: 1 }]);
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id });
    expect(await storage.deleteCheckpoint(id)).toBe(true);
    expect(readHistory(databasePath)).toEqual(ALL);
  });

  it("are refused where the history was edited", async () => {
    const databasePath = newFile();
    await storeOne(databasePath);
    execute(databasePath, "update waymark_migrations set digest = 'another'");
    await expect(storeOne(databasePath)).rejects.toMatchObject({ code: "SCHEMA_MISMATCH" });
  });

  it("are refused by a table of somebody else, which stays as it is", async () => {
    const databasePath = newFile();
    execute(databasePath, "create table agent_checkpoints (id integer primary key, state text)");
    await expect(storeOne(databasePath)).rejects.toMatchObject({ code: "SCHEMA_MISMATCH" });
    await expect(storeOne(databasePath, { tablePrefix: "waymark_" })).resolves.toBeTypeOf("string");
    expect(names(databasePath).filter((name) => !name.startsWith("waymark_"))).toEqual(["agent_checkpoints"]);
  });

  it.each([
    ["create table agent_checkpoint_writes (n)", "agent_checkpoint_writes"],
    ["create view agent_checkpoints as select 1", "agent_checkpoints"],
    ["create table t (n); create index agent_checkpoints_by_agent on t (n)", "agent_checkpoints_by_agent"],
    ["create table waymark_migrations (id integer)", "waymark_migrations"],
  ])("are refused by its name where something else has a name of ours: %s", async (statement, name) => {
    const databasePath = newFile();
    execute(databasePath, statement);
    const before = names(databasePath);
    const message = expect.stringContaining(` ${name} that`);
    await expect(storeOne(databasePath)).rejects.toMatchObject({ code: "SCHEMA_MISMATCH", message });
    expect(names(databasePath)).toEqual(before);
  });

  it("put the prefix before every name", async () => {
    const databasePath = newFile();
    await storeOne(databasePath, { tablePrefix: "a_" });
    await storeOne(databasePath, { tablePrefix: "b_" });
    const all = names(databasePath);
    expect(all.filter((name) => name.startsWith("a_")).map((name) => name.slice(2))).toEqual(
      all.filter((name) => name.startsWith("b_")).map((name) => name.slice(2)),
    );
    expect(all.filter((name) => !/^[ab]_/.test(name))).toEqual([]);
  });
});

/** Opens a file, stores a checkpoint, and closes it. */
async function storeOne(databasePath: string, options = {}): Promise<string> {
  await using storage = createSQLiteStorage({ databasePath, ...options });
  return await storage.storeCheckpoint(checkpoint(1));
}

function execute(databasePath: string, sql: string): void {
  const database = new Database(databasePath);
  database.exec(sql);
  database.close();
}

function readHistory(databasePath: string): unknown[] {
  const database = new Database(databasePath, { readonly: true });
  const rows = database.prepare("select name from waymark_migrations order by name").pluck().all();
  database.close();
  return rows;
}

/** Lists all tables and indexes, without those that SQLite names itself. */
function names(databasePath: string): string[] {
  const database = new Database(databasePath, { readonly: true });
  const rows = database
    .prepare("select name from sqlite_master where name not like 'sqlite_%' order by name")
    .pluck()
    .all();
  database.close();
  return rows as string[];
}
