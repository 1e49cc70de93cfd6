import { statSync } from "node:fs";
import { describeDialect, describeDomains, describeErasure } from "@waymark/conformance";
import type { Dialect } from "@waymark/core/kit";
import {
  createReplicatedStorage,
  createSQLiteStorage,
  endReplication,
  type SQLiteStorageOptions,
} from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished } from "vitest";
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { databaseOn, shareConnection } from "../src/database.ts";
import type { Handle } from "../src/handle.ts";
import { resolveOptions } from "../src/options.ts";
import { checkpoint, newFile } from "./fixtures.ts";

const { signal } = new AbortController();

function createDialect(options: SQLiteStorageOptions): Dialect {
  const resolved = resolveOptions(options);
  return createCheckpointDialect(shareConnection(resolved).share(), resolved);
}

async function open(options: SQLiteStorageOptions): Promise<Dialect> {
  const dialect = createDialect(options);
  onTestFinished(() => dialect.close());
  await dialect.open(signal);
  return dialect;
}

/** A handle as a user may open it: in rollback mode, without auto_vacuum. */
function userHandle(path: string): Database.Database {
  const database = new Database(path);
  onTestFinished(() => void database.close());
  return database;
}

const dispose = async () => {};

describeDialect({
  name: "SQLite, a file",
  create: async () => {
    const databasePath = newFile();
    return { createDialect: () => createDialect({ databasePath }), dispose };
  },
});

describeDialect({
  name: "SQLite, handles of the user's own",
  create: async () => {
    const databasePath = newFile();
    return { createDialect: () => createDialect({ database: userHandle(databasePath) }), dispose };
  },
});

describeDomains({
  name: "SQLite",
  quote: "`",
  create: async () => {
    const databasePath = newFile();
    return {
      share: (schema, prefixes) => {
        const options = (tablePrefix: string) => resolveOptions({ databasePath, tablePrefix });
        const connection = shareConnection(options(""));
        const [ofCheckpoints, ofSecond] = [connection.share(), connection.share()];
        let handle: Handle | undefined;
        return {
          checkpoints: createCheckpointDialect(ofCheckpoints, options(prefixes.checkpoints)),
          second: databaseOn(ofSecond, schema, options(prefixes.second)),
          isConnected: async () => {
            handle ??= await ofCheckpoints.get(signal);
            return handle.isOpen();
          },
        };
      },
      dispose,
    };
  },
});

describeErasure({
  name: "SQLite",
  core: { createReplicatedStorage, endReplication },
  module: new URL("../dist/index.js", import.meta.url).href,
  open: createSQLiteStorage,
  create: async () => [{ databasePath: newFile() }, { databasePath: newFile() }],
});

describe("vacuum", () => {
  it("makes a file shorter, a step at a time, after checkpoints are gone", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    for (let turn = 0; turn < 40; turn++) await storage.storeCheckpoint(checkpoint(noise(200_000)));
    const dialect = await open({ databasePath });
    const handle = userHandle(databasePath);
    handle.exec("delete from agent_checkpoints");
    const pages = () => Number(handle.pragma("page_count", { simple: true }));
    const before = pages();
    let more = true;
    for (let left = before; more; left = pages()) {
      more = await dialect.vacuum(signal);
      expect(left - pages()).toBeLessThanOrEqual(510); // and a few pages that only list others
      expect(pages()).toBeLessThanOrEqual(left);
    }
    expect(before).toBeGreaterThan(1_500);
    expect(pages()).toBeLessThan(30);
    expect(statSync(databasePath).size).toBe(pages() * 4_096);
    expect(handle.pragma("integrity_check", { simple: true })).toBe("ok");
  });

  it("leaves the free pages of a user's handle unless its auto_vacuum is incremental, and within a transaction", async () => {
    for (const [mode, left] of [
      ["none", true],
      ["incremental", false],
    ] as const) {
      const database = userHandle(newFile());
      database.pragma(`auto_vacuum = ${mode}`);
      const dialect = await open({ database });
      database.exec("create table other (bytes)");
      database.exec("insert into other values (zeroblob(100000))");
      database.exec("delete from other");
      database.exec("begin");
      expect(await dialect.vacuum(signal)).toBe(false);
      database.exec("commit");
      expect(database.pragma("freelist_count", { simple: true })).toBeGreaterThan(20);
      expect(await dialect.vacuum(signal)).toBe(false);
      expect(Number(database.pragma("freelist_count", { simple: true })) > 0).toBe(left);
    }
  });
});

/** Text that compression cannot make small. */
function noise(length: number): string {
  return Array.from({ length }, () => String.fromCharCode(33 + Math.random() * 90)).join("");
}
