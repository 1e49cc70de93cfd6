import { randomBytes } from "node:crypto";
import { type Connection, type ConnectionOptions, createConnection, type RowDataPacket } from "mysql2/promise";
import { inject, onTestFinished } from "vitest";
import { createDatabase, type ServerKind, type TestDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { type CheckpointStorage, createMySQLStorage, type NamedAgentCheckpoint } from "../src/index.ts";
import type { MySQLStorageOptions } from "../src/options.ts";

export interface TestServer {
  readonly kind: ServerKind;
  readonly title: string;
  /** The administrator's. */
  readonly url: string;
}

/** The servers that all test files share, MySQL proper first. */
export const servers: readonly TestServer[] = (["mysql", "mariadb"] as const).flatMap((kind) => {
  const server = inject("waymarkServers")[kind];
  const title = { mysql: "MySQL", mariadb: "MariaDB" }[kind];
  return server === undefined ? [] : [{ kind, title, url: server.url }];
});
if (servers.length === 0)
  throw new TypeError("expected MySQL or MariaDB: are these tests run by their vitest.config.ts?");

/** An empty database until the test is over. */
export async function emptyDatabase(serverUrl: string): Promise<TestDatabase> {
  const database = await createDatabase(serverUrl);
  onTestFinished(() => database.drop());
  return database;
}

/** A storage until the test is over. */
export function open(options: MySQLStorageOptions): CheckpointStorage {
  const storage = createMySQLStorage({ operationTimeoutMs: 20_000, ...options });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

/** A connection around the storage until the test is over. */
export async function connect(url: string, options: ConnectionOptions = {}): Promise<Connection> {
  const connection = await createConnection({ uri: url, ...options });
  connection.on("error", () => {});
  onTestFinished(() => connection.destroy());
  return connection;
}

/** Runs one statement around the storage, and returns its rows. */
export async function run(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const connection = await createConnection({ uri: url });
  try {
    const [rows] = await connection.query<RowDataPacket[]>(statement);
    return Array.isArray(rows) ? rows.map((row) => ({ ...row })) : [];
  } finally {
    connection.destroy();
  }
}

/** A user who may only log in, with the password `right`, until the test is over, and the database's URL for it. */
export async function plainUser(database: TestDatabase): Promise<{ name: string; url: string }> {
  const name = `waymark_${randomBytes(6).toString("hex")}`;
  await run(database.url, `create user ${name} identified by 'right'`);
  onTestFinished(async () => void (await run(database.url, `drop user ${name}`)));
  const url = new URL(database.url);
  url.username = name;
  url.password = "right";
  return { name, url: url.href };
}

export function checkpoint(more: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId: "agent", name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...more };
}

/** The names in the history, as the administrator reads them. */
export async function recorded(url: string, table = "waymark_migrations"): Promise<string[]> {
  return (await run(url, `select name from ${table} order by name`)).map(({ name }) => String(name));
}

/** What a promise rejects with; the test fails if it does not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new TypeError("expected the promise to reject");
}
