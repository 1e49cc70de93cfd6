import {
  CheckpointError,
  integer,
  invalidArgument,
  objectWithKeys,
  oneOf,
  refuseUndefined,
} from "@waymark/core/records";

/** Options of the plugin and of single adapters, and where the database is if they do not say. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Options of the dialect: `poolSize`, `ssl`, `operationTimeoutMs`, `retry`, `circuit`, `migrate`, `tablePrefix`, …; see its readme. */
export type DialectOptions = Readonly<Record<string, unknown>>;

export interface WaymarkOptions {
  /**
   * `sqlite:./agents.db`, `postgres://…`, `mysql://…` or `mariadb://…`. Default, beside no `pgliteDataDir`: the first of `WAYMARK_URL`,
   * `POSTGRES_URL`, `MYSQL_URL` and `PGLITE_DATA_DIR` that the character's settings or the environment have (of both, the character's),
   * else the SQLite file `.eliza/waymark.db` below the current folder.
   */
  readonly url?: string;
  /** Folder of a PGlite database, in place of a URL. */
  readonly pgliteDataDir?: string;
  /** Options of the dialect, whichever way the database is named. */
  readonly database?: DialectOptions | undefined;
  /**
   * What `ensureEmbeddingDimension` does where memories have vectors of another length alone: `"keep"` (default) keeps them for the day
   * they are asked for again; `"refuse"` throws.
   */
  readonly onDimensionChange?: "keep" | "refuse" | undefined;
  /** How many logs stay. Default: all of them. */
  readonly logs?: LogRetention | undefined;
  /**
   * Closes at SIGINT, at SIGTERM, and when the process has nothing left to do: logs that wait are written first. Then the process ends
   * as it would have. Default `false`.
   */
  readonly closeOnExit?: boolean | undefined;
  /** Environment variables. Default: `process.env`. */
  readonly env?: Environment | undefined;
}

export interface LogRetention {
  /** Logs that are older go. */
  readonly keepDays?: number | undefined;
  /** The newest of each agent that stay. */
  readonly keepRows?: number | undefined;
}

/** What an adapter does, checked and with its defaults. */
export interface ResolvedAdapterOptions {
  readonly onDimensionChange: "keep" | "refuse";
  /** `null`: no limit. */
  readonly logs: { readonly keepDays: number | null; readonly keepRows: number | null };
}

/** Where a database is, and how it is opened. */
export interface DatabasePlace {
  /** Where the URL or folder stands, for messages. */
  readonly field: string;
  /** One of these two is not `null`. */
  readonly url: string | null;
  readonly pgliteDataDir: string | null;
  readonly database: DialectOptions;
  /** Where `database` stands, for messages. */
  readonly optionsField: string;
  /** Folder of relative paths. */
  readonly cwd: string;
}

/** Options of the plugin, checked and with those defaults that need no runtime. */
export interface CheckedOptions {
  /** Path of the options, for messages. */
  readonly field: string;
  /** `null`: not given. */
  readonly url: string | null;
  readonly pgliteDataDir: string | null;
  readonly database: DialectOptions;
  readonly adapter: ResolvedAdapterOptions;
  readonly closeOnExit: boolean;
  readonly env: Environment;
}

export interface ResolvedOptions {
  readonly place: DatabasePlace;
  readonly adapter: ResolvedAdapterOptions;
  readonly closeOnExit: boolean;
}

/** Reads a setting of a character; of one that is not there any value that is no text. */
export type Settings = (name: string) => unknown;

const KEYS = ["url", "pgliteDataDir", "database", "onDimensionChange", "logs", "closeOnExit", "env"] as const;

/** Names of settings and variables that name a database, in order of precedence; the folder comes last. */
const URL_NAMES = ["WAYMARK_URL", "POSTGRES_URL", "MYSQL_URL"] as const;
const FOLDER_NAME = "PGLITE_DATA_DIR";

/** Asks plugin-sql for row-level security. */
const ISOLATION = "ENABLE_DATA_ISOLATION";

const DEFAULT_URL = "sqlite:./.eliza/waymark.db";

/** One hundred years. */
const MAX_DAYS = 36_500;

/**
 * Checks options, but those of the dialect. `field`: their path, for messages.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function checkOptions(value: WaymarkOptions, field = "options"): CheckedOptions {
  const options = objectWithKeys(field, value, KEYS);
  // Of a variable that is not set: another database would be opened.
  refuseUndefined(field, options, ["url", "pgliteDataDir"]);
  const { onDimensionChange = "keep", logs = {}, closeOnExit = false, env = process.env, database = {} } = options;
  if (typeof closeOnExit !== "boolean") throw invalidArgument(`${field}.closeOnExit`, "a boolean", closeOnExit);
  const url = optionalText(`${field}.url`, options.url);
  const pgliteDataDir = optionalText(`${field}.pgliteDataDir`, options.pgliteDataDir);
  if (url !== null && pgliteDataDir !== null) {
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have url or pgliteDataDir, got both`);
  }
  return {
    field,
    url,
    pgliteDataDir,
    database: checkDialectOptions(field, database),
    adapter: {
      onDimensionChange: oneOf(`${field}.onDimensionChange`, onDimensionChange, ["keep", "refuse"]),
      logs: checkRetention(`${field}.logs`, logs),
    },
    closeOnExit,
    env: objectOf(`${field}.env`, env) as Environment,
  };
}

/**
 * Completes options with settings, variables and defaults.
 * @throws CheckpointError `INVALID_CONFIG`
 */
export function resolveOptions(options: CheckedOptions, settings: Settings = () => null): ResolvedOptions {
  const { env, adapter, closeOnExit } = options;
  // A setting "true" is read as a boolean.
  if ([settings(ISOLATION), env[ISOLATION]].some((value) => String(value) === "true")) {
    const advice = "unset it, and give each tenant a database, or a tablePrefix, of its own";
    const message = `open ElizaOS database: ${ISOLATION} is true, and there is no row-level security here: ${advice}`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
  const place = placeOf(options, (name) => textOf(settings(name)) ?? textOf(env[name]));
  return { place, adapter, closeOnExit };
}

function placeOf(
  { field, url, pgliteDataDir, database }: CheckedOptions,
  settingOf: (name: string) => string | null,
): DatabasePlace {
  const base = { database, optionsField: `${field}.database`, cwd: process.cwd() };
  if (url !== null) return { ...base, field: `${field}.url`, url, pgliteDataDir: null };
  if (pgliteDataDir !== null) return { ...base, field: `${field}.pgliteDataDir`, url: null, pgliteDataDir };
  for (const name of URL_NAMES) {
    const value = settingOf(name);
    if (value !== null) return { ...base, field: name, url: value, pgliteDataDir: null };
  }
  const folder = settingOf(FOLDER_NAME);
  if (folder !== null) return { ...base, field: FOLDER_NAME, url: null, pgliteDataDir: folder };
  return { ...base, field: "the default", url: DEFAULT_URL, pgliteDataDir: null };
}

/** Options of dialects that name a database, or are one. */
const PLACES = ["databasePath", "connectionString", "pgliteDataDir", "pglite", "client", "pool", "database", "type"];

/** Copies the options of the dialect, which checks them. */
function checkDialectOptions(field: string, value: unknown): DialectOptions {
  const options = { ...objectOf(`${field}.database`, value) };
  const place = PLACES.find((name) => name in options);
  if (place === undefined) return options;
  const message = `expected ${field}.database to have no ${place}, since ${field}.url or ${field}.pgliteDataDir says where the database is`;
  throw new CheckpointError("INVALID_ARGUMENT", message);
}

function checkRetention(field: string, value: unknown): ResolvedAdapterOptions["logs"] {
  const { keepDays, keepRows } = objectWithKeys(field, value, ["keepDays", "keepRows"]);
  const limit = (name: string, given: unknown, min: number, max: number, unit: string) =>
    given === undefined ? null : integer(`${field}.${name}`, given, min, max, unit);
  return {
    keepDays: limit("keepDays", keepDays, 1, MAX_DAYS, "days"),
    keepRows: limit("keepRows", keepRows, 0, Number.MAX_SAFE_INTEGER, "rows"),
  };
}

function optionalText(field: string, value: unknown): string | null {
  if (value === undefined) return null;
  if (typeof value !== "string" || value === "") throw invalidArgument(field, "a string that is not empty", value);
  return value;
}

function objectOf(field: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidArgument(field, "an object", value);
}

/** An empty variable is as one that is not set. */
function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
