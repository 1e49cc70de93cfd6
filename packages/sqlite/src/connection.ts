import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CheckpointError } from "@waymark/core";
import { property } from "@waymark/core/kit";
import type { Database } from "better-sqlite3";
import { type Handle, handleOn } from "./handle.ts";
import type { ResolvedOptions } from "./options.ts";

/** Opens the database of the options, or checks the handle that they bring. */
export async function connect(options: ResolvedOptions, signal: AbortSignal): Promise<Handle> {
  if (options.database !== null) return check(options.database as Database);
  const { databasePath, nativeBinding } = options as typeof options & { databasePath: string };
  if (databasePath !== ":memory:") mkdirSync(dirname(resolve(databasePath)), { recursive: true });
  const BetterSqlite3 = await loadDriver();
  const database = new BetterSqlite3(databasePath, {
    // It holds up the event loop, and with it the timer of the call's deadline.
    timeout: Math.min(options.busyTimeoutMs, options.operationTimeoutMs),
    ...(nativeBinding === null ? {} : { nativeBinding }),
  });
  const handle = handleOn(database);
  try {
    // In this order: the busy timeout (above) before anything that may wait; auto_vacuum while the file is still empty,
    // since once it is in WAL mode or has a table the setting has no effect; then WAL.
    if (Number(handle.value("pragma page_count")) === 0) handle.exec("pragma auto_vacuum = INCREMENTAL");
    await switchToWal(handle, signal);
    handle.exec(`pragma synchronous = ${options.synchronous}`);
    handle.exec("pragma foreign_keys = ON");
    return handle;
  } catch (error) {
    database.close();
    throw error;
  }
}

function check(database: Database): Handle {
  if (!database.open) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options.database to be open, got one that is closed");
  }
  const handle = handleOn(database);
  if (Number(handle.value("pragma foreign_keys")) !== 1) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options.database to have foreign_keys on, got off");
  }
  return handle;
}

/** Changing the journal mode does not wait for the busy timeout: two processes that open a new file collide here. */
async function switchToWal(handle: Handle, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      handle.exec("pragma journal_mode = WAL");
      return;
    } catch (error) {
      if (property(error, "code") !== "SQLITE_BUSY") throw error;
      await delay(5 + Math.random() * 20, undefined, { signal });
    }
  }
}

/** Only when a database is opened, and only on a Node that the installed version can run on: else it ends the process. */
async function loadDriver() {
  const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
  const driver = driverVersion();
  if (driver >= 13 && (major < 22 || (major === 22 && minor < 14))) {
    throw new CheckpointError(
      "INVALID_CONFIG",
      `open database: better-sqlite3 ${driver} crashes on Node ${process.versions.node}: install better-sqlite3@12, or run Node 22.14 or later`,
    );
  }
  const { default: BetterSqlite3 } = await import("better-sqlite3");
  return BetterSqlite3;
}

/** The installed driver's major version; 0 in a bundle, where it is the one that the bundle was made with. */
function driverVersion(): number {
  try {
    const manifest = createRequire(import.meta.url).resolve("better-sqlite3/package.json");
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    return Number.parseInt(version, 10);
  } catch {
    return 0;
  }
}
