import {
  type CheckpointStorage,
  type CommonStorageOptions,
  createRegistry,
  openCheckpointStorage,
  type WaymarkConfig,
} from "@waymark/core";
import { createMySQLStorage, type MySQLStorageOptions } from "@waymark/mysql";
import { createPostgresStorage, type PostgresStorageOptions } from "@waymark/postgres";
import { createCheckpointStorage, createSQLiteStorage, type SQLiteStorageOptions } from "@waymark/sqlite";
import { expect, it } from "vitest";

/** For each option whether `undefined` counts as left out. `tsc` compares that with the type, and the tests with the check. */
type TakesUndefined<Options> = {
  readonly [Name in keyof Options]-?: undefined extends Required<Options>[Name] ? true : false;
};
type NonNull<Options> = Exclude<Options, null | undefined>;
type Config = NonNull<WaymarkConfig["checkpoint"]>;

const COMMON: TakesUndefined<CommonStorageOptions> = {
  operationTimeoutMs: true,
  migrate: true,
  cacheBytes: true,
  freeze: true,
  parse: false,
  indexedLabels: true,
  indexedNames: true,
  retry: true,
  circuit: true,
  encryption: false,
  tablePrefix: true,
};

const RETRY: TakesUndefined<NonNull<CommonStorageOptions["retry"]>> = {
  maxRetries: true,
  baseDelayMs: true,
  maxDelayMs: true,
  jitterMaxMs: true,
};

const CIRCUIT: TakesUndefined<NonNull<CommonStorageOptions["circuit"]>> = {
  failureThreshold: true,
  resetTimeoutMs: true,
  halfOpenMaxAttempts: true,
};

const ENCRYPTION: TakesUndefined<NonNull<CommonStorageOptions["encryption"]>> = { keys: false, migrate: true };

const SQLITE: TakesUndefined<SQLiteStorageOptions> = {
  ...COMMON,
  type: true,
  databasePath: true,
  database: true,
  driver: true,
  synchronous: true,
  busyTimeoutMs: true,
  nativeBinding: true,
};

const POSTGRES: TakesUndefined<PostgresStorageOptions> = {
  ...COMMON,
  type: true,
  connectionString: true,
  client: true,
  pgliteDataDir: true,
  pglite: true,
  schema: true,
  poolSize: true,
  connectTimeoutMs: true,
  idleTimeoutMs: true,
  prepare: true,
  ssl: false,
};

const MYSQL: TakesUndefined<MySQLStorageOptions> = {
  ...COMMON,
  type: true,
  connectionString: true,
  pool: true,
  poolSize: true,
  connectTimeoutMs: true,
  idleTimeoutMs: true,
  ssl: false,
};

const OPEN: TakesUndefined<NonNull<Parameters<typeof openCheckpointStorage>[0]>> = {
  configFile: false,
  cwd: true,
  config: false,
  registry: true,
  parse: false,
  env: true,
};

const CONFIG: TakesUndefined<Config> = {
  providers: false,
  retention: true,
  replication: true,
  failover: true,
  staleReads: true,
  reconcile: true,
  tombstoneRetentionMs: true,
};

const RETENTION: TakesUndefined<NonNull<Config["retention"]>> = {
  dropAgentsIdleForMs: true,
  keepLast: false,
  keepWithinMs: false,
  keepEvery: false,
  keepMetadata: false,
  batchSize: true,
  everyMs: true,
};

/** Makes a storage of a given option: beside it is what makes the options whole, unless the option itself does. */
type Make = (given: object) => CheckpointStorage | Promise<CheckpointStorage>;

const method = () => {};
const HANDLE = { prepare: method, exec: method, pragma: method };
const CLIENT = Object.assign(() => {}, { unsafe: method, begin: async () => {}, end: async () => {} });
const sqlite: Make = (given) => createSQLiteStorage({ databasePath: ":memory:", ...given });
const sqliteHandle: Make = (given) => createSQLiteStorage({ database: HANDLE, ...given });
const postgres: Make = (given) => createPostgresStorage({ connectionString: "postgres://user@host/name", ...given });
const postgresClient: Make = (given) => createPostgresStorage({ client: CLIENT, ...given });
const mysql: Make = (given) => createMySQLStorage({ connectionString: "mysql://user@host/name", ...given });
const mysqlPool: Make = (given) =>
  createMySQLStorage({ pool: { getConnection: method, query: method, end: method }, ...given });

const KEY = "00".repeat(32);
const KEYS = { current: "a", keys: { a: KEY }, digestKey: KEY };
const CONFIGURED = { providers: { main: { type: "sqlite", databasePath: ":memory:" } } };
/** Two ways to find the package of a type: one of them is left out where `undefined` takes its place. */
const PACKAGES = { cwd: import.meta.dirname, registry: createRegistry() };
PACKAGES.registry.register("sqlite", createCheckpointStorage);
const open: Make = (given) => openCheckpointStorage({ ...PACKAGES, env: { WAYMARK_URL: "file::memory:" }, ...given });
const configured: Make = (given) =>
  openCheckpointStorage({ ...PACKAGES, config: { checkpoint: { ...CONFIGURED, ...given } } });

const TABLES: readonly [string, Readonly<Record<string, boolean>>, Make][] = [
  ["SQLite's", without(SQLITE, "databasePath"), sqlite],
  ["SQLite's", { databasePath: SQLITE.databasePath }, sqliteHandle],
  ["PostgreSQL's", without(POSTGRES, "connectionString"), postgres],
  ["PostgreSQL's", { connectionString: POSTGRES.connectionString }, postgresClient],
  ["MySQL's", without(MYSQL, "connectionString"), mysql],
  ["MySQL's", { connectionString: MYSQL.connectionString }, mysqlPool],
  ["retry", RETRY, (retry) => sqlite({ retry })],
  ["circuit", CIRCUIT, (circuit) => sqlite({ circuit })],
  ["encryption", ENCRYPTION, (encryption) => sqlite({ encryption: { keys: KEYS, ...encryption } })],
  ["openCheckpointStorage's", OPEN, open],
  ["a config's", CONFIG, configured],
  ["retention", RETENTION, (given) => configured({ retention: { dropAgentsIdleForMs: 1, keepLast: 1, ...given } })],
];

it.each(
  TABLES.flatMap(([of, table, make]) => Object.entries(table).map(([name, isTaken]) => ({ of, name, isTaken, make }))),
)(
  "undefined counts as left out where the type takes it, and is refused elsewhere: $of $name",
  async ({ name, isTaken, make }) => {
    const making = (async () => await make({ [name]: undefined }))();
    if (isTaken) await (await making).close();
    else await expect(making).rejects.toThrow(new RegExp(`\\b${name}\\b.*, got (?:undefined|none)$`));
  },
);

function without(table: Readonly<Record<string, boolean>>, name: string): Readonly<Record<string, boolean>> {
  return Object.fromEntries(Object.entries(table).filter(([option]) => option !== name));
}
