import { describe, expect, it } from "vitest";
import { violations } from "./check-seams.mjs";

describe("a module", () => {
  it.each([
    ["core/src/contract.ts", 'import type { Row } from "./dialect.ts";', "must not import the types of ./dialect.ts"],
    ["core/src/dialect.ts", 'import { deflateSync } from "node:zlib";', "must not import node:zlib"],
    ["core/src/errors.ts", 'export * from "./contract.ts";', "must not import ./contract.ts"],
    [
      "core/src/codec/values.ts",
      'import type { Row } from "../dialect.ts";',
      "must not import the types of ../dialect.ts",
    ],
    [
      "core/src/config.ts",
      'const { readFile } = await import("node:fs/promises");',
      "must not import node:fs/promises",
    ],
    ["core/src/registry.ts", 'import { createStorage } from "./storage.ts";', "must not import ./storage.ts"],
    ["core/src/storage.ts", 'import { openCheckpointStorage } from "./open.ts";', "must not import ./open.ts"],
    ["core/src/open.ts", 'import { createStorage } from "./storage.ts";', "must not import ./storage.ts"],
    ["core/src/index.ts", 'export { retry } from "cockatiel";', "must not import cockatiel"],
    ["core/src/chains.ts", 'import { StateCache } from "./state-cache.ts";', "must not import ./state-cache.ts"],
    ["core/src/chains.ts", 'import { rowBytes } from "./dialect.ts";', "must not import ./dialect.ts"],
    ["core/src/state-cache.ts", 'import { readChain } from "./chains.ts";', "must not import ./chains.ts"],
    [
      "core/src/state-cache.ts",
      'import type { Row } from "./dialect.ts";',
      "must not import the types of ./dialect.ts",
    ],
    [
      "core/src/store-queue.ts",
      'import { DialectSession } from "./dialect-session.ts";',
      "must not import ./dialect-session.ts",
    ],
    ["core/src/removal.ts", 'import { StateCache } from "./state-cache.ts";', "must not import ./state-cache.ts"],
    [
      "core/src/removal.ts",
      'import { packSnapshot } from "./codec/snapshots.ts";',
      "must not import ./codec/snapshots.ts",
    ],
    [
      "sqlite/src/schema.ts",
      'import { NIL_ID } from "@waymark/core/dialect-kit";',
      "must not import @waymark/core/dialect-kit",
    ],
    ["sqlite/src/schema.ts", 'import Database from "better-sqlite3";', "must not import better-sqlite3"],
    [
      "postgres/src/statements.ts",
      'import { NIL_ID } from "@waymark/core/dialect-kit";',
      "must not import @waymark/core/dialect-kit",
    ],
    [
      "postgres/src/statements.ts",
      'import type { Options } from "./options.ts";',
      "must not import the types of ./options.ts",
    ],
    ["mysql/src/index.ts", 'export type { Pool } from "mysql2";', "must not import the types of mysql2"],
    ["mysql/src/dialect.ts", 'type Row = import("other-driver").Row;', "must not import the types of other-driver"],
    ["conformance/src/suite.ts", 'import { createStorage } from "@waymark/core";', "must not import @waymark/core"],
    ["conformance/src/suite.ts", 'import type { SQL } from "drizzle-orm";', "must not import the types of drizzle-orm"],
  ])("%s is refused: %s", (path, code, message) => {
    expect(violations(path, `// a line\n${code}`)).toEqual([`packages/${path}:2: ${message}`]);
  });

  it("may not import another dialect, which is also not to be named", () => {
    expect(violations("sqlite/src/dialect.ts", 'import { createMySQLStorage } from "@waymark/mysql";')).toContain(
      "packages/sqlite/src/dialect.ts:1: must not import @waymark/mysql",
    );
  });

  it.each([
    ["core/src/storage.ts", 'import { encode } from "./codec/snapshots.ts";'],
    ["core/src/storage.ts", 'import { StoreQueue } from "./store-queue.ts"; import { readChain } from "./chains.ts";'],
    ["core/src/removal.ts", 'import { readChain } from "./chains.ts"; import type { Row } from "./dialect.ts";'],
    [
      "core/src/open.ts",
      'import { loadConfig } from "c12"; import { parse } from "./config.ts"; process.env.DATABASE_URL;',
    ],
    [
      "postgres/src/statements.ts",
      'import type { Row } from "@waymark/core/dialect-kit"; import { sql } from "drizzle-orm";',
    ],
    ["postgres/src/statements.ts", 'import { type Row } from "@waymark/core"; import { rows } from "./schema.ts";'],
    ["mysql/src/connection.ts", 'import { createPool } from "mysql2/promise"; const mariadb = "MariaDB";'],
    ["sqlite/src/schema.ts", 'import { sqliteTable } from "drizzle-orm/sqlite-core";'],
    [
      "core/src/options.ts",
      "/** MySQL's identifiers end at 64. Any console. */ const a = 1; // process.env, new Error()",
    ],
  ])("%s is let through: %s", (path, code) => {
    expect(violations(path, code)).toEqual([]);
  });

  it("needs a row in the table of imports", () => {
    expect(violations("another/src/index.ts", "export {};")).toEqual([
      "packages/another/src/index.ts:1: no row of the imports in scripts/seams.mjs covers this module",
    ]);
  });
});

describe("the code of a package", () => {
  it.each([
    ["core/src/storage.ts", 'if (dialect.name === "sqlite") retry();', "the name of the dialect sqlite"],
    ["core/src/storage.ts", "const isMySQL = true;", "the name of the dialect mysql"],
    ["core/src/storage.ts", "const message = `no ${what} for PostgreSQL`;", "the name of the dialect postgres"],
    ["postgres/src/errors.ts", 'const code = "ER_MARIADB_GONE";', "the name of the dialect mysql"],
    ["core/src/config.ts", "const url = process.env.DATABASE_URL;", "process.env"],
    ["core/src/config.ts", 'const url = process["env"].DATABASE_URL;', "process.env"],
    ["sqlite/src/migrate.ts", 'console.warn("slow");', "console"],
    ["core/src/storage.ts", "function decode(value: any): void {}", "the type any"],
    ["core/src/storage.ts", 'throw new Error("no");', "new Error, where a CheckpointError is due"],
    ["core/src/storage.ts", 'throw Error("no");', "new Error, where a CheckpointError is due"],
  ])("in %s must not be: %s", (path, code, what) => {
    expect(violations(path, code)).toContain(`packages/${path}:1: must not use ${what}`);
  });

  it("is read as a parser reads it, or refused", () => {
    expect(violations("core/src/storage.ts", "const = ;")).toEqual([
      expect.stringMatching(/^packages\/core\/src\/storage.ts: /),
    ]);
  });
});
