import { resolve } from "node:path";
import { CheckpointError, type CommonStorageOptions, type DatabaseOptions } from "@waymark/core";
import {
  boolean,
  checkTlsOptions,
  DATABASE_OPTIONS,
  defaultPoolSize,
  identifier,
  integer,
  invalidArgument,
  invalidWord,
  type ObjectWithKeys,
  objectWithKeys,
  oneOf,
  property,
  type ResolvedDatabaseOptions,
  refuseUndefined,
  resolveDatabaseOptions,
  STORAGE_OPTIONS,
  string,
  timeout,
} from "@waymark/core/kit";
import { parseUrl, type ServerUrl } from "./url.ts";

/** A postgres.js client. Structural: its version may differ from this package's. */
export interface PostgresClient {
  unsafe(query: string, parameters?: never[]): unknown;
  begin(options: string, work: never): Promise<unknown>;
  end(options?: { timeout?: number }): Promise<void>;
}

/**
 * A database of PGlite (`@electric-sql/pglite`). Structural: its typings are no dependency of this package. A PGlite in a worker
 * (`PGliteWorker`) is one too.
 */
export interface PgliteDatabase {
  query(query: string, parameters?: never[], options?: never): Promise<unknown>;
  transaction(work: never): Promise<unknown>;
}

const TLS_WORDS = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;

/** TLS: options of node:tls, or a word of libpq's `sslmode`. `true` is `"verify-full"`, and `"allow"` is `"prefer"`. */
export type PostgresTls = boolean | (typeof TLS_WORDS)[number] | Readonly<Record<string, unknown>>;

/** Options of a PostgreSQL database, whatever is stored in it. */
export interface PostgresDatabaseOptions extends DatabaseOptions {
  /** The name of this dialect, as config files have it. May be left out here. */
  readonly type?: "postgres" | undefined;
  /**
   * `postgres://user:password@host:5432/database?sslmode=require`, as libpq reads it: lists of hosts, Unix sockets, and the
   * variables `PGHOST`, `PGPASSWORD`, … for what it leaves out. Its parameters: see the README. An option wins over a parameter.
   */
  readonly connectionString?: string | undefined;
  /** Instead of `connectionString`: a postgres.js client of your own. It is never ended here, and its parsers stay as they are. */
  readonly client?: PostgresClient | undefined;
  /**
   * Instead of `connectionString`: a folder of PGlite, which is PostgreSQL in this process. It is created if it is missing, for nobody
   * else to read (0700). A relative one is that of the working directory when the storage is made. One process at a time can have
   * it open; the storages of a process share it. `memory://` keeps everything in this process, and is another database for each
   * storage. Needs the package `@electric-sql/pglite`.
   */
  readonly pgliteDataDir?: string | undefined;
  /** Instead of `connectionString`: a PGlite of your own. It is never closed here. */
  readonly pglite?: PgliteDatabase | undefined;
  /** PostgreSQL schema of the tables, created by migrations if it is missing. Default `"public"`, whatever the search path is. */
  readonly schema?: string | undefined;
  /** Maximum number of connections. Default 20; where tests run (`NODE_ENV=test`, Vitest) 2. */
  readonly poolSize?: number | undefined;
  /** Longest time to make a connection, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Idle time after which a connection is closed, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /**
   * Prepare statements once per connection. It saves a round trip, but needs a pooler in transaction mode to track prepared
   * statements (pgbouncer does from 1.21). Default `false`.
   */
  readonly prepare?: boolean | undefined;
  /**
   * TLS, whatever the URL says. Default: as the URL says, otherwise none. Never over a Unix socket. `undefined` is refused: the
   * connection might be in plain text.
   */
  readonly ssl?: PostgresTls;
}

export interface PostgresStorageOptions<State = unknown> extends CommonStorageOptions<State>, PostgresDatabaseOptions {}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly postgres: PostgresStorageOptions;
  }
}

const KEYS = [
  "type",
  "connectionString",
  "client",
  "pgliteDataDir",
  "pglite",
  "schema",
  "poolSize",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "prepare",
  "ssl",
  ...DATABASE_OPTIONS,
] as const;

/** The options of the database, checked and with their defaults: nothing is optional. */
export interface ResolvedOptions extends ResolvedDatabaseOptions {
  /** One of these four is not `null`: where to connect to, a user's client, a folder of PGlite, a user's PGlite. */
  readonly server: ServerUrl | null;
  readonly client: PostgresClient | null;
  /** Absolute, or {@link IN_MEMORY}. */
  readonly pgliteDataDir: string | null;
  readonly pglite: PgliteDatabase | null;
  readonly schema: string;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly prepare: boolean;
  readonly ssl: PostgresTls | null;
}

/** `pgliteDataDir` of a database without a folder. */
export const IN_MEMORY = "memory://";

/** Options that name a database. */
const DATABASES = ["connectionString", "client", "pgliteDataDir", "pglite"] as const;

/** Those that may come from a variable, which may be missing. */
const FROM_ENVIRONMENT = [
  ["connectionString", "a URL that starts with postgres:// or postgresql://"],
  ["pgliteDataDir", "a folder's path"],
] as const;

const OF_POOLS = ["poolSize", "connectTimeoutMs", "idleTimeoutMs", "ssl"] as const;

/** Options that have no meaning beside one that names a database. */
const ONLY_OF_SERVERS = {
  connectionString: [],
  client: OF_POOLS,
  pgliteDataDir: [...OF_POOLS, "prepare"],
  pglite: [...OF_POOLS, "prepare"],
} as const;

/**
 * Checks the options of the database.
 * @param domainOptions names of the options of what is stored in it, which are checked there. Default: those of checkpoints.
 */
export function resolveOptions(
  value: PostgresDatabaseOptions,
  domainOptions: readonly string[] = STORAGE_OPTIONS,
): ResolvedOptions {
  const names = [...new Set([...KEYS, ...domainOptions])];
  const options: ObjectWithKeys<(typeof KEYS)[number]> = objectWithKeys("options", value, names);
  refuseUndefined("options", options, ["ssl"]);
  oneOf("options.type", options.type ?? "postgres", ["postgres"]);
  const { connectionString, client, pgliteDataDir, pglite, ssl } = options;
  const given = DATABASES.filter((name) => options[name] !== undefined);
  if (given.length === 0) {
    for (const [name, expected] of FROM_ENVIRONMENT) {
      if (name in options)
        throw invalidArgument(`options.${name}`, `${expected} (is the environment variable set?)`, undefined);
    }
  }
  const [place] = given;
  if (place === undefined || given.length > 1) {
    const got = given.length === 0 ? "none" : given.join(" and ");
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      `expected options to have one of ${DATABASES.join(", ")}, got ${got}`,
    );
  }
  for (const name of ONLY_OF_SERVERS[place]) {
    if (options[name] !== undefined)
      throw invalidWord(`options.${name}`, `absent beside options.${place}`, options[name]);
  }
  const url = connectionString === undefined ? null : parseUrl("options.connectionString", connectionString);
  const { schema = url?.options.schema ?? "public", poolSize = url?.options.poolSize ?? defaultPoolSize(20) } = options;
  const { connectTimeoutMs = url?.options.connectTimeoutMs ?? 5_000 } = options;
  const { idleTimeoutMs = url?.options.idleTimeoutMs ?? 30_000, prepare = url?.options.prepare ?? false } = options;
  return {
    ...resolveDatabaseOptions(options),
    server: url?.server ?? null,
    client: client === undefined ? null : checkClient(client),
    pgliteDataDir: pgliteDataDir === undefined ? null : resolveDataDir(pgliteDataDir),
    pglite: pglite === undefined ? null : checkPglite(pglite),
    schema: identifier("options.schema", schema, 63),
    poolSize: integer("options.poolSize", poolSize, 1, 10_000, "connections"),
    connectTimeoutMs: timeout("options.connectTimeoutMs", connectTimeoutMs),
    idleTimeoutMs: timeout("options.idleTimeoutMs", idleTimeoutMs),
    prepare: boolean("options.prepare", prepare),
    ssl: ssl === undefined ? null : checkTls(ssl),
  };
}

function checkClient(value: unknown): PostgresClient {
  const client = value as PostgresClient;
  if (typeof value === "function" && typeof client.unsafe === "function" && typeof client.begin === "function")
    return client;
  throw invalidArgument("options.client", "a postgres.js client", value);
}

/** Makes a path absolute at once: the program may change its working directory before the first call. */
function resolveDataDir(value: unknown): string {
  const field = "options.pgliteDataDir";
  const path = string(field, value);
  if (path === IN_MEMORY) return path;
  const refuse = (got: string) =>
    new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be a folder's path, or ${IN_MEMORY}, got ${got}`);
  // Of a URL only the scheme is shown: that of a server has a password. One letter is a drive of Windows.
  const scheme = /^\s*[a-z][a-z0-9+.-]+:/i.exec(path)?.[0].trim();
  if (scheme !== undefined) throw refuse(`a URL (${scheme})`);
  if (path.startsWith("~")) throw refuse("~, which only a shell replaces");
  if (/^["']|:\/\/|\bpassword=/i.test(path)) throw refuse("a text with quotes, a URL or a password in it");
  if (path.trim() !== path || path === "" || path.includes("\0"))
    throw invalidArgument(field, "a path without spaces around it", path);
  return resolve(path);
}

function checkPglite(value: unknown): PgliteDatabase {
  const isPglite =
    typeof property(value, "query") === "function" && typeof property(value, "transaction") === "function";
  if (!isPglite) throw invalidArgument("options.pglite", "a PGlite", value);
  return value as PgliteDatabase;
}

function checkTls(value: unknown): PostgresTls {
  if (typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) return oneOf("options.ssl", value, TLS_WORDS);
  checkTlsOptions("options.ssl", value);
  return value as PostgresTls;
}
