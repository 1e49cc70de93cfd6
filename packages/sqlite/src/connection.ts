import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CheckpointError } from "@waymark/core";
import { keepWords, property } from "@waymark/core/kit";
import { adoptDatabase, loadDriver } from "./drivers/choose.ts";
import type { DriverDatabase } from "./drivers/driver.ts";
import { type Handle, handleOn } from "./handle.ts";
import type { ResolvedOptions } from "./options.ts";

/** The database and its folders are nobody else's to read: they hold what agents were told. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** Makes a function that opens the database of the options, or checks the one that they bring. */
export function connector(options: ResolvedOptions): (signal: AbortSignal) => Promise<Handle> {
  const { databasePath, driver, nativeBinding } = options as typeof options & { databasePath: string };
  /** Stays set if opening fails once the file is there: the attempt that succeeds tells of it. */
  let isNew = false;

  async function open(signal: AbortSignal): Promise<Handle> {
    const openFile = await loadDriver(driver, { nativeBinding });
    if (databasePath !== ":memory:" && createFile(databasePath)) isNew = true;
    const handle = await setUp(openFile(databasePath), isNew, options, signal);
    isNew = false;
    return handle;
  }

  return async (signal) => {
    try {
      return options.database === null ? await open(signal) : check(options.database);
    } catch (error) {
      throw keepWords(error); // no statement has had a value yet
    }
  };
}

async function setUp(
  database: DriverDatabase,
  isNew: boolean,
  options: ResolvedOptions,
  signal: AbortSignal,
): Promise<Handle> {
  try {
    const handle = handleOn(database, { path: options.databasePath, isNew });
    // It holds up the event loop, and with it the timer of the call's deadline.
    handle.exec(`pragma busy_timeout = ${Math.min(options.busyTimeoutMs, options.operationTimeoutMs)}`);
    // In this order: the busy timeout before anything that may wait; auto_vacuum while the file is still empty, since once
    // it is in WAL mode or has a table the setting has no effect; then WAL.
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

/** Creates an empty file, which is an empty database, with the folders that are missing. `false`: there is one. */
function createFile(path: string): boolean {
  createFolder(dirname(path));
  try {
    closeSync(openSync(path, "wx", FILE_MODE)); // SQLite gives the files beside it the same rights
    return true;
  } catch (error) {
    if (property(error, "code") === "EEXIST") return false;
    throw error;
  }
}

/** One by one: Node's recursive `mkdir` never returns where a folder cannot be made though its parent is there, as in /proc. */
function createFolder(path: string): void {
  if (existsSync(path)) return;
  createFolder(dirname(path));
  try {
    mkdirSync(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (property(error, "code") !== "EEXIST") throw error; // another process was faster
  }
}

function check(value: object): Handle {
  const database = adoptDatabase(value);
  if (!database?.isOpen()) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options.database to be open, got one that is closed");
  }
  const handle = handleOn(database, null);
  if (Number(handle.value("pragma foreign_keys")) !== 1) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options.database to have foreign_keys on, got off");
  }
  return handle;
}

/** Changing the journal mode does not wait for the busy timeout: two processes that open a new file collide here. */
async function switchToWal(handle: Handle, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      handle.value("pragma journal_mode = WAL");
      return;
    } catch (error) {
      if (property(error, "code") !== "SQLITE_BUSY") throw error;
      await delay(5 + Math.random() * 20, undefined, { signal });
    }
  }
}
