import { readFile } from "node:fs/promises";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import { describe, expect, it } from "vitest";
import { migrations } from "../src/checkpoints/migrations.ts";
import * as schema from "../src/checkpoints/schema.ts";
import { migrations as memoryMigrations } from "../src/memory/migrations.ts";
import * as memorySchema from "../src/memory/schema.ts";
import { checkpoint, connect, emptyDatabase, open, plainRole, readHistory } from "./on-server.ts";

const PACKAGE = new URL("..", import.meta.url);
const COMPILER = new URL("../../../scripts/compile-migrations.mjs", import.meta.url);

describe.each([
  ["checkpoints", "migrations/", schema, migrations],
  ["memory", "memory-migrations/", memorySchema, memoryMigrations],
])("%s", (domain, folder, tables, compiled) => {
  it("have migrations that make the schema, and nothing else", async () => {
    const files = new URL(folder, PACKAGE);
    const journal = JSON.parse(await readFile(new URL("meta/_journal.json", files), "utf8"));
    const last = journal.entries.at(-1).tag.slice(0, 4);
    const snapshot = JSON.parse(await readFile(new URL(`meta/${last}_snapshot.json`, files), "utf8"));
    expect(await generateMigration(snapshot, generateDrizzleJson(tables, snapshot.id))).toEqual([]);

    // drizzle-kit does find a difference where the schema lacks the table.
    expect(await generateMigration(snapshot, generateDrizzleJson({}, snapshot.id))).not.toEqual([]);
  });

  it("have their migrations compiled into the module that users run", async () => {
    const { compileMigrations } = (await import(COMPILER.href)) as {
      compileMigrations(folder: string, name: string): string;
    };
    const module = await readFile(new URL(`src/${domain}/migrations.ts`, PACKAGE), "utf8");
    expect(compileMigrations(PACKAGE.pathname, folder.slice(0, -1))).toBe(module);
    expect(compiled.length).toBeGreaterThan(0);
  });
});

/** Lists the names of all relations and constraints in a schema. */
async function listNames(url: string, schemaName = "public"): Promise<string[]> {
  const rows = await connect(url)`
    select relname as name from pg_class where relnamespace = ${schemaName}::regnamespace
    union select conname from pg_constraint where connamespace = ${schemaName}::regnamespace
    order by 1`;
  return rows.map(({ name }) => String(name));
}

it("keeps storages with different prefixes apart, with the prefix before each name", async () => {
  const { url } = await emptyDatabase();
  const plain = open({ connectionString: url });
  const id = await plain.storeCheckpoint(checkpoint());
  const unprefixed = await listNames(url);
  expect(unprefixed).toContain("agent_checkpoints");

  const longest = "p".repeat(24);
  for (const tablePrefix of ["one_", "Two_", longest]) {
    const storage = open({ connectionString: url, tablePrefix });
    expect(await storage.storeCheckpoint(checkpoint({ id, state: tablePrefix }))).toBe(id);
    expect((await storage.retrieveCheckpoint(id))?.state).toBe(tablePrefix);
    expect(await readHistory(url, `"${tablePrefix}waymark_migrations"`)).toEqual(migrations.map(({ name }) => name));
    const prefixed = (await listNames(url)).filter((name) => name.startsWith(tablePrefix));
    expect(prefixed).toEqual(unprefixed.map((name) => `${tablePrefix}${name}`));
  }
  expect(await plain.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
  const all = ["", "one_", "Two_", longest].flatMap((prefix) => unprefixed.map((name) => `${prefix}${name}`));
  expect((await listNames(url)).sort()).toEqual(all.sort());
});

it("makes the schema that its options name, and everything in it, and nothing in public", async () => {
  const { url } = await emptyDatabase();
  const storage = open({ connectionString: url, schema: "Agents" });
  const id = await storage.storeCheckpoint(checkpoint());
  expect((await storage.retrieveCheckpoint(id))?.state).toEqual(checkpoint().state);
  expect(await listNames(url)).toEqual([]);
  expect(await listNames(url, '"Agents"')).toContain("agent_checkpoints");
  expect(await readHistory(url, '"Agents".waymark_migrations')).toEqual(migrations.map(({ name }) => name));

  const other = open({ connectionString: url, schema: "beside" });
  expect(await other.listCheckpoints()).toEqual([]);
  expect(await storage.listCheckpoints()).toHaveLength(1);
});

it("needs no right on the database where the schema exists", async () => {
  const database = await emptyDatabase();
  const role = await plainRole(database);
  const admin = connect(database.url);
  await admin.unsafe(`create schema ours authorization ${role.name}`);
  await admin.unsafe(`revoke create on database ${database.name} from public`);
  const storage = open({ connectionString: role.url, schema: "ours" });
  const id = await storage.storeCheckpoint(checkpoint());
  expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
  await expect(open({ connectionString: role.url, schema: "new" }).listCheckpoints()).rejects.toMatchObject({
    code: "ACCESS_DENIED",
  });
});

it("finds its tables whatever the role's search path is", async () => {
  const database = await emptyDatabase();
  const admin = connect(database.url);
  await admin.unsafe("create schema decoy");
  await admin.unsafe("create table decoy.agent_checkpoints (id integer)");
  await admin.unsafe(`alter database ${database.name} set search_path = decoy`);
  const storage = open({ connectionString: database.url });
  const id = await storage.storeCheckpoint(checkpoint());
  expect(await storage.listAgents()).toEqual(["agent"]);
  expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
  expect(await listNames(database.url)).toContain("agent_checkpoints");
});
