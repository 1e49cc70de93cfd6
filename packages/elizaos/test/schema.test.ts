import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  generateDrizzleJson,
  generateMigration,
  generateMySQLDrizzleJson,
  generateMySQLMigration,
  generateSQLiteDrizzleJson,
  generateSQLiteMigration,
} from "drizzle-kit/api";
import { describe, expect, it } from "vitest";
import { compileMigrations } from "../../../scripts/compile-migrations.mjs";
import * as mysql from "../schema/mysql.ts";
import * as postgres from "../schema/postgres.ts";
import * as sqlite from "../schema/sqlite.ts";
import { ELIZA_TABLES } from "../src/tables.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/** What drizzle-kit would write now. */
const WRITERS = {
  sqlite: async (before: never) => await generateSQLiteMigration(before, await generateSQLiteDrizzleJson(sqlite)),
  postgres: async (before: never) => await generateMigration(before, generateDrizzleJson(postgres)),
  mysql: async (before: never) => await generateMySQLMigration(before, await generateMySQLDrizzleJson(mysql)),
};

describe.each(Object.entries(WRITERS))("the migrations of ElizaOS's tables for %s", (dialect, write) => {
  const folder = `migrations/${dialect}`;

  it("make the tables, and nothing else", async () => {
    const journal = JSON.parse(readFileSync(`${PACKAGE}${folder}/meta/_journal.json`, "utf8"));
    const last = journal.entries.at(-1).tag.slice(0, 4);
    const snapshot = JSON.parse(readFileSync(`${PACKAGE}${folder}/meta/${last}_snapshot.json`, "utf8"));
    expect(await write(snapshot as never)).toEqual([]);
    expect(Object.keys(snapshot.tables)).toHaveLength(ELIZA_TABLES.length);
  });

  it("are compiled into the module that users run", () => {
    const module = readFileSync(`${PACKAGE}src/migrations/${dialect}.ts`, "utf8");
    expect(compileMigrations(PACKAGE, folder)).toBe(module);
  });
});
