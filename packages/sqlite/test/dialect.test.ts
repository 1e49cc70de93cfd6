import { statSync } from "node:fs";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished } from "vitest";
import { describeDialect } from "../../core/test/describe-dialect.ts";
import { createSQLiteDialect } from "../src/checkpoints/dialect.ts";
import { createSQLiteStorage } from "../src/index.ts";
import { resolveOptions, type SQLiteStorageOptions } from "../src/options.ts";
import { checkpoint, newFile } from "./fixtures.ts";

const { signal } = new AbortController();

async function opened(options: SQLiteStorageOptions) {
  const dialect = createSQLiteDialect(resolveOptions(options));
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  return dialect;
}

/** A handle as its owner has it: in rollback mode, without auto_vacuum. */
function ownHandle(path: string): Database.Database {
  const database = new Database(path);
  onTestFinished(() => void database.close());
  return database;
}

describe("a file", () => {
  describeDialect(async () => {
    const databasePath = newFile();
    return { open: () => opened({ databasePath }) };
  });

  it("gets shorter, a step at a time, after checkpoints are gone", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    for (let turn = 0; turn < 40; turn++) await storage.storeCheckpoint(checkpoint(noise(200_000)));
    const dialect = await opened({ databasePath });
    const around = ownHandle(databasePath);
    around.exec("delete from agent_checkpoints");
    const pages = () => Number(around.pragma("page_count", { simple: true }));
    const before = pages();
    let more = true;
    for (let left = before; more; left = pages()) {
      more = await dialect.reclaim(signal);
      expect(left - pages()).toBeLessThanOrEqual(510); // and a few that only say where others are
      expect(pages()).toBeLessThanOrEqual(left);
    }
    expect(before).toBeGreaterThan(1_500);
    expect(pages()).toBeLessThan(30);
    expect(statSync(databasePath).size).toBe(pages() * 4_096);
    expect(around.pragma("integrity_check", { simple: true })).toBe("ok");
  });
});

describe("a handle of the user's own", () => {
  describeDialect(async () => {
    const databasePath = newFile();
    return { open: () => opened({ database: ownHandle(databasePath) }) };
  });

  it("keeps its free pages unless its auto_vacuum is incremental, and within a transaction", async () => {
    for (const [mode, left] of [
      ["none", true],
      ["incremental", false],
    ] as const) {
      const database = ownHandle(newFile());
      database.pragma(`auto_vacuum = ${mode}`);
      const dialect = await opened({ database });
      database.exec("create table other (bytes)");
      database.exec("insert into other values (zeroblob(100000))");
      database.exec("delete from other");
      database.exec("begin");
      expect(await dialect.reclaim(signal)).toBe(false);
      database.exec("commit");
      expect(database.pragma("freelist_count", { simple: true })).toBeGreaterThan(20);
      expect(await dialect.reclaim(signal)).toBe(false);
      expect(Number(database.pragma("freelist_count", { simple: true })) > 0).toBe(left);
    }
  });
});

/** Text that compression can not make small. */
function noise(length: number): string {
  return Array.from({ length }, () => String.fromCharCode(33 + Math.random() * 90)).join("");
}
