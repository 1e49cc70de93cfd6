import { CheckpointError, type CommonStorageOptions } from "@waymark/core";
import {
  boolean,
  COMMON_OPTIONS,
  defaultPoolSize,
  identifier,
  integer,
  invalidArgument,
  members,
  oneOf,
  type ResolvedCommonOptions,
  resolveCommonOptions,
  string,
  timeout,
} from "@waymark/core/kit";

/** A postgres.js client, as far as its type matters to users: so its version may differ from ours. */
export interface PostgresClient {
  unsafe(query: string, parameters?: never[]): unknown;
  begin(work: never): Promise<unknown>;
  end(options?: { timeout?: number }): Promise<void>;
}

/** TLS, as node:tls takes it, or as libpq's `sslmode` says it. */
export type PostgresTls = boolean | "require" | "allow" | "prefer" | "verify-full" | Readonly<Record<string, unknown>>;

export interface PostgresStorageOptions extends CommonStorageOptions {
  /** What a config file says; here it may be left out. */
  readonly type?: "postgres";
  /** `postgres://user:password@host:5432/database?sslmode=require` */
  readonly connectionString?: string | undefined;
  /** Instead of `connectionString`: a postgres.js client of your own. We never end it, nor change how it reads dates. */
  readonly client?: PostgresClient;
  /** Where our tables are: made by migrations if it is not there. Default `"public"`, whatever the search path is. */
  readonly schema?: string;
  /** How many connections at most. Default 20; where tests run (`NODE_ENV=test`, Vitest) 2. */
  readonly poolSize?: number;
  /** How long a connection may take to be made, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** After how long an idle connection is given back, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /**
   * Prepare statements once per connection. Faster by a round trip; not for poolers in transaction mode that do not
   * track prepared statements (pgbouncer before 1.21). Default `false`.
   */
  readonly prepare?: boolean;
  /** TLS, where the URL does not say it. Default: as the URL says. */
  readonly ssl?: PostgresTls;
}

declare module "@waymark/core" {
  interface ProviderTypes {
    readonly postgres: PostgresStorageOptions;
  }
}

const NAMES = [
  "type",
  "connectionString",
  "client",
  "schema",
  "poolSize",
  "connectTimeoutMs",
  "idleTimeoutMs",
  "prepare",
  "ssl",
  ...COMMON_OPTIONS,
] as const;

/** The options with their defaults: inside, nothing is optional. */
export interface ResolvedOptions extends ResolvedCommonOptions {
  readonly connectionString: string | null;
  readonly client: PostgresClient | null;
  readonly schema: string;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly prepare: boolean;
  readonly ssl: PostgresTls | null;
}

export function resolveOptions(value: PostgresStorageOptions): ResolvedOptions {
  const options = members("options", value, NAMES);
  oneOf("options.type", options.type ?? "postgres", ["postgres"]);
  const { connectionString, client, schema = "public", poolSize = defaultPoolSize(20) } = options;
  const { connectTimeoutMs = 5_000, idleTimeoutMs = 30_000, prepare = false, ssl } = options;
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
        throw invalidArgument(`options.${name}`, "absent beside options.client", options[name]);
    }
  }
  return {
    ...resolveCommonOptions(options),
    connectionString: connectionString === undefined ? null : url(connectionString),
    client: client === undefined ? null : clientOf(client),
    schema: identifier("options.schema", schema, 63),
    poolSize: integer("options.poolSize", poolSize, 1, 10_000, "connections"),
    connectTimeoutMs: timeout("options.connectTimeoutMs", connectTimeoutMs),
    idleTimeoutMs: timeout("options.idleTimeoutMs", idleTimeoutMs),
    prepare: boolean("options.prepare", prepare),
    ssl: ssl === undefined ? null : tls(ssl),
  };
}

/** Never shown in a message: it holds a password. */
function url(value: unknown): string {
  const checked = string("options.connectionString", value);
  if (/^postgres(ql)?:\/\/./.test(checked)) return checked;
  throw invalidArgument("options.connectionString", "a URL that starts with postgres:// or postgresql://", value);
}

function clientOf(value: unknown): PostgresClient {
  const client = value as PostgresClient;
  if (typeof value === "function" && typeof client.unsafe === "function" && typeof client.begin === "function")
    return client;
  throw invalidArgument("options.client", "a postgres.js client", value);
}

function tls(value: unknown): PostgresTls {
  if (typeof value === "boolean" || (typeof value === "object" && value !== null)) return value as PostgresTls;
  return oneOf("options.ssl", value, ["require", "allow", "prefer", "verify-full"]);
}
