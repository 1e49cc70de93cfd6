import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { openCheckpointStorage } from "../../src/config/open.ts";
import { CANARY, config, folder, install, made, open, refusal, useFolder, write } from "./program-folder.ts";

useFolder();

describe("the environment", () => {
  beforeEach(() => {
    for (const type of ["sqlite", "postgres", "mysql"]) install(type);
  });

  test.each<[string, object]>([
    [
      "postgres://u:p@h:5432/d?sslmode=require",
      { type: "postgres", connectionString: "postgres://u:p@h:5432/d?sslmode=require" },
    ],
    ["postgresql://u:p@h/d", { type: "postgres", connectionString: "postgres://u:p@h/d" }],
    ["PostgreSQL://u:P@H/d", { type: "postgres", connectionString: "postgres://u:P@H/d" }],
    ["mysql://u:p@h/d", { type: "mysql", connectionString: "mysql://u:p@h/d" }],
    ["mariadb://u:p@h/d", { type: "mysql", connectionString: "mysql://u:p@h/d" }],
    ["file:/data/x.db", { type: "sqlite", databasePath: "/data/x.db" }],
    ["file:///data/a%20b.db", { type: "sqlite", databasePath: "/data/a b.db" }],
    ["sqlite:///data/x.db", { type: "sqlite", databasePath: "/data/x.db" }],
    ["sqlite::memory:", { type: "sqlite", databasePath: ":memory:" }],
  ])("selects the package by the scheme of the URL: %s", async (url, options) => {
    expect(made(await open({ env: { WAYMARK_URL: url } })).options).toEqual(options);
  });

  test.each(["file:./data/x.db", "file:data/x.db", "sqlite:data/x.db", "file:data%2Fx.db"])(
    "has relative files in cwd: %s",
    async (url) => {
      expect(made(await open({ env: { DATABASE_URL: url } })).options).toEqual({
        type: "sqlite",
        databasePath: join(folder, "data/x.db"),
      });
    },
  );

  test("is read in the order of the variables, and an empty one is not set", async () => {
    const env: Record<string, string> = { MYSQL_URL: "mysql://4/d" };
    const opened = async () => made(await open({ env })).options["connectionString"];
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

  test("is that of the process by default", async () => {
    vi.stubEnv("WAYMARK_URL", "mysql://process/d");
    expect(made(await openCheckpointStorage({ cwd: folder })).options["connectionString"]).toBe("mysql://process/d");
  });

  test("is not read if there is a config", async () => {
    const env = { WAYMARK_URL: `evil://${CANARY}`, NODE_ENV: "production" };
    expect(made(await open({ env, config: config() })).options["type"]).toBe("sqlite");
    write("waymark.config.json", config());
    expect(made(await open({ env })).options["type"]).toBe("sqlite");
  });

  test.each([
    [`mongodb+srv://u:${CANARY}@h/d`, "got mongodb+srv:"],
    [`https://u:${CANARY}@h/d`, "got https:"],
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
    `file://${CANARY}/x.db`,
    `file:${CANARY}?mode=ro`,
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
    expect(made(await open()).options).toEqual({ type: "sqlite", databasePath: join(folder, "agent_state.db") });
    expect(made(await open({ env: { NODE_ENV: "test" } })).options["type"]).toBe("sqlite");
    expect(existsSync(join(folder, "agent_state.db"))).toBe(false);
  });

  test("has no default in production, and is refused with the variable to set", async () => {
    const message = await refusal({ env: { NODE_ENV: "production" } });
    expect(message).toContain("NODE_ENV is production, and no database is configured: set WAYMARK_URL");
    expect(made(await open({ env: { NODE_ENV: "production", WAYMARK_URL: "file:x.db" } })).options["type"]).toBe(
      "sqlite",
    );
  });
});
