import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, sep } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createSQLiteStorage, type SQLiteStorageOptions } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { checkpoint, failure, newFile } from "./fixtures.ts";

describe("a storage in SQLite", () => {
  it("makes parent folders, and a file in WAL mode with incremental vacuum", async () => {
    const databasePath = join(dirname(newFile()), "some/new/folders/state.db");
    await using storage = createSQLiteStorage({ databasePath });
    const created: unknown[] = [];
    storage.on("created", (event) => created.push(event));
    await storage.storeCheckpoint(checkpoint(1));
    expect(statSync(databasePath).isFile()).toBe(true);
    expect(created).toEqual([{ provider: "main", location: databasePath }]);
    const { main } = (await storage.status()).providers;
    expect(main).toMatchObject({ location: databasePath, driver: "better-sqlite3" });
    const rights = [databasePath, `${databasePath}-wal`, dirname(databasePath)].map(
      (path) => statSync(path).mode & 0o777,
    );
    expect(rights).toEqual([0o600, 0o600, 0o700]);
    const handle = new Database(databasePath, { readonly: true });
    expect(handle.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(handle.pragma("auto_vacuum", { simple: true })).toBe(2); // incremental
    handle.close();
  });

  it("keeps the file that its path meant when it was made, though the process changes its folder before the first call", async () => {
    const [folder, other] = [dirname(newFile()), mkdtempSync(join(tmpdir(), "waymark-other-"))];
    await inFolder(folder, async () => {
      await using storage = createSQLiteStorage({ databasePath: "./relative.db" });
      process.chdir(other);
      await storage.storeCheckpoint(checkpoint(1));
      expect([existsSync(join(folder, "relative.db")), existsSync(join(other, "relative.db"))]).toEqual([true, false]);
    });
    rmSync(other, { recursive: true });
  });

  it("tells of a new file once, when opening has succeeded, though an attempt before has failed", async () => {
    const databasePath = newFile();
    const log = `${databasePath}-wal`;
    mkdirSync(log);
    const storage = createSQLiteStorage({ databasePath });
    const created: unknown[] = [];
    storage.on("created", (event) => created.push(event));
    await failure(storage.listAgents());
    expect([existsSync(databasePath), created]).toEqual([true, []]);
    rmdirSync(log);
    expect(await storage.listAgents()).toEqual([]);
    await storage.close();
    const other = createSQLiteStorage({ databasePath });
    other.on("created", (event) => created.push(event));
    expect(await other.listAgents()).toEqual([]);
    await other.close();
    expect(created).toEqual([{ provider: "main", location: databasePath }]);
  });

  it("warns when it creates a file below the working directory and nobody listens for that", async () => {
    const warnings: string[] = [];
    const note = (warning: Error & { code?: string }) => {
      if (warning.code === "WAYMARK_CREATED") warnings.push(warning.message);
    };
    process.on("warning", note);
    const folder = dirname(newFile());
    await inFolder(folder, async () => {
      for (const name of ["here.db", "here.db", "listened.db"]) {
        await using storage = createSQLiteStorage({ databasePath: name });
        if (name === "listened.db") storage.on("created", () => {});
        await storage.listAgents();
      }
      await setImmediate();
    });
    process.off("warning", note);
    expect(warnings).toEqual([`Waymark has created the empty database ${join(folder, "here.db")}`]);
  });

  it("says that the native part of its driver is missing, and what to run", async () => {
    const nativeBinding = join(dirname(newFile()), "none.node");
    const error = await failure(createSQLiteStorage({ databasePath: newFile(), nativeBinding }).listAgents());
    expect(error.code).toBe("INVALID_CONFIG");
    expect(error.message).toMatch(/better-sqlite3: its native part is missing.*npm rebuild better-sqlite3 \(pnpm: /);
    expect(error.cause).toMatchObject({ words: expect.stringContaining("none.node") });
  });

  it.skipIf(process.getBuiltinModule("node:sqlite"))("says that a driver is not of this runtime", async () => {
    for (const driver of ["node:sqlite", "bun:sqlite"] as const) {
      const error = await failure(createSQLiteStorage({ databasePath: newFile(), driver }).listAgents());
      expect([error.code, error.message]).toEqual(["INVALID_CONFIG", expect.stringContaining(`${driver}: `)]);
    }
  });

  it.skipIf(process.platform !== "linux")("refuses a folder that cannot be made, at once", async () => {
    const error = await failure(createSQLiteStorage({ databasePath: "/proc/none/x.db" }).listAgents());
    expect([error.code, error.message]).toEqual(["ACCESS_DENIED", expect.stringContaining("mkdir '/proc/none'")]);
  });

  it("sets `synchronous`, by default FULL, and the busy timeout of the handle that it opens", async () => {
    for (const [synchronous, level] of [
      ["NORMAL", 1],
      ["FULL", 2],
      ["EXTRA", 3],
    ] as const) {
      const opened = await readSettings({ synchronous, busyTimeoutMs: 1234 });
      expect(opened).toEqual({ synchronous: level, timeout: 1234, foreignKeys: 1 });
    }
    expect(await readSettings({})).toEqual({ synchronous: 2, timeout: 5000, foreignKeys: 1 });
  });

  it("keeps `:memory:` in the process, each storage its own", async () => {
    await using one = createSQLiteStorage({ databasePath: ":memory:" });
    await using other = createSQLiteStorage({ databasePath: ":memory:" });
    const id = await one.storeCheckpoint(checkpoint({ deep: [1] }));
    expect(await one.retrieveCheckpoint(id)).toMatchObject({ state: { deep: [1] } });
    expect(await other.retrieveCheckpoint(id)).toBeNull();
    expect(existsSync(":memory:")).toBe(false);
  });

  it("takes a handle of the user's own, and leaves it open", async () => {
    const database = new Database(newFile());
    database.defaultSafeIntegers(true);
    const storage = createSQLiteStorage({ database });
    const id = await storage.storeCheckpoint({ ...checkpoint(1), createdAt: 1_700_000_000_123 });
    expect(await storage.retrieveCheckpoint(id)).toEqual({ id, ...checkpoint(1), createdAt: 1_700_000_000_123 });
    expect(await storage.stats()).toEqual({ checkpoints: 1, storedBytes: 1, stateBytes: 1, longestChain: 1 });
    await storage.close();
    expect(database.open).toBe(true);
    database.close();
  });

  it("stores nothing within a transaction of the handle's owner, who may roll it back", async () => {
    const database = new Database(newFile());
    await using storage = createSQLiteStorage({ database });
    await storage.storeCheckpoint(checkpoint(1));
    database.exec("begin");
    await expect(storage.storeCheckpoint(checkpoint(2))).rejects.toMatchObject({ code: "CONTENTION", retryable: true });
    database.exec("rollback");
    await expect(storage.storeCheckpoint(checkpoint(3))).resolves.toBeTypeOf("string");
    expect((await storage.stats()).checkpoints).toBe(2);
  });

  it("refuses a handle without foreign keys, and one that is closed", async () => {
    const database = new Database(newFile());
    database.pragma("foreign_keys = OFF");
    const storage = createSQLiteStorage({ database });
    await expect(storage.listCheckpoints()).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("foreign_keys"),
    });
    database.pragma("foreign_keys = ON");
    await expect(storage.listCheckpoints()).resolves.toEqual([]); // opening is tried again
    database.close();
    await expect(createSQLiteStorage({ database }).listCheckpoints()).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });

  it.each<[object, string]>([
    [{}, "either databasePath or database"],
    [{ databasePath: "x.db", database: {} }, "either databasePath or database"],
    [{ databasePath: "" }, "options.databasePath to be a path, got an empty string"],
    [{ databasePath: "./dir/" }, "options.databasePath to be a file's path, got a folder's"],
    [{ databasePath: `dir${sep}` }, "options.databasePath to be a file's path, got a folder's"],
    [
      { databasePath: "file:./dev.db" },
      "options.databasePath to be a path, got a URL (file:), which belongs into WAYMARK_URL",
    ],
    [{ databasePath: '"postgres://u:canary@h/db"' }, "a path, got a text with quotes, a URL or a password in it"],
    [
      { databasePath: "DATABASE_URL=postgres://u:canary@h/db" },
      "a path, got a text with quotes, a URL or a password in it",
    ],
    [{ databasePath: "host=db password=canary" }, "a path, got a text with quotes, a URL or a password in it"],
    [{ databasePath: " postgres://u:canary@h/db" }, "a path, got a URL (postgres:), which belongs into WAYMARK_URL"],
    [{ databasePath: "~/agent.db" }, "options.databasePath to be a path, got ~, which only a shell replaces"],
    [{ databasePath: "x.db", driver: "sqlite3" }, 'options.driver to be "better-sqlite3" or "node:sqlite"'],
    [{ databasePath: " " }, "options.databasePath to be a path without spaces around it"],
    [{ databasePath: 7 }, "options.databasePath to be a string, got 7"],
    [{ databasePath: "x.db", type: "postgres" }, 'options.type to be "sqlite"'],
    [{ databasePath: "x.db", synchronous: "OFF" }, 'options.synchronous to be "FULL" or "NORMAL" or "EXTRA"'],
    [{ databasePath: "x.db", busyTimeoutMs: -1 }, "options.busyTimeoutMs to be a whole number"],
    [{ databasePath: "x.db", tablePrefix: "x; drop table y" }, "options.tablePrefix to be 1 to 24 letters"],
    [{ databasePath: "x.db", tablePrefix: "1st_" }, "not starting with a digit"],
    [{ databasePath: "x.db", migrate: "never" }, 'options.migrate to be "auto" or "verify" or "off"'],
    [{ databasePath: "x.db", operationTimeoutMs: 0 }, "options.operationTimeoutMs to be a whole number"],
    [{ databasePath: "x.db", databasepath: "y.db" }, '"databasepath"'],
    [
      { database: { open: true } },
      "options.database to be a database of better-sqlite3, node:sqlite or bun:sqlite, got an object",
    ],
  ])("refuses the options %j, and names the wrong one", (options, words) => {
    expect(() => createSQLiteStorage(options as SQLiteStorageOptions)).toThrow(words);
    expect(() => createSQLiteStorage(options as SQLiteStorageOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});

/** Runs work in another working directory. */
async function inFolder(folder: string, work: () => Promise<void>): Promise<void> {
  const before = process.cwd();
  process.chdir(folder);
  try {
    await work();
  } finally {
    process.chdir(before);
  }
}

/** Reads the settings of the connection that a storage opens. Only that connection has them, so a hook catches it. */
async function readSettings(options: Partial<SQLiteStorageOptions>) {
  const handles: Database.Database[] = [];
  const { prepare } = Database.prototype;
  Database.prototype.prepare = function (this: Database.Database, source: string) {
    if (this.name !== ":memory:") handles.push(this); // not the one that tries the native part
    return prepare.call(this, source);
  } as typeof prepare;
  try {
    await using storage = createSQLiteStorage({ databasePath: newFile(), ...options });
    await storage.storeCheckpoint(checkpoint(1));
    const [database] = handles as [Database.Database];
    Database.prototype.prepare = prepare;
    return {
      synchronous: database.pragma("synchronous", { simple: true }),
      timeout: database.pragma("busy_timeout", { simple: true }),
      foreignKeys: database.pragma("foreign_keys", { simple: true }),
    };
  } finally {
    Database.prototype.prepare = prepare;
  }
}
