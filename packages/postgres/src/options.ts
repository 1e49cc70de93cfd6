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
  type ResolvedDatabaseOptions,
  refuseUndefined,
  resolveDatabaseOptions,
  STORAGE_OPTIONS,
  timeout,
} from "@waymark/core/kit";
import { parseUrl, type ServerUrl } from "./url.ts";

/** A postgres.js client. Structural: its version may differ from this package's. */
export interface PostgresClient {
  unsafe(query: string, parameters?: never[]): unknown;
  begin(options: string, work: never): Promise<unknown>;
  end(options?: { timeout?: number }): Promise<void>;
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
  /** Where to connect to; `null` beside `client`. */
  readonly server: ServerUrl | null;
  readonly client: PostgresClient | null;
  readonly schema: string;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly prepare: boolean;
  readonly ssl: PostgresTls | null;
}

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
  const { connectionString, client, ssl } = options;
  if (client === undefined && connectionString === undefined && "connectionString" in options) {
    throw invalidArgument(
      "options.connectionString",
      "a URL that starts with postgres:// or postgresql:// (is the environment variable set?)",
      undefined,
    );
  }
  if ((client === undefined) === (connectionString === undefined)) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have either connectionString or client");
  }
  if (client !== undefined) {
    for (const name of ["poolSize", "connectTimeoutMs", "idleTimeoutMs", "ssl"] as const) {
      if (options[name] !== undefined)
        throw invalidWord(`options.${name}`, "absent beside options.client", options[name]);
    }
  }
  const url = connectionString === undefined ? null : parseUrl("options.connectionString", connectionString);
  const { schema = url?.options.schema ?? "public", poolSize = url?.options.poolSize ?? defaultPoolSize(20) } = options;
  const { connectTimeoutMs = url?.options.connectTimeoutMs ?? 5_000 } = options;
  const { idleTimeoutMs = url?.options.idleTimeoutMs ?? 30_000, prepare = url?.options.prepare ?? false } = options;
  return {
    ...resolveDatabaseOptions(options),
    server: url?.server ?? null,
    client: client === undefined ? null : checkClient(client),
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

function checkTls(value: unknown): PostgresTls {
  if (typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) return oneOf("options.ssl", value, TLS_WORDS);
  checkTlsOptions("options.ssl", value);
  return value as PostgresTls;
}
