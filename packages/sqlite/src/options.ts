import { resolve, sep } from "node:path";
import { CheckpointError, type CommonStorageOptions, type DatabaseOptions } from "@waymark/core";
import {
  DATABASE_OPTIONS,
  invalidArgument,
  invalidWord,
  type ObjectWithKeys,
  objectWithKeys,
  oneOf,
  type ResolvedDatabaseOptions,
  resolveDatabaseOptions,
  STORAGE_OPTIONS,
  string,
  timeout,
} from "@waymark/core/kit";
import { adoptDatabase } from "./drivers/choose.ts";
import { DRIVER_NAMES, type DriverName } from "./drivers/driver.ts";

/** A driver of SQLite, by the name of its module. */
export type SQLiteDriver = DriverName;

/**
 * An open database of better-sqlite3 (`Database`), of node:sqlite (`DatabaseSync`, Node 22.16 and later) or of bun:sqlite
 * (`Database`). Structural: their typings are no dependency of this package.
 */
export interface SQLiteDatabase {
  prepare(sql: string): unknown;
  exec(sql: string): unknown;
}

/** Options of an SQLite database, whatever is stored in it. */
export interface SQLiteDatabaseOptions extends DatabaseOptions {
  /** The name of this dialect, as config files have it. May be left out here. */
  readonly type?: "sqlite" | undefined;
  /**
   * Path of the database file, created with its folders if it is missing, for nobody else to read (0600, folders 0700). A
   * relative one is that of the working directory when the storage is made. `:memory:` keeps everything in this process.
   */
  readonly databasePath?: string | undefined;
  /**
   * Instead of `databasePath`: a database of your own, opened by any of the three drivers, with foreign keys on. It is never
   * closed here.
   */
  readonly database?: SQLiteDatabase | undefined;
  /**
   * The driver to open `databasePath` with. Default: bun:sqlite on Bun, node:sqlite on Deno, and on Node better-sqlite3 if it
   * is installed and loads, else node:sqlite (Node 22.13 and later). `status()` tells which one it is.
   */
  readonly driver?: SQLiteDriver | undefined;
  /**
   * When a commit counts as done: `"FULL"` survives a power cut, `"NORMAL"` may lose the last commits to one (not to
   * a crash of the process), `"EXTRA"` is FULL and also syncs the folder. Default `"FULL"`. Not for `database`.
   */
  readonly synchronous?: "FULL" | "NORMAL" | "EXTRA" | undefined;
  /** Longest wait for another process's lock, in milliseconds. It blocks this thread. Default 5,000. */
  readonly busyTimeoutMs?: number | undefined;
  /** Path of better-sqlite3's `.node` file, for bundles that run without node_modules. Only with that driver. */
  readonly nativeBinding?: string | undefined;
}

export interface SQLiteStorageOptions<State = unknown> extends CommonStorageOptions<State>, SQLiteDatabaseOptions {}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly sqlite: SQLiteStorageOptions;
  }
}

const KEYS = [
  "type",
  "databasePath",
  "database",
  "driver",
  "synchronous",
  "busyTimeoutMs",
  "nativeBinding",
  ...DATABASE_OPTIONS,
] as const;

/** The options of the database, checked and with their defaults: nothing is optional. */
export interface ResolvedOptions extends ResolvedDatabaseOptions {
  readonly database: SQLiteDatabase | null;
  /** Absolute, or `:memory:`. */
  readonly databasePath: string | null;
  /** `null`: the first that runs here. */
  readonly driver: DriverName | null;
  readonly synchronous: "FULL" | "NORMAL" | "EXTRA";
  readonly busyTimeoutMs: number;
  readonly nativeBinding: string | null;
}

/**
 * Checks the options of the database.
 * @param domainOptions names of the options of what is stored in it, which are checked there. Default: those of checkpoints.
 */
export function resolveOptions(
  value: SQLiteDatabaseOptions,
  domainOptions: readonly string[] = STORAGE_OPTIONS,
): ResolvedOptions {
  const names = [...new Set([...KEYS, ...domainOptions])];
  const options: ObjectWithKeys<(typeof KEYS)[number]> = objectWithKeys("options", value, names);
  oneOf("options.type", options.type ?? "sqlite", ["sqlite"]);
  const { synchronous = "FULL", busyTimeoutMs = 5_000, nativeBinding, database, databasePath, driver } = options;
  if (database === undefined && databasePath === undefined && "databasePath" in options) {
    throw invalidArgument("options.databasePath", "a path (is the environment variable set?)", undefined);
  }
  if ((database === undefined) === (databasePath === undefined)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have either databasePath or database");
  }
  if (database !== undefined) {
    for (const name of ["driver", "synchronous", "busyTimeoutMs", "nativeBinding"] as const) {
      if (options[name] !== undefined)
        throw invalidWord(`options.${name}`, "absent beside options.database", options[name]);
    }
  }
  return {
    ...resolveDatabaseOptions(options),
    database: database === undefined ? null : checkHandle(database),
    databasePath: databasePath === undefined ? null : resolveDatabasePath(databasePath),
    driver: driver === undefined ? driverFor(nativeBinding) : oneOf("options.driver", driver, DRIVER_NAMES),
    synchronous: oneOf("options.synchronous", synchronous, ["FULL", "NORMAL", "EXTRA"]),
    busyTimeoutMs: busyTimeoutMs === 0 ? 0 : timeout("options.busyTimeoutMs", busyTimeoutMs),
    nativeBinding: nativeBinding === undefined ? null : resolve(checkPath("options.nativeBinding", nativeBinding)),
  };
}

/** Who names the native part of a driver wants that driver. */
function driverFor(nativeBinding: unknown): DriverName | null {
  return nativeBinding === undefined ? null : "better-sqlite3";
}

/** Makes a path absolute at once: the program may change its working directory before the first call. */
function resolveDatabasePath(value: unknown): string {
  const given = string("options.databasePath", value).trim();
  const scheme = /^[a-z][a-z0-9+.-]+:/i.exec(given)?.[0]; // one letter is a drive of Windows
  if (scheme !== undefined || given.startsWith("~")) {
    // Only the scheme is shown: the URL of a server has a password.
    const got =
      scheme === undefined ? "~, which only a shell replaces" : `a URL (${scheme}), which belongs into WAYMARK_URL`;
    throw invalidPath("a path", got);
  }
  // A URL in quotes, as `docker --env-file` leaves them, or libpq's words: with a password, which would be in the file's name.
  if (/^["']|:\/\/|\bpassword=/i.test(given)) {
    const got = "a text with quotes, a URL or a password in it";
    throw new CheckpointError("INVALID_ARGUMENT", `expected options.databasePath to be a path, got ${got}`);
  }
  const path = checkPath("options.databasePath", value);
  if (path.endsWith("/") || path.endsWith(sep)) {
    throw invalidPath("a file's path", "a folder's");
  }
  return path === ":memory:" ? path : resolve(path);
}

function invalidPath(expected: string, got: string): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected options.databasePath to be ${expected}, got ${got}`);
}

function checkPath(field: string, value: unknown): string {
  const checked = string(field, value);
  if (checked === "") throw invalidArgument(field, "a path", value); // SQLite takes it for a temporary database
  // SQLite's driver trims it.
  if (checked.trim() !== checked || checked.includes("\0")) {
    throw invalidWord(field, "a path without spaces around it", value);
  }
  return checked;
}

function checkHandle(value: unknown): SQLiteDatabase {
  if (typeof value !== "object" || value === null || adoptDatabase(value) === null) {
    throw invalidArgument("options.database", "a database of better-sqlite3, node:sqlite or bun:sqlite", value);
  }
  return value as SQLiteDatabase;
}
