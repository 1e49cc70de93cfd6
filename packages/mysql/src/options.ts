import { CheckpointError, type CommonStorageOptions, type DatabaseOptions } from "@waymark/core";
import {
  checkTlsOptions,
  DATABASE_OPTIONS,
  defaultPoolSize,
  integer,
  invalidArgument,
  invalidWord,
  type ObjectWithKeys,
  objectWithKeys,
  oneOf,
  type ResolvedDatabaseOptions,
  refuseUndefined,
  resolveDatabaseOptions,
  STORAGE_OPTIONS,
  timeout,
} from "@waymark/core/kit";
import { parseUrl, type ServerUrl } from "./url.ts";

/** A mysql2 pool, of `mysql2` or `mysql2/promise`. Structural: its version may differ from this package's. */
export interface MySQLPool {
  getConnection(...callback: never[]): unknown;
  query(...query: never[]): unknown;
  end(...callback: never[]): unknown;
}

/** TLS: mysql2's options; `true` asks for TLS with a certificate that can be verified. */
export type MySQLTls = boolean | Readonly<Record<string, unknown>>;

/** Options of a MySQL or MariaDB database, whatever is stored in it. */
export interface MySQLDatabaseOptions extends DatabaseOptions {
  /** The name of this dialect, as config files have it. May be left out here. */
  readonly type?: "mysql" | undefined;
  /**
   * `mysql://user:password@host:3306/database?ssl-mode=REQUIRED`, for MySQL and MariaDB alike. Its parameters: see the README. An
   * option wins over a parameter.
   */
  readonly connectionString?: string | undefined;
  /** Instead of `connectionString`: a mysql2 pool of your own. It is never ended here. */
  readonly pool?: MySQLPool | undefined;
  /** Maximum number of connections. Default 20; where tests run (`NODE_ENV=test`, Vitest) 2. */
  readonly poolSize?: number | undefined;
  /** Longest time to make a connection, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Idle time after which a connection is closed, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** TLS, whatever the URL says. Default: as the URL says, otherwise none. `undefined` is refused: the connection might be in plain text. */
  readonly ssl?: MySQLTls;
}

export interface MySQLStorageOptions<State = unknown> extends CommonStorageOptions<State>, MySQLDatabaseOptions {}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly mysql: MySQLStorageOptions;
  }
}

const KEYS = [
  "type",
  "connectionString",
  "pool",
  "poolSize",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "ssl",
  ...DATABASE_OPTIONS,
] as const;

/** The options of the database, checked and with their defaults: nothing is optional. */
export interface ResolvedOptions extends ResolvedDatabaseOptions {
  /** Where to connect to; `null` beside `pool`. */
  readonly server: ServerUrl | null;
  readonly pool: MySQLPool | null;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly ssl: MySQLTls | null;
}

/**
 * Checks the options of the database.
 * @param domainOptions names of the options of what is stored in it, which are checked there. Default: those of checkpoints.
 */
export function resolveOptions(
  value: MySQLDatabaseOptions,
  domainOptions: readonly string[] = STORAGE_OPTIONS,
): ResolvedOptions {
  const names = [...new Set([...KEYS, ...domainOptions])];
  const options: ObjectWithKeys<(typeof KEYS)[number]> = objectWithKeys("options", value, names);
  refuseUndefined("options", options, ["ssl"]);
  oneOf("options.type", options.type ?? "mysql", ["mysql"]);
  const { connectionString, pool, ssl } = options;
  if (pool === undefined && connectionString === undefined && "connectionString" in options) {
    throw invalidArgument(
      "options.connectionString",
      "a URL that starts with mysql:// or mariadb:// (is the environment variable set?)",
      undefined,
    );
  }
  if ((pool === undefined) === (connectionString === undefined)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have either connectionString or pool");
  }
  if (pool !== undefined) {
    for (const name of ["poolSize", "connectTimeoutMs", "idleTimeoutMs", "ssl"] as const) {
      if (options[name] !== undefined)
        throw invalidWord(`options.${name}`, "absent beside options.pool", options[name]);
    }
  }
  const url = connectionString === undefined ? null : parseUrl("options.connectionString", connectionString);
  const {
    poolSize = url?.options.poolSize ?? defaultPoolSize(20),
    connectTimeoutMs = url?.options.connectTimeoutMs ?? 5_000,
    idleTimeoutMs = url?.options.idleTimeoutMs ?? 30_000,
  } = options;
  return {
    ...resolveDatabaseOptions(options),
    server: url?.server ?? null,
    pool: pool === undefined ? null : checkPool(pool),
    poolSize: integer("options.poolSize", poolSize, 1, 10_000, "connections"),
    connectTimeoutMs: timeout("options.connectTimeoutMs", connectTimeoutMs),
    idleTimeoutMs: timeout("options.idleTimeoutMs", idleTimeoutMs),
    ssl: ssl === undefined ? null : checkTls(ssl),
  };
}

function checkPool(value: unknown): MySQLPool {
  const pool = value as MySQLPool;
  if (typeof value === "object" && value !== null && typeof pool.getConnection === "function") return pool;
  throw invalidArgument("options.pool", "a mysql2 pool", value);
}

function checkTls(value: unknown): MySQLTls {
  if (typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) {
    throw invalidArgument("options.ssl", "a boolean or an object for mysql2", value);
  }
  checkTlsOptions("options.ssl", value);
  return value as MySQLTls;
}
