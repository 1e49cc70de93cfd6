import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { openCheckpointStorage } from "../../src/config/open.ts";
import { createRegistry } from "../../src/config/registry.ts";
import { CANARY, config, folder, install, made, open, refusal, useFolder, write } from "./program-folder.ts";

useFolder();

describe("the environment", () => {
  beforeEach(() => {
    for (const type of ["sqlite", "postgres", "mysql"]) install(type);
  });

  test.each<[string, string, object]>([
    [
      "postgres://u:p@h:5432/d?sslmode=require",
      "postgres",
      { connectionString: "postgres://u:p@h:5432/d?sslmode=require" },
    ],
    ["postgresql://u:p@h/d", "postgres", { connectionString: "postgresql://u:p@h/d" }],
    ["PostgreSQL://u:P@H/d", "postgres", { connectionString: "PostgreSQL://u:P@H/d" }],
    ["mysql://u:p@h/d", "mysql", { connectionString: "mysql://u:p@h/d" }],
    ["mariadb://u:p@h/d", "mysql", { connectionString: "mariadb://u:p@h/d" }],
    ["file:/data/x.db", "sqlite", { databasePath: "/data/x.db" }],
    ["file:///data/a%20b.db", "sqlite", { databasePath: "/data/a b.db" }],
    ["file:/data/x.db?connection_limit=1&socket_timeout=10", "sqlite", { databasePath: "/data/x.db" }],
    ["sqlite:///data/x.db", "sqlite", { databasePath: "/data/x.db" }],
    ["sqlite::memory:", "sqlite", { databasePath: ":memory:" }],
    ["file::memory:?connection_limit=1", "sqlite", { databasePath: ":memory:" }],
  ])("selects the package by the scheme of the URL: %s", async (url, type, options) => {
    const storage = made(await open({ env: { WAYMARK_URL: url } }));
    expect([storage.from, storage.options]).toEqual([expect.stringContaining(`/@waymark/${type}/`), options]);
  });

  test("selects another author's package that has this scheme, or a type of the registry", async () => {
    install("waymark-own", ".", ["own"]);
    const own = made(await open({ env: { DATABASE_URL: `own://u:${CANARY}@h/d?x=1` } }));
    expect([own.from, own.options]).toEqual([
      expect.stringContaining("/waymark-own/"),
      { connectionString: `own://u:${CANARY}@h/d?x=1` },
    ]);
    const registry = createRegistry();
    registry.register("own", ((options: object) => ({ options, from: "registry", storeCheckpoint() {} })) as never);
    expect(made(await open({ registry, env: { DATABASE_URL: "own://h/d" } })).from).toBe("registry");
  });

  test("does not hand a URL to a package that does not have its scheme", async () => {
    install("waymark-own");
    expect(await refusal({ env: { DATABASE_URL: `own://u:${CANARY}@h/d` } })).toMatch(
      /^read environment: DATABASE_URL: .*waymark-own\/index\.js does not list "own" in an export urlSchemes$/,
    );
  });

  test.each(["file:./data/x.db", "file:data/x.db", "sqlite:data/x.db", "file:data%2Fx.db"])(
    "has relative files in cwd: %s",
    async (url) => {
      expect(made(await open({ env: { DATABASE_URL: url } })).options).toEqual({
        databasePath: join(folder, "data/x.db"),
      });
    },
  );

  test("is read in the order of the variables, and an empty one is not set", async () => {
    const env: Record<string, string> = { PGLITE_DATA_DIR: "./data" };
    const opened = async () => made(await open({ env })).options["connectionString"];
    expect(await opened()).toBeUndefined();
    env["MYSQL_URL"] = "mysql://4/d";
    expect(await opened()).toBe("mysql://4/d");
    env["POSTGRES_URL"] = "postgres://3/d";
    expect(await opened()).toBe("postgres://3/d");
    env["DATABASE_URL"] = "postgres://2/d";
    expect(await opened()).toBe("postgres://2/d");
    env["WAYMARK_URL"] = "mysql://1/d";
    expect(await opened()).toBe("mysql://1/d");
    env["WAYMARK_URL"] = "";
    expect(await opened()).toBe("postgres://2/d");
  });

  test.each([
    ["./data/pg/", join("data", "pg")],
    ["memory://", null],
  ])("names a folder of PGlite, which is relative to cwd: %s", async (value, path) => {
    const storage = made(await open({ env: { PGLITE_DATA_DIR: value, NODE_ENV: "production" } }));
    expect(storage.from).toContain("/@waymark/postgres/");
    expect(storage.options).toEqual({ pgliteDataDir: path === null ? value : join(folder, path) });
  });

  test("is that of the process by default", async () => {
    vi.stubEnv("WAYMARK_URL", "mysql://process/d");
    expect(made(await openCheckpointStorage({ cwd: folder })).options["connectionString"]).toBe("mysql://process/d");
  });

  test("is not read if there is a config", async () => {
    const env = { WAYMARK_URL: `evil://${CANARY}`, NODE_ENV: "production" };
    expect(made(await open({ env, config: config() })).from).toContain("@waymark/sqlite/");
    write("waymark.config.json", config());
    expect(made(await open({ env })).from).toContain("@waymark/sqlite/");
  });

  test.each([
    [`mongodb+srv://u:${CANARY}@h/d`, "got mongodb+srv:"],
    [`jdbc:mysql://u:${CANARY}@h/d`, "got a string of 33 characters"],
    [`user:${CANARY}@h/d`, "got a string of 23 characters"],
    [`${CANARY}`, "got a string of 14 characters"],
    [`${CANARY}:x`, "got a string of 16 characters"],
    [` postgres://u:${CANARY}@h/d`, 'got a string that begins with " "'],
    ["./agent.db", 'got the path "./agent.db" without file:'],
  ])("is refused with the variable and the scheme only: %#", async (url, got) => {
    const schemes = "postgres:, postgresql:, mysql:, mariadb:, file:, sqlite:";
    expect(await refusal({ env: { DATABASE_URL: url } })).toBe(
      `read environment: expected DATABASE_URL to be a URL of ${schemes}, ${got}`,
    );
  });

  test.each([
    ["postgers", "did you mean postgres:?"],
    ["https", "known are postgres:, postgresql:, mysql:, mariadb:, file:, sqlite:"],
  ])("is refused if there is no package for its scheme: %s", async (scheme, advice) => {
    expect(await refusal({ env: { DATABASE_URL: `${scheme}://u:${CANARY}@h/d` } })).toBe(
      `read environment: DATABASE_URL: the package waymark-${scheme} is not installed, which would take ${scheme}: URLs: ${advice}`,
    );
  });

  test("names the variable, not an option that nobody has given", async () => {
    const error = `Object.assign(new Error("expected options.connectionString to have no #"), { code: "INVALID_ARGUMENT", [Symbol.for("waymark.CheckpointError")]: true })`;
    write("node_modules/@waymark/mysql/index.js", `export const createCheckpointStorage = () => { throw ${error}; };`);
    expect(await refusal({ env: { MYSQL_URL: "mysql://h/d" } })).toBe(
      "read environment: expected MYSQL_URL to have no #",
    );
  });

  test.each([
    "file:~/x.db",
    `file://${CANARY}/x.db`,
    `file:${CANARY}?mode=ro`,
    `file:${CANARY}?connection_limit=1?mode=ro`,
    `file:${CANARY}?connection_limit=1\n?mode=ro`,
    "file::memory:?cache=shared",
    "sqlite::memory:?",
    `sqlite:///${CANARY}#x`,
    `file:${CANARY}%`,
    "file:",
    "sqlite://",
  ])("is refused if its URL is not that of a file: %#", async (url) => {
    expect(await refusal({ env: { WAYMARK_URL: url } })).toContain("expected WAYMARK_URL to be file: and a path");
  });

  test("has the variable in the errors of a factory", async () => {
    write("node_modules/@waymark/mysql/index.js", `export const createCheckpointStorage = () => 7;`);
    expect(await refusal({ env: { MYSQL_URL: `mysql://${CANARY}/d` } })).toMatch(/^read environment: MYSQL_URL: /);
  });

  test("falls back to a file in cwd if it names no database", async () => {
    expect(made(await open()).options).toEqual({ databasePath: join(folder, "agent_state.db") });
    expect(made(await open({ env: { NODE_ENV: "test" } })).from).toContain("@waymark/sqlite/");
    expect(existsSync(join(folder, "agent_state.db"))).toBe(false);
  });

  test("has no default in production, and is refused with the variable to set", async () => {
    const message = await refusal({ env: { NODE_ENV: "production" } });
    expect(message).toContain("NODE_ENV is production, and no database is configured: set WAYMARK_URL");
    expect(made(await open({ env: { NODE_ENV: "production", WAYMARK_URL: "file:x.db" } })).from).toContain(
      "@waymark/sqlite/",
    );
  });
});
