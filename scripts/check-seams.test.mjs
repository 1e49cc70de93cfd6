import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { circles, innerImports, modules, violations } from "./check-seams.mjs";

describe("a module", () => {
  it.each([
    [
      "core/src/contract/checkpoints.ts",
      'import type { Row } from "../checkpoints/dialect.ts";',
      "must not import the types of ../checkpoints/dialect.ts",
    ],
    ["core/src/contract/errors.ts", 'import { deflateSync } from "node:zlib";', "must not import node:zlib"],
    ["core/src/codec/values.ts", 'import { Once } from "../database/once.ts";', "must not import ../database/once.ts"],
    [
      "core/src/database/session.ts",
      'import { rowBytes } from "../checkpoints/dialect.ts";',
      "must not import ../checkpoints/dialect.ts",
    ],
    [
      "core/src/database/once.ts",
      'import { deflate } from "../codec/snapshot.ts";',
      "must not import ../codec/snapshot.ts",
    ],
    ["core/src/database/once.ts", 'export { retry } from "cockatiel";', "must not import cockatiel"],
    [
      "core/src/checkpoints/cache.ts",
      'import { KeyRing } from "../encryption/key-ring.ts";',
      "must not import ../encryption/key-ring.ts",
    ],
    [
      "core/src/checkpoints/chain.ts",
      'const { replicate } = await import("../replication/storage.ts");',
      "must not import ../replication/storage.ts",
    ],
    [
      "core/src/checkpoints/chain.ts",
      "await import(`../replication/storage.ts`);",
      "must not import ../replication/storage.ts",
    ],
    ["core/src/checkpoints/chain.ts", 'import pg = require("pg");', "must not import pg"],
    [
      "core/src/encryption/ciphertext.ts",
      'import { deliver } from "../replication/delivery.ts";',
      "must not import ../replication/delivery.ts",
    ],
    [
      "core/src/replication/delivery.ts",
      'import { KeyRing } from "../encryption/key-ring.ts";',
      "must not import ../encryption/key-ring.ts",
    ],
    [
      "core/src/config/registry.ts",
      'import { createStorage } from "../checkpoints/storage.ts";',
      "must not import ../checkpoints/storage.ts",
    ],
    ["core/src/index.ts", 'export { retry } from "cockatiel";', "must not import cockatiel"],
    [
      "sqlite/src/checkpoints/schema.ts",
      'import { NIL_ID } from "@waymark/core/kit";',
      "must not import @waymark/core/kit",
    ],
    ["sqlite/src/checkpoints/schema.ts", 'import Database from "better-sqlite3";', "must not import better-sqlite3"],
    ["postgres/src/checkpoints/reads.ts", 'import postgres from "postgres";', "must not import postgres"],
    [
      "postgres/src/migrate.ts",
      'import { migrations } from "./checkpoints/migrations.ts";',
      "must not import ./checkpoints/migrations.ts",
    ],
    ["mysql/src/index.ts", 'export type { Pool } from "mysql2";', "must not import the types of mysql2"],
    ["mysql/src/database.ts", 'type Row = import("other-driver").Row;', "must not import the types of other-driver"],
    [
      "core/src/checkpoints/engine.ts",
      'import { createStorage } from "../create-storage.ts";',
      "must not import ../create-storage.ts",
    ],
    [
      "conformance/src/storage/suite.ts",
      'import type { SQL } from "drizzle-orm";',
      "must not import the types of drizzle-orm",
    ],
  ])("%s must not contain: %s", (path, code, message) => {
    expect(violations(path, `// a line\n${code}`)).toEqual([`packages/${path}:2: ${message}`]);
  });

  it("must not import another dialect", () => {
    expect(violations("sqlite/src/database.ts", 'import { createMySQLStorage } from "@waymark/mysql";')).toContain(
      "packages/sqlite/src/database.ts:1: must not import @waymark/mysql",
    );
  });

  it.each([
    [
      "core/src/checkpoints/storage.ts",
      'import { encode } from "../codec/snapshot.ts"; import { Once } from "../database/once.ts";',
    ],
    ["core/src/database/retry.ts", 'import { ExponentialBackoff } from "cockatiel";'],
    ["core/src/config/file.ts", 'import type { loadConfig } from "c12"; import { parse } from "./define.ts";'],
    ["core/src/config/open.ts", "const url = process.env.DATABASE_URL;"],
    ["core/src/config/database-urls.ts", 'const packages = { "mysql:": "@waymark/mysql" };'],
    [
      "core/src/create-storage.ts",
      'import { createEngine } from "./checkpoints/engine.ts"; import { encrypt } from "./encryption/encrypted-dialect.ts";',
    ],
    [
      "postgres/src/checkpoints/reads.ts",
      'import { type Row } from "@waymark/core/kit"; import { sql } from "drizzle-orm"; import type { Sql } from "postgres";',
    ],
    ["mysql/src/connection.ts", 'import { createPool } from "mysql2/promise"; const mariadb = "MariaDB";'],
    [
      "sqlite/src/checkpoints/schema.ts",
      'import type { Schema } from "@waymark/core/kit"; import { sqliteTable } from "drizzle-orm/sqlite-core";',
    ],
    [
      "core/src/database/options.ts",
      "/** MySQL's identifiers end at 64. Any console. */ const a = 1; // process.env, new Error()",
    ],
  ])("%s may contain: %s", (path, code) => {
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
    ["core/src/checkpoints/storage.ts", 'if (dialect.name === "sqlite") retry();', "the name of the dialect sqlite"],
    ["core/src/checkpoints/storage.ts", "const isMySQL = true;", "the name of the dialect mysql"],
    [
      "core/src/checkpoints/storage.ts",
      "const message = `no ${what} for PostgreSQL`;",
      "the name of the dialect postgres",
    ],
    ["postgres/src/errors.ts", 'const code = "ER_MARIADB_GONE";', "the name of the dialect mysql"],
    ["core/src/config/define.ts", "const url = process.env.DATABASE_URL;", "process.env"],
    ["core/src/config/define.ts", 'const url = process["env"].DATABASE_URL;', "process.env"],
    ["sqlite/src/migrate.ts", 'console.warn("slow");', "console"],
    ["core/src/checkpoints/storage.ts", "function decode(value: any): void {}", "the type any"],
    ["core/src/checkpoints/storage.ts", 'throw new Error("no");', "new Error, where a CheckpointError is due"],
    ["core/src/checkpoints/storage.ts", 'throw Error("no");', "new Error, where a CheckpointError is due"],
  ])("%s must not contain: %s", (path, code, what) => {
    expect(violations(path, code)).toContain(`packages/${path}:1: must not use ${what}`);
  });

  it("is reported if it has a syntax error", () => {
    expect(violations("core/src/checkpoints/storage.ts", "const = ;")).toEqual([
      expect.stringMatching(/^packages\/core\/src\/checkpoints\/storage.ts: /),
    ]);
  });
});

describe("a circle of files", () => {
  it("is found, also by imports of types, and reported in the order of its imports", () => {
    const files = new Map([
      ["packages/core/src/a/one.ts", 'import { two } from "./two.ts";'],
      ["packages/core/src/a/two.ts", 'import { three } from "../b/three.ts";'],
      ["packages/core/src/b/three.ts", 'import type { One } from "../a/one.ts";'],
      ["packages/core/src/b/four.ts", 'import { three } from "./three.ts"; import { zlib } from "node:zlib";'],
    ]);
    expect(circles(files)).toEqual([
      "packages/core/src/a/one.ts: a circle of imports: packages/core/src/a/one.ts → packages/core/src/a/two.ts → packages/core/src/b/three.ts → packages/core/src/a/one.ts",
    ]);
  });

  it("is found in JavaScript too, also by types that a comment imports", () => {
    const files = new Map([
      ["examples/agent/agent.mjs", 'import { ask } from "./model.mjs";'],
      ["examples/agent/model.mjs", '/** @typedef {import("./agent.mjs").Agent} Agent */'],
    ]);
    expect(circles(files)).toEqual([
      "examples/agent/agent.mjs: a circle of imports: examples/agent/agent.mjs → examples/agent/model.mjs → examples/agent/agent.mjs",
    ]);
  });

  it("is not reported for two files that import a third one", () => {
    const files = new Map([
      ["packages/core/src/a/one.ts", 'import { two } from "./two.ts"; import { three } from "./three.ts";'],
      ["packages/core/src/a/two.ts", 'import { three } from "./three.ts";'],
      ["packages/core/src/a/three.ts", ""],
    ]);
    expect(circles(files)).toEqual([]);
  });
});

describe("a file of a package", () => {
  it.each([
    ["packages/mysql/test/dialect.test.ts", "../../core/test/rows.ts", "packages/core/test/rows.ts"],
    ["packages/mysql/test/dialect.test.ts", "../../core/src/kit.ts", "packages/core/src/kit.ts"],
    ["examples/plain-agent/agent.ts", "../../packages/sqlite/src/index.ts", "packages/sqlite/src/index.ts"],
    ["test/faults/src/arena.ts", "../../servers/src/index.ts", "test/servers/src/index.ts"],
    ["benchmarks/src/run.ts", "../../packages/core/src/index.ts", "packages/core/src/index.ts"],
    ["test/compatibility/src/contents.mjs", "../../../packages/core/dist/kit.js", "packages/core/dist/kit.js"],
    ["packages/core/test/states.mts", "../../sqlite/src/index.ts", "packages/sqlite/src/index.ts"],
    ["scripts/demo.mjs", "../packages/core/dist/index.js", "packages/core/dist/index.js"],
  ])("%s must not import %s", (path, from, to) => {
    expect(innerImports(path, `import { it } from "${from}";`)).toEqual([
      `${path}: must not import ${to}, an inner file of another package`,
    ]);
  });

  it.each([
    ["packages/mysql/test/dialect.test.ts", "../src/database.ts"],
    ["packages/mysql/vitest.config.ts", "../../vitest.project.ts"],
    ["packages/sqlite/test/schema.test.ts", "../../../scripts/compile-migrations.mjs"],
    ["benchmarks/src/systems/waymark.ts", "../options.ts"],
    ["test/faults/faults.mjs", "../../scripts/setup.mjs"],
    ["packages/sqlite/test/child.mjs", "../dist/index.js"],
    ["scripts/test.mjs", "./setup.mjs"],
    ["packages/mysql/test/dialect.test.ts", "@waymark/conformance"],
  ])("%s may import %s", (path, from) => {
    expect(innerImports(path, `import { it } from "${from}";`)).toEqual([]);
  });

  it("must not import the types of such a file in a comment", () => {
    const code = '/** @type {import("../../../packages/core/src/index.ts").CheckpointStorage} */ let storage;';
    expect(innerImports("test/compatibility/src/contents.mjs", code)).toEqual([
      "test/compatibility/src/contents.mjs: must not import packages/core/src/index.ts, an inner file of another package",
    ]);
  });
});

it("reads TypeScript and JavaScript, but no builds and no installed packages", () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-seams-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const path of ["src/a.ts", "src/b.mts", "c.mjs", "d.json", "dist/e.mjs", "node_modules/f/g.mjs"]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), "");
  }
  expect(modules(folder)).toEqual(["c.mjs", "src/a.ts", "src/b.mts"]);
});
