import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { createSQLiteStorage, type SQLiteStorageOptions } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { checkpoint, newFile } from "./fixtures.ts";

describe("a storage in SQLite", () => {
  it("makes parent folders, and a file in WAL mode with incremental vacuum", async () => {
    const databasePath = join(dirname(newFile()), "some/new/folders/state.db");
    await using storage = createSQLiteStorage({ databasePath });
    await storage.storeCheckpoint(checkpoint(1));
    expect(statSync(databasePath).isFile()).toBe(true);
    const handle = new Database(databasePath, { readonly: true });
    expect(handle.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(handle.pragma("auto_vacuum", { simple: true })).toBe(2); // incremental
    handle.close();
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
    [{ databasePath: "" }, "options.databasePath to be a path"],
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
    [{ database: { open: true } }, "options.database to be a better-sqlite3 database"],
  ])("refuses the options %j, and names the wrong one", (options, words) => {
    expect(() => createSQLiteStorage(options as SQLiteStorageOptions)).toThrow(words);
    expect(() => createSQLiteStorage(options as SQLiteStorageOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});

/** Reads the settings of the connection that a storage opens. Only that connection has them, so a hook catches it. */
async function readSettings(options: Partial<SQLiteStorageOptions>) {
  const handles: Database.Database[] = [];
  const { exec } = Database.prototype;
  Database.prototype.exec = function (this: Database.Database, source: string) {
    handles.push(this);
    return exec.call(this, source);
  };
  try {
    await using storage = createSQLiteStorage({ databasePath: newFile(), ...options });
    await storage.storeCheckpoint(checkpoint(1));
    const [database] = handles as [Database.Database];
    return {
      synchronous: database.pragma("synchronous", { simple: true }),
      timeout: database.pragma("busy_timeout", { simple: true }),
      foreignKeys: database.pragma("foreign_keys", { simple: true }),
    };
  } finally {
    Database.prototype.exec = exec;
  }
}
