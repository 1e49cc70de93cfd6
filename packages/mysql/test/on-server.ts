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
  createMySQLStorage,
  type MySQLStorageOptions,
  type NamedAgentCheckpoint,
  reencryptCheckpoints,
} from "@waymark/mysql";
import { type Connection, type ConnectionOptions, createConnection, type RowDataPacket } from "mysql2/promise";
import { inject, onTestFinished } from "vitest";
import {
  createDatabase,
  killable,
  killConnections,
  type ServerKind,
  startProxy,
  startServer,
  type TestDatabase,
} from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { createCheckpointDialect } from "../src/checkpoints/dialect.ts";
import { migrations } from "../src/checkpoints/migrations.ts";
import { shareConnection } from "../src/database.ts";
import { resolveOptions } from "../src/options.ts";

export interface TestServer {
  readonly kind: ServerKind;
  readonly title: string;
  /** Administrator's URL. */
  readonly url: string;
  /** The server as the suites for servers want it. */
  readonly target: FaultTarget & EncryptionTarget & MigrationTarget & PoolTarget & SecretTarget;
}

/** The servers that all test files share, MySQL proper first. */
export const servers: readonly TestServer[] = (["mysql", "mariadb"] as const).flatMap((kind) => {
  const server = inject("waymarkServers")[kind];
  const title = { mysql: "MySQL", mariadb: "MariaDB" }[kind];
  return server === undefined ? [] : [{ kind, title, url: server.url, target: newTarget(kind, title, server.url) }];
});
if (servers.length === 0)
  throw new TypeError("expected MySQL or MariaDB: are these tests run by their vitest.config.ts?");

/** The servers for tests of the driver and the network, which are alike on both: both in `npm run test:all`, else the first. */
export const serversOfDriver: readonly TestServer[] = process.env["WAYMARK_TEST_ALL"] ? servers : servers.slice(0, 1);

/** Makes an empty database, until the test is over. */
export async function emptyDatabase(serverUrl: string): Promise<TestDatabase> {
  const database = await createDatabase(serverUrl);
  onTestFinished(() => database.drop());
  return database;
}

/** Makes a storage, until the test is over. */
export function open(options: MySQLStorageOptions): CheckpointStorage {
  const storage = createMySQLStorage({ operationTimeoutMs: 20_000, ...options });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

/** Makes a dialect that is not open yet. */
export function createDialect(options: MySQLStorageOptions): Dialect {
  const resolved = resolveOptions(options);
  return createCheckpointDialect(shareConnection(resolved).share(), resolved);
}

/** Makes a connection beside the storages, until the test is over. */
export async function connect(url: string, options: ConnectionOptions = {}): Promise<Connection> {
  const connection = await createConnection({ uri: url, ...options });
  connection.on("error", () => {});
  onTestFinished(() => connection.destroy());
  return connection;
}

/** Runs statements in turn on a connection of their own, and returns the rows of the last. */
export async function run(url: string, ...statements: readonly string[]): Promise<Record<string, unknown>[]> {
  const connection = await createConnection({ uri: url });
  try {
    let rows: unknown;
    for (const statement of statements) [rows] = await connection.query<RowDataPacket[]>(statement);
    return Array.isArray(rows) ? rows.map((row) => ({ ...row })) : [];
  } finally {
    connection.destroy();
  }
}

/** Makes a user who may only log in, with the password `right`, until the test is over, and the database's URL for it. */
export async function plainUser(database: Pick<TestDatabase, "url">): Promise<{ name: string; url: string }> {
  const { drop, ...user } = await createUser(database);
  onTestFinished(drop);
  return user;
}

async function createUser(database: Pick<TestDatabase, "url">) {
  const name = `waymark_${randomBytes(6).toString("hex")}`;
  await run(database.url, `create user ${name} identified by 'right'`);
  const url = new URL(database.url);
  url.username = name;
  url.password = "right";
  return { name, url: url.href, drop: async () => void (await run(database.url, `drop user ${name}`)) };
}

/** A user who may use tables but not create any: with less, MySQL does not even select the database. */
async function createLimitedUser(database: Pick<TestDatabase, "name" | "url">): Promise<LimitedUser> {
  const { name, url, drop } = await createUser(database);
  await run(database.url, `grant select, insert, update, delete on ${database.name}.* to ${name}`);
  return { url, grant: async () => {}, drop };
}

/** Returns the database's URL for a new user with this password, who may do everything there. */
async function withPassword(database: Pick<TestDatabase, "name" | "url">, password: string): Promise<string> {
  const user = await plainUser(database);
  await run(
    database.url,
    `alter user ${user.name} identified by '${password}'`,
    `grant all on ${database.name}.* to ${user.name}`,
  );
  const url = new URL(user.url);
  url.password = password;
  return url.href;
}

export function checkpoint(members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId: "agent", name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...members };
}

/** Reads the names in a history, as the administrator. */
export async function readHistory(url: string, table = "waymark_migrations"): Promise<string[]> {
  return (await run(url, `select name from ${table} order by name`)).map(({ name }) => String(name));
}

function literal(id: string): string {
  return `x'${id.replaceAll("-", "")}'`;
}

function withHyphens(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function newTarget(kind: ServerKind, name: string, url: string): TestServer["target"] {
  return {
    name,
    url,
    // The build beside these sources: Node cannot run TypeScript everywhere.
    module: new URL("../dist/index.js", import.meta.url).href,
    open: createMySQLStorage,
    createDatabase,
    startProxy,
    run,
    // Only Linux can kill and pause a server, see test/servers.
    ...(process.platform === "linux" && { startServer: () => startServer(kind, { from: killable }) }),
    endConnections: (serverUrl, database) => killConnections(serverUrl, database.name),
    setReadOnly: (serverUrl, _, on) =>
      run(serverUrl, `set global ${kind === "mariadb" ? "tx_read_only" : "transaction_read_only"} = ${on ? 1 : 0}`),
    readNames: async (databaseUrl) => {
      const text = "select lower(hex(id)) as id, cast(name as char) as name from agent_checkpoints";
      return (await run(databaseUrl, text)).map((row) => [withHyphens(String(row["id"])), String(row["name"])]);
    },
    reencrypt: reencryptCheckpoints,
    countKeys: countEncryptionKeys,
    findFolder: async (databaseUrl) => String((await run(databaseUrl, "select @@datadir as folder"))[0]?.["folder"]),
    migrations: migrations.map((migration) => migration.name),
    listTables: async (databaseUrl) =>
      (await run(databaseUrl, "show tables")).map((row) => String(Object.values(row)[0])),
    createLimitedUser,
    foreignObjects: [
      ["create table agent_checkpoint_writes (n integer)", "agent_checkpoint_writes"],
      ["create view agent_checkpoints as select 1 as n", "agent_checkpoints"],
      [
        "create table t (n integer primary key, m integer, constraint agent_checkpoints_base_fk foreign key (m) references t (n))",
        "agent_checkpoints_base_fk",
      ],
      ["create table waymark_migrations (id integer)", "waymark_migrations"],
    ],
    countConnections: async (database) =>
      (await run(url, `select id from information_schema.processlist where db = '${database.name}'`)).length,
    withPassword,
    createDatabaseWithPassword: () => createDatabase(url, { ownUser: true }),
    literal,
    shortenNames: "alter table agent_checkpoints modify name varbinary(3) not null",
    tooLongCode: "STATE_TOO_LARGE",
  };
}
