import { CheckpointError, type CommonStorageOptions } from "@waymark/core";
import {
  COMMON_OPTIONS,
  invalidArgument,
  members,
  oneOf,
  type ResolvedCommonOptions,
  resolveCommonOptions,
  string,
  timeout,
} from "@waymark/core/kit";

/** A better-sqlite3 database, as far as its type matters to users: its typings are no dependency of ours. */
export interface SQLiteDatabase {
  readonly open: boolean;
  prepare(sql: string): unknown;
  exec(sql: string): unknown;
  pragma(pragma: string): unknown;
}

export interface SQLiteStorageOptions extends CommonStorageOptions {
  /** What a config file says; here it may be left out. */
  readonly type?: "sqlite";
  /** The database file, made with its folders if it is not there; `:memory:` keeps all in this process. */
  readonly databasePath?: string | undefined;
  /** Instead of `databasePath`: a better-sqlite3 handle of your own, with foreign keys on. We never close it. */
  readonly database?: SQLiteDatabase;
  /**
   * When a commit counts as done: `"FULL"` survives a power cut, `"NORMAL"` may lose the last commits to one (not to
   * a crash of the process), `"EXTRA"` is FULL and also syncs the folder. Default `"FULL"`. Not for `database`.
   */
  readonly synchronous?: "FULL" | "NORMAL" | "EXTRA";
  /** How long a statement waits for another process's lock, in milliseconds. It holds up this thread. Default 5,000. */
  readonly busyTimeoutMs?: number;
  /** Where better-sqlite3's `.node` file is, for bundles that run away from node_modules. */
  readonly nativeBinding?: string;
}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly sqlite: SQLiteStorageOptions;
  }
}

const NAMES = [
  "type",
  "databasePath",
  "database",
  "synchronous",
  "busyTimeoutMs",
  "nativeBinding",
  ...COMMON_OPTIONS,
] as const;

/** The options with their defaults: inside, nothing is optional. */
export interface ResolvedOptions extends ResolvedCommonOptions {
  readonly database: SQLiteDatabase | null;
  readonly databasePath: string | null;
  readonly synchronous: "FULL" | "NORMAL" | "EXTRA";
  readonly busyTimeoutMs: number;
  readonly nativeBinding: string | null;
}

export function resolveOptions(value: SQLiteStorageOptions): ResolvedOptions {
  const options = members("options", value, NAMES);
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
        throw invalidArgument(`options.${name}`, "absent beside options.database", options[name]);
    }
  }
  return {
    ...resolveCommonOptions(options),
    database: database === undefined ? null : handle(database),
    databasePath: databasePath === undefined ? null : path("options.databasePath", databasePath),
    synchronous: oneOf("options.synchronous", synchronous, ["FULL", "NORMAL", "EXTRA"]),
    busyTimeoutMs: busyTimeoutMs === 0 ? 0 : timeout("options.busyTimeoutMs", busyTimeoutMs),
    nativeBinding: nativeBinding === undefined ? null : path("options.nativeBinding", nativeBinding),
  };
}

function path(field: string, value: unknown): string {
  const checked = string(field, value);
  // SQLite's driver trims it, and takes nothing for a temporary database.
  if (checked.trim() !== checked || checked === "" || checked.includes("\0")) {
    throw invalidArgument(field, "a path without spaces around it", value);
  }
  return checked;
}

function handle(value: unknown): SQLiteDatabase {
  const database = value as SQLiteDatabase;
  if (typeof value !== "object" || value === null || typeof database.prepare !== "function") {
    throw invalidArgument("options.database", "a better-sqlite3 database", value);
  }
  return database;
}
