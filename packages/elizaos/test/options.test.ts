import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { type CheckpointError, insertRecords } from "@waymark/core/records";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { acquire, type SharedConnection } from "../src/connections.ts";
import { type UUID, type WaymarkAdapter, type WaymarkOptions, waymark } from "../src/index.ts";
import { checkOptions, type DatabasePlace, resolveOptions } from "../src/options.ts";
import { LOGS } from "../src/tables.ts";
import { type Home, newId, settle } from "./contract/bench.ts";

const CHILD = fileURLToPath(new URL("close-on-exit-child.mjs", import.meta.url));

/** A part of URLs that no message may have. */
const SECRET = "hunter2-secret";

/** The current folder of each test, which is empty. */
let folder: string;
const cwd = process.cwd();
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "waymark-options-")));
  process.chdir(folder);
});
afterEach(() => {
  process.chdir(cwd);
  rmSync(folder, { recursive: true });
});

/** Makes an adapter that is closed after the test. */
function adapterOf(options: WaymarkOptions, agentId = newId()): WaymarkAdapter {
  const adapter = waymark.adapter({ env: {}, ...options }, agentId);
  onTestFinished(() => adapter.close());
  return adapter;
}

/** Makes the adapter of an agent that is there, with an entity in a room. */
async function homeOf(options: WaymarkOptions): Promise<Home> {
  const agentId = newId();
  const adapter = adapterOf(options, agentId);
  await adapter.init();
  await adapter.createAgent({ id: agentId, name: "Ada" });
  return await settle(adapter, agentId);
}

/** Runs what is refused, and returns the message. No part of the error has the secret. */
async function refusal(code: string, call: () => unknown): Promise<string> {
  const error = await Promise.resolve()
    .then(call)
    .catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: "CheckpointError", code });
  expect(inspect(error, { showHidden: true, depth: 20 })).not.toContain(SECRET);
  return (error as CheckpointError).message;
}

function tablesIn(file: string): string[] {
  const database = new Database(file, { readonly: true });
  try {
    return database.prepare("select name from sqlite_master where type = 'table'").pluck().all() as string[];
  } finally {
    database.close();
  }
}

describe("an option that is not as documented", () => {
  it.each<[options: object, message: string]>([
    [{ url: "" }, "expected options.url to be a string that is not empty, got an empty string"],
    [{ url: null }, "expected options.url to be a string that is not empty, got null"],
    [
      { url: new URL(`postgres://u:${SECRET}@h`) },
      "expected options.url to be a string that is not empty, got an object",
    ],
    [{ pgliteDataDir: 5 }, "expected options.pgliteDataDir to be a string that is not empty, got 5"],
    [
      { url: `postgres://u:${SECRET}@h/d`, pgliteDataDir: SECRET },
      "expected options to have url or pgliteDataDir, got both",
    ],
    [{ database: [] }, "expected options.database to be an object, got an array"],
    [{ database: null }, "expected options.database to be an object, got null"],
    [{ onDimensionChange: "drop" }, 'expected options.onDimensionChange to be "keep" or "refuse", got "drop"'],
    [{ logs: { keepDay: 1 } }, 'expected options.logs to have the members keepDays, keepRows, got "keepDay"'],
    [{ logs: { keepDays: 0 } }, "expected options.logs.keepDays to be a whole number from 1 to 36500 (days), got 0"],
    [{ logs: { keepRows: -1 } }, "expected options.logs.keepRows to be a whole number from 0 to "],
    [{ closeOnExit: "yes" }, "expected options.closeOnExit to be a boolean, got a string"],
    [{ env: "production" }, "expected options.env to be an object, got a string"],
    [{ ulr: SECRET }, 'closeOnExit, env, got "ulr": did you mean url?'],
    [{ poolSize: 2 }, 'got "poolSize"'],
  ])("is refused at once, by its name: %#", async (options, message) => {
    expect(await refusal("INVALID_ARGUMENT", () => waymark(options))).toContain(message);
    expect(await refusal("INVALID_ARGUMENT", () => waymark.adapter(options as never, newId()))).toContain(message);
  });

  it("may be there, and undefined", async () => {
    const none = { database: undefined, onDimensionChange: undefined, logs: undefined };
    const adapter = adapterOf({ url: "sqlite:./a.db", ...none, closeOnExit: undefined });
    await adapter.init();
    expect(waymark({ env: undefined }).name).toBe("@waymark/elizaos");
  });

  it.each(["url", "pgliteDataDir"])("are refused where %s is undefined: another database would be opened", (name) => {
    expect(() => waymark({ [name]: undefined })).toThrow(`options.${name}`);
  });

  it("are refused where those of the dialect name a database", () => {
    expect(() => waymark({ database: { databasePath: "./other.db" } })).toThrow(
      "expected options.database to have no databasePath, since options.url or options.pgliteDataDir says where the database is",
    );
  });

  it("is refused when the database is opened, if it is one of the dialect's", async () => {
    const opening = (options: WaymarkOptions) => refusal("INVALID_CONFIG", () => adapterOf(options).init());
    const server = `@127.0.0.1:1/db`;
    const source = "open ElizaOS database: expected ";
    expect(await opening({ url: `postgres://u:${SECRET}${server}`, database: { poolSize: 0 } })).toMatch(
      `${source}options.database.poolSize to be a whole number`,
    );
    expect(await opening({ url: `mysql://u:${SECRET}${server}`, database: { operationTimeoutMs: -1 } })).toMatch(
      `${source}options.database.operationTimeoutMs to be `,
    );
    expect(await opening({ url: "sqlite:./a.db", database: { retry: { maxRetry: 1 } } })).toMatch(
      `${source}options.database.retry to have the members`,
    );
    expect(await opening({ url: "sqlite:./a.db", database: { ssl: SECRET } })).toMatch(
      `${source}options.database to have the members`,
    );
    expect(await opening({ env: { POSTGRES_URL: `postgres://u:${SECRET}@h/d#x` } })).toMatch(
      `${source}POSTGRES_URL to have no #`,
    );
    expect(await opening({ pgliteDataDir: "~/agents" })).toMatch(`${source}options.pgliteDataDir to be`);
  });

  it("is refused with the known schemes, if it is a URL of no database", async () => {
    const schemes = "postgres:, postgresql:, mysql:, mariadb:, file:, sqlite:";
    const opening = (options: WaymarkOptions) => refusal("INVALID_CONFIG", () => adapterOf(options).init());
    expect(await opening({ url: `http://u:${SECRET}@h/d` })).toBe(
      `open ElizaOS database: expected options.url to be a URL of ${schemes}, got http:`,
    );
    expect(await opening({ env: { WAYMARK_URL: SECRET } })).toMatch(
      `expected WAYMARK_URL to be a URL of ${schemes}, got a string`,
    );
  });

  it("is refused where an agent has no UUID", async () => {
    expect(await refusal("INVALID_ARGUMENT", () => waymark.adapter({}, "ada" as UUID))).toContain("expected agentId");
  });
});

describe("an unreachable database", () => {
  it.each(["postgres", "mysql"])("is an error without the password: %s", async (scheme) => {
    const database = { retry: { maxRetries: 0 }, operationTimeoutMs: 10_000 };
    const adapter = adapterOf({ url: `${scheme}://u:${SECRET}@127.0.0.1:1/db`, database });
    expect(await refusal("UNAVAILABLE", () => adapter.init())).toContain("open ElizaOS database");
    expect(await adapter.isReady()).toBe(false);
    expect(adapter.isConnected()).toBe(false);
    expect(inspect(adapter.getConnectionInfo())).not.toContain(SECRET);
  });
});

describe("the place of the database", () => {
  const all = {
    WAYMARK_URL: "sqlite:./w.db",
    POSTGRES_URL: "postgres://h/p",
    MYSQL_URL: "mysql://h/m",
    PGLITE_DATA_DIR: "./lite",
  };
  const from = (index: number) => Object.fromEntries(Object.entries(all).slice(index));

  const place = (options: WaymarkOptions, settings: Record<string, unknown> = {}) => {
    const { field, url, pgliteDataDir } = resolveOptions(
      checkOptions(options),
      (name) => settings[name] ?? null, // as a runtime answers
    ).place;
    return [field, url ?? pgliteDataDir];
  };

  it.each<[env: Record<string, string>, field: string, value: string]>([
    [all, "WAYMARK_URL", "sqlite:./w.db"],
    [from(1), "POSTGRES_URL", "postgres://h/p"],
    [from(2), "MYSQL_URL", "mysql://h/m"],
    [from(3), "PGLITE_DATA_DIR", "./lite"],
    [{}, "the default", "sqlite:./.eliza/waymark.db"],
    [{ WAYMARK_URL: "", POSTGRES_URL: "", PGLITE_DATA_DIR: "./lite" }, "PGLITE_DATA_DIR", "./lite"],
    [{ DATABASE_URL: "postgres://h/other" }, "the default", "sqlite:./.eliza/waymark.db"],
  ])("is the first that the environment or the settings name: %#", (env, field, value) => {
    expect(place({ env })).toEqual([field, value]);
    expect(place({ env: {} }, env)).toEqual([field, value]);
  });

  it("is that of the character's settings, where the environment has another of the same name", () => {
    const env = { POSTGRES_URL: "postgres://h/environment" };
    expect(place({ env }, { POSTGRES_URL: "postgres://h/character" })).toEqual([
      "POSTGRES_URL",
      "postgres://h/character",
    ]);
    expect(place({ env }, { POSTGRES_URL: "" })).toEqual(["POSTGRES_URL", "postgres://h/environment"]);
    expect(place({ env }, { POSTGRES_URL: true })).toEqual(["POSTGRES_URL", "postgres://h/environment"]);
    // Names go first: then who has them.
    expect(place({ env }, { MYSQL_URL: "mysql://h/character" })).toEqual(["POSTGRES_URL", "postgres://h/environment"]);
    expect(place({ env }, { WAYMARK_URL: "sqlite::memory:" })).toEqual(["WAYMARK_URL", "sqlite::memory:"]);
  });

  it("is the option, whatever settings and variables say", () => {
    expect(place({ url: "sqlite:./o.db", env: all }, all)).toEqual(["options.url", "sqlite:./o.db"]);
    expect(place({ pgliteDataDir: "./o", env: all }, all)).toEqual(["options.pgliteDataDir", "./o"]);
  });

  it("is found in process.env, if no other environment is given", () => {
    process.env["WAYMARK_URL"] = "sqlite:./process.db";
    onTestFinished(() => {
      delete process.env["WAYMARK_URL"];
    });
    expect(place({})).toEqual(["WAYMARK_URL", "sqlite:./process.db"]);
  });

  it("is asked of the runtime by the plugin, and of the environment alone for a single adapter", async () => {
    const adapters: WaymarkAdapter[] = [];
    const agentId = newId();
    await waymark({ env: { WAYMARK_URL: "sqlite:./environment.db" } }).init(
      {},
      {
        agentId,
        getSetting: (name) => (name === "WAYMARK_URL" ? "sqlite:./character.db" : null),
        registerDatabaseAdapter: (adapter) => void adapters.push(adapter),
      },
    );
    const [ours] = adapters as [WaymarkAdapter];
    onTestFinished(() => ours.close());
    await ours.init();
    expect(ours.getConnectionInfo().location).toBe(join(folder, "character.db"));
    const single = adapterOf({ env: { WAYMARK_URL: "sqlite:./environment.db" } });
    await single.init();
    expect(single.getConnectionInfo().location).toBe(join(folder, "environment.db"));
  });

  it("is by default a file in a folder that is made", async () => {
    const adapter = adapterOf({});
    expect(existsSync(".eliza")).toBe(false); // nothing is opened yet
    expect(adapter.getConnectionInfo()).toMatchObject({ dialect: null, location: null, isConnected: false });
    await adapter.init();
    expect(adapter.getConnectionInfo()).toEqual({
      dialect: "sqlite",
      driver: "better-sqlite3",
      location: join(folder, ".eliza/waymark.db"),
      isConnected: true,
      droppedLogs: 0,
    });
    expect(tablesIn(".eliza/waymark.db")).toContain("eliza_agents");
  });

  it("is below the folder that was the current one when the adapter was made", async () => {
    const adapter = adapterOf({ url: "sqlite:./data/deep/agents.db" });
    process.chdir(cwd);
    await adapter.init();
    expect(adapter.getConnectionInfo().location).toBe(join(folder, "data/deep/agents.db"));
  });
});

describe("row-level security", () => {
  const advice = "ENABLE_DATA_ISOLATION is true, and there is no row-level security here";

  it("is refused where the environment or the settings ask for it, and not missed in silence", async () => {
    const env = { ENABLE_DATA_ISOLATION: "true" };
    expect(await refusal("INVALID_CONFIG", () => waymark.adapter({ env }, newId()))).toContain(advice);
    const settings = { ENABLE_DATA_ISOLATION: true } as Record<string, unknown>;
    const runtime = {
      agentId: newId(),
      getSetting: (name: string) => settings[name] ?? null,
      registerDatabaseAdapter: () => expect.unreachable(),
    };
    expect(await refusal("INVALID_CONFIG", () => waymark({ env: {} }).init({}, runtime))).toContain(advice);
  });

  it.each([undefined, "", "false"])("may be switched off: %j", async (value) => {
    await adapterOf({ env: { ENABLE_DATA_ISOLATION: value } }).init();
  });
});

describe("the options of the dialect", () => {
  it("reach it: a prefix of tables", async () => {
    await adapterOf({ url: "sqlite:./a.db", database: { tablePrefix: "tenant_" } }).init();
    const tables = tablesIn("a.db");
    expect(tables).toContain("tenant_eliza_agents");
    expect(tables.filter((name) => !name.startsWith("tenant_"))).toEqual([]);
  });

  it("reach it: migrations that are not to be applied", async () => {
    const adapter = adapterOf({ url: "sqlite:./a.db", database: { migrate: "verify" } });
    expect(await refusal("SCHEMA_OUTDATED", () => adapter.init())).toContain("lacks 0000_initial");
    expect(tablesIn("a.db")).toEqual([]);
  });
});

describe("vectors of another length", () => {
  const remember = async ({ adapter, agentId, roomId, entityId }: Home) =>
    void (await adapter.createMemory({ agentId, roomId, entityId, content: {}, embedding: [1, 2, 3] }, "facts"));

  it("stay by default, and are found when they are asked for again", async () => {
    const home = await homeOf({ url: "sqlite:./a.db" });
    await remember(home);
    await home.adapter.ensureEmbeddingDimension(4);
    const search = { tableName: "facts", embedding: [1, 2, 3] };
    expect(await home.adapter.searchMemories(search)).toHaveLength(1);
  });

  it("are refused by choice", async () => {
    const home = await homeOf({ url: "sqlite:./a.db", onDimensionChange: "refuse" });
    await home.adapter.ensureEmbeddingDimension(4);
    await remember(home);
    expect(await refusal("DIMENSION_MISMATCH", () => home.adapter.ensureEmbeddingDimension(4))).toContain(
      "Cannot change embedding dimension for agent",
    );
    await home.adapter.ensureEmbeddingDimension(3);
  });
});

describe("logs", () => {
  it("stay within the given number and age, the newest of them, and those of others stay", async () => {
    const [home, other] = [
      await homeOf({ url: "sqlite:./a.db", logs: { keepDays: 1, keepRows: 5 } }),
      await homeOf({ url: "sqlite:./a.db" }),
    ];
    const logsOf = async ({ adapter, roomId }: Home) =>
      (await adapter.getLogs({ roomId, count: 100 })).map(({ body }) => body["at"]);
    const write = async ({ adapter, roomId, entityId }: Home, at: number) =>
      await adapter.log({ body: { at }, roomId, entityId, type: "test" });

    // One of each that was written long ago.
    const connection = acquire(placeOf({ url: "sqlite:./a.db" }));
    onTestFinished(() => connection.release());
    const old = [home, other].map(({ agentId: agent, roomId: room, entityId: entity }) => ({
      ...{ id: newId(), agent, room, entity, type: "test", run: null, status: null, failed: 0, prompts: 0 },
      ...{ createdAt: Date.now() - 2 * 86_400_000, body: '{"at":0}' },
    }));
    const store = await connection.store();
    await store.run("test", (records, signal) => records.change([insertRecords(LOGS, old)], signal));

    for (let at = 1; at <= 9; at++) for (const one of [home, other]) await write(one, at);
    expect(await logsOf(other)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    await expect.poll(() => logsOf(home), { timeout: 60_000 }).toEqual([9, 8, 7, 6, 5]);
  });
});

describe("closeOnExit", () => {
  it.each([
    ["a signal", "signal", { code: null, signal: "SIGTERM" }],
    ["its natural end", "end", { code: 0, signal: null }],
  ])("writes the logs that wait before the process ends by %s", async (_, way, exit) => {
    const child = fork(CHILD, [way, join(folder, "a.db")], { execArgv: [] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [[roomId], [code, signal]] = await Promise.all([once(child, "message"), once(child, "exit")]);
    expect({ code, signal }).toEqual(exit);
    expect(existsSync("a.db-wal")).toBe(false); // closed, not torn off
    const logs = await adapterOf({ url: "sqlite:./a.db" }).getLogs({ roomId, count: 100 });
    expect(logs.map(({ body }) => body["at"])).toEqual([2, 1, 0]);
  });

  it("listens to signals until the adapter is closed, and no longer", async () => {
    const listeners = () => process.listenerCount("SIGTERM");
    const before = listeners();
    const adapters = [1, 2].map(() => adapterOf({ url: "sqlite:./a.db", closeOnExit: true }));
    expect(listeners()).toBe(before + 1);
    for (const adapter of adapters) await adapter.close();
    expect(listeners()).toBe(before);
    adapterOf({ url: "sqlite:./a.db" });
    expect(listeners()).toBe(before);
  });
});

function placeOf(options: WaymarkOptions): DatabasePlace {
  return resolveOptions(checkOptions(options)).place;
}

describe("a connection", () => {
  function share(options: WaymarkOptions): SharedConnection {
    const connection = acquire(placeOf(options));
    onTestFinished(() => connection.release());
    return connection;
  }

  const file = { url: "sqlite:./a.db" };

  it("is shared by all adapters of the same database with the same options", async () => {
    const retry = (members: object) => ({ ...file, database: { retry: members } });
    const opened = async (options: WaymarkOptions) => await share(options).store();
    const store = await opened(file);
    expect(await opened({ ...file, env: {}, logs: { keepDays: 1 } })).toBe(store);
    expect(await opened({ env: { WAYMARK_URL: file.url } })).toBe(store);
    expect(await opened({ url: "sqlite:./b.db" })).not.toBe(store);
    const other = await opened(retry({ maxRetries: 1, baseDelayMs: 2 }));
    expect(other).not.toBe(store);
    expect(await opened(retry({ baseDelayMs: 2, maxRetries: 1 }))).toBe(other);
    expect(await opened(retry({ baseDelayMs: 2, maxRetries: 2 }))).not.toBe(other);
    mkdirSync("below");
    process.chdir("below"); // then it is another file
    expect(await opened(file)).not.toBe(store);
  });

  it("lives until the last of them is closed", async () => {
    const [one, other] = [await homeOf(file), await homeOf(file)];
    await one.adapter.close();
    await one.adapter.close();
    expect(one.adapter.isConnected()).toBe(false);
    expect(await one.adapter.isReady()).toBe(false);
    expect(await refusal("CLOSED", () => one.adapter.getAgent(one.agentId))).toContain("the adapter was closed");
    expect(await other.adapter.getAgent(one.agentId)).toMatchObject({ name: "Ada" });
    expect(await other.adapter.isReady()).toBe(true);
    expect(existsSync("a.db-wal")).toBe(true);
    await other.adapter.close();
    expect(existsSync("a.db-wal")).toBe(false);
  });

  it("is opened anew after the last was closed, also while that is under way", async () => {
    const first = share(file);
    const store = await first.store();
    await store.run("test", async () => {});
    const releasing = first.release();
    const second = share(file);
    const anew = await second.store();
    expect(anew).not.toBe(store);
    await anew.run("test", async () => {});
    await releasing;
    await expect(store.run("test", async () => {})).rejects.toMatchObject({ code: "CLOSED" });
    await expect(first.store()).rejects.toMatchObject({ code: "CLOSED" });
    expect(first.opened).toBeNull();
    expect(second.opened).toBe(anew);
    await anew.run("test", async () => {});
  });

  it("that was never opened is closed without opening it", async () => {
    const adapter = adapterOf(file);
    await adapter.close();
    expect(existsSync("a.db")).toBe(false);
  });

  it("that failed to open is opened by the next call", async () => {
    writeFileSync("data", "in the way of a folder");
    const adapter = adapterOf({ url: "sqlite:./data/a.db", database: { retry: { maxRetries: 0 } } });
    await expect(adapter.init()).rejects.toThrow();
    expect(adapter.isConnected()).toBe(false);
    rmSync("data");
    await adapter.init();
    expect(adapter.isConnected()).toBe(true);
  });
});
