import { randomBytes } from "node:crypto";
import type {
  EncryptionTarget,
  FaultTarget,
  LimitedUser,
  MigrationTarget,
  PoolTarget,
  SecretTarget,
} from "@waymark/conformance";
import type { Dialect } from "@waymark/core/kit";
import {
  type CheckpointStorage,
  countEncryptionKeys,
  createPostgresStorage,
  type NamedAgentCheckpoint,
  type PostgresClient,
  type PostgresStorageOptions,
  reencryptCheckpoints,
} from "@waymark/postgres";
import postgres, { type Options, type Sql, type TransactionSql } from "postgres";
import { inject, onTestFinished } from "vitest";
import {
  createDatabase,
  killable,
  killConnections,
  startProxy,
  startServer,
  type TestDatabase,
} from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { migrations } from "../src/checkpoints/migrations.ts";
import { shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";

/** Returns the administrator's URL of the server that all test files share. */
export function sharedServer(): string {
  const server = inject("waymarkServers").postgres;
  if (server === undefined)
    throw new TypeError("expected a PostgreSQL server: are these tests run by their vitest.config.ts?");
  return server.url;
}

/** Returns the administrator's URL of the server with pgvector that all test files share. */
export function vectorServer(): string {
  const server = inject("waymarkServers")["postgres-vector"];
  if (server === undefined) throw new TypeError("expected a PostgreSQL server with pgvector");
  return server.url;
}

/** Makes an empty database, until the test is over. */
export async function emptyDatabase(serverUrl = sharedServer()): Promise<TestDatabase> {
  const database = await createDatabase(serverUrl);
  onTestFinished(() => database.drop());
  return database;
}

/** Makes a storage, until the test is over. */
export function open(options: PostgresStorageOptions): CheckpointStorage {
  const storage = createPostgresStorage({ operationTimeoutMs: 20_000, ...options });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

/** Makes a dialect that is not open yet. */
export function createDialect(options: PostgresStorageOptions): Dialect {
  const resolved = resolveOptions(options);
  return createCheckpointDialect(shareConnection(resolved).share(), resolved);
}

/** Makes a client beside the storages, until the test is over. */
export function connect(url: string, options: Options<Record<string, never>> = {}): Sql {
  const client = postgres(url, { max: 1, fetch_types: false, onnotice: () => {}, ...options });
  onTestFinished(() => client.end({ timeout: 0 }));
  return client;
}

/** Runs statements in turn on a connection of their own, and returns the rows of the last. */
export async function run(url: string, ...statements: readonly string[]): Promise<Record<string, unknown>[]> {
  const client = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows = [...(await client.unsafe(statement))];
    return rows;
  } finally {
    await client.end({ timeout: 0 });
  }
}

/** Wraps a client, to hand it in: the statements that are sent on it, with their parameters, and the transactions, are recorded. */
export function recordingClient(client: Sql) {
  const sent: [text: string, parameters: readonly unknown[]][] = [];
  let transactions = 0;
  const unsafeOn =
    (one: Sql | TransactionSql) =>
    (text: string, parameters: never[] = [], options = {}) => {
      sent.push([text, parameters]);
      return one.unsafe(text, parameters, options);
    };
  const recording = Object.assign(() => {}, {
    begin(isolation: string, work: (transaction: TransactionSql) => Promise<unknown>) {
      transactions++;
      return client.begin(isolation, (transaction) =>
        work(Object.assign(() => {}, { unsafe: unsafeOn(transaction) }) as never),
      );
    },
    end: client.end,
    unsafe: unsafeOn(client),
  });
  return { client: recording as unknown as PostgresClient, sent, transactions: () => transactions };
}

/** Makes a role that may only log in, until the test is over, and the database's URL for it. */
export async function plainRole(database: TestDatabase): Promise<{ name: string; url: string }> {
  const { drop, ...role } = await createRole(database);
  onTestFinished(drop);
  return role;
}

/** Makes a role that may only log in, and the database's URL for it. */
export async function createRole(database: Pick<TestDatabase, "url">) {
  const name = `waymark_role_${randomBytes(6).toString("hex")}`;
  await run(database.url, `create role ${name} login`);
  const url = new URL(database.url);
  url.username = name;
  const drop = async () => void (await run(database.url, `drop owned by ${name} cascade`, `drop role ${name}`));
  return { name, url: url.href, drop };
}

/** A role that may use the tables but not create any: everybody may create tables in `public` before PostgreSQL 15. */
async function createLimitedUser(database: Pick<TestDatabase, "url">): Promise<LimitedUser> {
  const { name, url, drop } = await createRole(database);
  await run(database.url, "revoke create on schema public from public");
  const grants = [
    `grant select, insert, update, delete on agent_checkpoints, agent_checkpoint_settings to ${name}`,
    `grant select on waymark_migrations to ${name}`,
  ];
  return { url, grant: async () => void (await run(database.url, ...grants)), drop };
}

export function checkpoint(members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId: "agent", name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...members };
}

/** Reads the names in a history, as the administrator. */
export async function readHistory(url: string, table = "waymark_migrations"): Promise<string[]> {
  return (await run(url, `select name from ${table} order by name`)).map(({ name }) => String(name));
}

/** Only Linux can kill and pause a server, see test/servers. */
const isLinux = process.platform === "linux";

/** Makes a database on a server of its own that asks its user for a password, and nobody else. */
async function createDatabaseWithPassword() {
  const server = await startServer("postgres", { from: killable });
  const { name, url } = await createDatabase(server.url, { ownUser: true });
  const [file] = await run(server.url, "select current_setting('hba_file') as path");
  const path = String(file?.["path"]);
  await run(
    server.url,
    `copy (values ('host all ${name} all scram-sha-256'), ('host all all all trust')) to program 'cat > ${path}.new'`,
    `copy (select '') to program 'mv ${path}.new ${path}'`,
    "select pg_reload_conf()",
  );
  const wrong = new URL(url);
  wrong.password = "wrong";
  const isAccepted = () =>
    run(wrong.href, "select 1").then(
      () => true,
      () => false,
    );
  while (await isAccepted()); // until it has read the file
  return { name, url, drop: () => server.stop() };
}

export const target: FaultTarget & EncryptionTarget & MigrationTarget & PoolTarget & SecretTarget = {
  name: "PostgreSQL",
  url: sharedServer(),
  // The build beside these sources: Node cannot run TypeScript everywhere.
  module: new URL("../dist/index.js", import.meta.url).href,
  open: createPostgresStorage,
  createDatabase,
  startProxy,
  run,
  ...(isLinux && { startServer: () => startServer("postgres", { from: killable }), createDatabaseWithPassword }),
  endConnections: (serverUrl, { name }) => killConnections(serverUrl, name),
  setReadOnly: (serverUrl, { name }, on) =>
    run(serverUrl, `alter database ${name} set default_transaction_read_only = ${on}`),
  readNames: async (url) =>
    (await run(url, "select id::text, name from agent_checkpoints")).map(({ id, name }) => [String(id), String(name)]),
  reencrypt: reencryptCheckpoints,
  countKeys: countEncryptionKeys,
  findFolder: async (url) => String((await run(url, "checkpoint", "show data_directory"))[0]?.["data_directory"]),
  migrations: migrations.map(({ name }) => name),
  listTables: async (url) =>
    (await run(url, "select tablename from pg_tables where schemaname = 'public'")).map(({ tablename }) =>
      String(tablename),
    ),
  createLimitedUser,
  foreignObjects: [
    ["create table agent_checkpoint_writes (n integer)", "agent_checkpoint_writes"],
    ["create view agent_checkpoints as select 1 as n", "agent_checkpoints"],
    ["create table t (n integer); create index agent_checkpoints_by_agent on t (n)", "agent_checkpoints_by_agent"],
    ["create type agent_checkpoints as (n integer)", "agent_checkpoints"],
    ["create table waymark_migrations (id integer)", "waymark_migrations"],
  ],
  countConnections: async ({ url, name }) => {
    const [row] = await run(
      url,
      `select count(*)::int as connections from pg_stat_activity where datname = '${name}' and application_name = 'waymark'`,
    );
    return Number(row?.["connections"]);
  },
  // The shared server trusts everybody, whatever the password is.
  withPassword: async (database, password) => {
    const url = new URL(database.url);
    url.password = password;
    return url.href;
  },
  literal: (id) => `uuid '${id}'`,
  shortenNames: "alter table agent_checkpoints alter column name type varchar(3)",
  tooLongCode: "DATABASE_ERROR",
};
