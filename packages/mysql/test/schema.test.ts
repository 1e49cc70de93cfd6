import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { generateMySQLDrizzleJson, generateMySQLMigration } from "drizzle-kit/api";
import { describe, expect, it } from "vitest";
import { migrations } from "../src/checkpoints/migrations.ts";
import * as schema from "../src/checkpoints/schema.ts";
import * as memorySchema from "../src/memory/schema.ts";
import { checkpoint, emptyDatabase, open, readHistory, run, servers } from "./on-server.ts";

const DOMAINS = [
  { domain: "checkpoints", folder: new URL("../migrations/", import.meta.url), tables: schema },
  { domain: "memory", folder: new URL("../memory-migrations/", import.meta.url), tables: memorySchema },
];
const COMPILER = new URL("../../../scripts/compile-migrations.mjs", import.meta.url);

it.each(DOMAINS)("has migrations that make the schema of $domain, and nothing else", async ({ folder, tables }) => {
  const journal = JSON.parse(await readFile(new URL("meta/_journal.json", folder), "utf8"));
  const last = journal.entries.at(-1).tag.slice(0, 4);
  const snapshot = JSON.parse(await readFile(new URL(`meta/${last}_snapshot.json`, folder), "utf8"));
  const current = await generateMySQLDrizzleJson(tables, snapshot.id);
  expect(await generateMySQLMigration(snapshot, current)).toEqual([]);

  // drizzle-kit does find a difference where the schema lacks the table.
  const none = await generateMySQLDrizzleJson({}, snapshot.id);
  expect(await generateMySQLMigration(snapshot, none)).not.toEqual([]);
});

it.each(DOMAINS)(
  "has its migrations of $domain compiled into the module that users run",
  async ({ domain, folder }) => {
    const { compileMigrations } = (await import(COMPILER.href)) as {
      compileMigrations(folder: string, name: string): string;
    };
    const compiled = compileMigrations(new URL("..", import.meta.url).pathname, basename(folder.pathname));
    expect(compiled).toBe(await readFile(new URL(`../src/${domain}/migrations.ts`, import.meta.url), "utf8"));
    expect(migrations.length).toBeGreaterThan(0);
  },
);

describe.each(servers)("$title", ({ url: serverUrl }) => {
  /** Lists the names of all tables, indexes and constraints, without `PRIMARY`, which every primary key has. */
  async function listNames(url: string): Promise<string[]> {
    const rows = await run(
      url,
      `select table_name as name from information_schema.tables where table_schema = database()
       union select index_name from information_schema.statistics where table_schema = database()
       union select constraint_name from information_schema.table_constraints where table_schema = database()`,
    );
    return rows
      .map(({ name }) => String(name))
      .filter((name) => name !== "PRIMARY")
      .sort();
  }

  it("keeps storages with different prefixes apart, with the prefix before each name", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const plain = open({ connectionString: url });
    const id = await plain.storeCheckpoint(checkpoint());
    const unprefixed = await listNames(url);
    expect(unprefixed).toContain("agent_checkpoints");
    expect(unprefixed).toContain("agent_checkpoints_base_fk");

    const longest = "p".repeat(24);
    for (const tablePrefix of ["one_", "Two_", longest]) {
      const storage = open({ connectionString: url, tablePrefix });
      expect(await storage.storeCheckpoint(checkpoint({ id, state: tablePrefix }))).toBe(id);
      expect((await storage.retrieveCheckpoint(id))?.state).toBe(tablePrefix);
      expect(await readHistory(url, `\`${tablePrefix}waymark_migrations\``)).toEqual(
        migrations.map(({ name }) => name),
      );
    }
    expect(await plain.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint() });
    const all = ["", "one_", "Two_", longest].flatMap((prefix) => unprefixed.map((name) => `${prefix}${name}`));
    expect(await listNames(url)).toEqual(all.sort());
  });

  it("keeps texts in columns without a collation, whatever the database's own is", async () => {
    const { url } = await emptyDatabase(serverUrl);
    await open({ connectionString: url }).migrate();
    const columns = await run(
      url,
      `select column_name as name from information_schema.columns
       where table_schema = database() and table_name = 'agent_checkpoints' and collation_name is not null`,
    );
    expect(columns).toEqual([]);
  });
});
