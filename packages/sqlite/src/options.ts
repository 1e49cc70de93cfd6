import { CheckpointError, type CommonStorageOptions } from "@waymark/core";
import {
  invalidArgument,
  invalidWord,
  objectWithKeys,
  oneOf,
  type ResolvedStorageOptions,
  resolveStorageOptions,
  STORAGE_OPTIONS,
  string,
  timeout,
} from "@waymark/core/kit";

/** A better-sqlite3 database. Structural: its typings are no dependency of this package. */
export interface SQLiteDatabase {
  readonly open: boolean;
  prepare(sql: string): unknown;
  exec(sql: string): unknown;
  pragma(pragma: string): unknown;
}

export interface SQLiteStorageOptions<State = unknown> extends CommonStorageOptions<State> {
  /** The name of this dialect, as config files have it. May be left out here. */
  readonly type?: "sqlite" | undefined;
  /** Path of the database file, created with its folders if it is missing; `:memory:` keeps everything in this process. */
  readonly databasePath?: string | undefined;
  /** Instead of `databasePath`: a better-sqlite3 handle of your own, with foreign keys on. It is never closed here. */
  readonly database?: SQLiteDatabase | undefined;
  /**
   * When a commit counts as done: `"FULL"` survives a power cut, `"NORMAL"` may lose the last commits to one (not to
   * a crash of the process), `"EXTRA"` is FULL and also syncs the folder. Default `"FULL"`. Not for `database`.
   */
  readonly synchronous?: "FULL" | "NORMAL" | "EXTRA" | undefined;
  /** Longest wait for another process's lock, in milliseconds. It blocks this thread. Default 5,000. */
  readonly busyTimeoutMs?: number | undefined;
  /** Path of better-sqlite3's `.node` file, for bundles that run without node_modules. */
  readonly nativeBinding?: string | undefined;
}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly sqlite: SQLiteStorageOptions;
  }
}

const KEYS = [
  "type",
  "databasePath",
  "database",
  "synchronous",
  "busyTimeoutMs",
  "nativeBinding",
  ...STORAGE_OPTIONS,
] as const;

/** The options, checked and with their defaults: nothing is optional. */
export interface ResolvedOptions extends ResolvedStorageOptions {
  readonly database: SQLiteDatabase | null;
  readonly databasePath: string | null;
  readonly synchronous: "FULL" | "NORMAL" | "EXTRA";
  readonly busyTimeoutMs: number;
  readonly nativeBinding: string | null;
}

export function resolveOptions(value: SQLiteStorageOptions): ResolvedOptions {
  const options = objectWithKeys("options", value, KEYS);
  oneOf("options.type", options.type ?? "sqlite", ["sqlite"]);
  const { synchronous = "FULL", busyTimeoutMs = 5_000, nativeBinding, database, databasePath } = options;
  if (database === undefined && databasePath === undefined && "databasePath" in options) {
    throw invalidArgument("options.databasePath", "a path (is the environment variable set?)", undefined);
  }
  if ((database === undefined) === (databasePath === undefined)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have either databasePath or database");
  }
  if (database !== undefined) {
    for (const name of ["synchronous", "busyTimeoutMs", "nativeBinding"] as const) {
      if (options[name] !== undefined)
        throw invalidWord(`options.${name}`, "absent beside options.database", options[name]);
    }
  }
  return {
    ...resolveStorageOptions(options),
    database: database === undefined ? null : checkHandle(database),
    databasePath: databasePath === undefined ? null : checkPath("options.databasePath", databasePath),
    synchronous: oneOf("options.synchronous", synchronous, ["FULL", "NORMAL", "EXTRA"]),
    busyTimeoutMs: busyTimeoutMs === 0 ? 0 : timeout("options.busyTimeoutMs", busyTimeoutMs),
    nativeBinding: nativeBinding === undefined ? null : checkPath("options.nativeBinding", nativeBinding),
  };
}

function checkPath(field: string, value: unknown): string {
  const checked = string(field, value);
  // SQLite's driver trims it, and takes nothing for a temporary database.
  if (checked.trim() !== checked || checked === "" || checked.includes("\0")) {
    throw invalidWord(field, "a path without spaces around it", value);
  }
  return checked;
}

function checkHandle(value: unknown): SQLiteDatabase {
  const database = value as SQLiteDatabase;
  if (typeof value !== "object" || value === null || typeof database.prepare !== "function") {
    throw invalidArgument("options.database", "a better-sqlite3 database", value);
  }
  return database;
}
