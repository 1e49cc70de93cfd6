import { CheckpointError, type CommonStorageOptions } from "@waymark/core";
import {
  COMMON_OPTIONS,
  defaultPoolSize,
  integer,
  invalidArgument,
  members,
  oneOf,
  type ResolvedCommonOptions,
  resolveCommonOptions,
  string,
  timeout,
} from "@waymark/core/kit";

/** A mysql2 pool (of `mysql2` or `mysql2/promise`), as far as its type matters to users: its version may differ from ours. */
export interface MySQLPool {
  getConnection(...callback: never[]): unknown;
  query(...query: never[]): unknown;
  end(...callback: never[]): unknown;
}

/** TLS as mysql2 takes it; `true` asks for it, and for a certificate that can be verified. */
export type MySQLTls = boolean | Readonly<Record<string, unknown>>;

export interface MySQLStorageOptions extends CommonStorageOptions {
  /** What a config file says; here it may be left out. */
  readonly type?: "mysql";
  /** `mysql://user:password@host:3306/database`, for MySQL and MariaDB alike. */
  readonly connectionString?: string | undefined;
  /** Instead of `connectionString`: a mysql2 pool of your own. We never end it. */
  readonly pool?: MySQLPool;
  /** How many connections at most. Default 20; where tests run (`NODE_ENV=test`, Vitest) 2. */
  readonly poolSize?: number;
  /** How long a connection may take to be made, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** After how long an idle connection is given back, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** TLS, where the URL does not say it. Default: as the URL says. */
  readonly ssl?: MySQLTls;
}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly mysql: MySQLStorageOptions;
  }
}

const NAMES = [
  "type",
  "connectionString",
  "pool",
  "poolSize",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "ssl",
  ...COMMON_OPTIONS,
] as const;

/** The options with their defaults: inside, nothing is optional. */
export interface ResolvedOptions extends ResolvedCommonOptions {
  readonly connectionString: string | null;
  readonly pool: MySQLPool | null;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly ssl: MySQLTls | null;
}

export function resolveOptions(value: MySQLStorageOptions): ResolvedOptions {
  const options = members("options", value, NAMES);
  oneOf("options.type", options.type ?? "mysql", ["mysql"]);
  const {
    connectionString,
    pool,
    poolSize = defaultPoolSize(20),
    connectTimeoutMs = 5_000,
    idleTimeoutMs = 30_000,
    ssl,
  } = options;
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
        throw invalidArgument(`options.${name}`, "absent beside options.pool", options[name]);
    }
  }
  return {
    ...resolveCommonOptions(options),
    connectionString: connectionString === undefined ? null : url(connectionString),
    pool: pool === undefined ? null : poolOf(pool),
    poolSize: integer("options.poolSize", poolSize, 1, 10_000, "connections"),
    connectTimeoutMs: timeout("options.connectTimeoutMs", connectTimeoutMs),
    idleTimeoutMs: timeout("options.idleTimeoutMs", idleTimeoutMs),
    ssl: ssl === undefined ? null : tls(ssl),
  };
}

/** Never shown in a message: it holds a password. */
function url(value: unknown): string {
  const checked = string("options.connectionString", value);
  if (/^(mysql|mariadb):\/\/./.test(checked)) return checked;
  throw invalidArgument("options.connectionString", "a URL that starts with mysql:// or mariadb://", value);
}

function poolOf(value: unknown): MySQLPool {
  const pool = value as MySQLPool;
  if (typeof value === "object" && value !== null && typeof pool.getConnection === "function") return pool;
  throw invalidArgument("options.pool", "a mysql2 pool", value);
}

function tls(value: unknown): MySQLTls {
  if (typeof value === "boolean" || (typeof value === "object" && value !== null)) return value as MySQLTls;
  throw invalidArgument("options.ssl", "a boolean or an object for mysql2", value);
}
