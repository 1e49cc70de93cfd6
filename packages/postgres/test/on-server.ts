import { randomBytes } from "node:crypto";
import postgres, { type Options, type Sql } from "postgres";
import { inject, onTestFinished } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`
import { type CheckpointStorage, createPostgresStorage, type NamedAgentCheckpoint } from "../src/index.ts";
import type { PostgresStorageOptions } from "../src/options.ts";

/** The administrator's URL of the server that all test files share. */
export function sharedServer(): string {
  const server = inject("waymarkServers").postgres;
  if (server === undefined)
    throw new TypeError("expected a PostgreSQL server: are these tests run by their vitest.config.ts?");
  return server.url;
}

/** An empty database until the test is over. */
export async function emptyDatabase(serverUrl = sharedServer()): Promise<TestDatabase> {
  const database = await createDatabase(serverUrl);
  onTestFinished(() => database.drop());
  return database;
}

/** A storage until the test is over. */
export function open(options: PostgresStorageOptions): CheckpointStorage {
  const storage = createPostgresStorage({ operationTimeoutMs: 20_000, ...options });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

/** A client around the storage until the test is over. */
export function connect(url: string, options: Options<Record<string, never>> = {}): Sql {
  const client = postgres(url, { max: 1, fetch_types: false, onnotice: () => {}, ...options });
  onTestFinished(() => client.end({ timeout: 0 }));
  return client;
}

/** A role that may only log in, until the test is over, and the database's URL for it. */
export async function plainRole(database: TestDatabase): Promise<{ name: string; url: string }> {
  const name = `waymark_role_${randomBytes(6).toString("hex")}`;
  const admin = connect(database.url);
  await admin.unsafe(`create role ${name} login`);
  onTestFinished(async () => {
    const client = postgres(database.url, { max: 1, fetch_types: false });
    await client.unsafe(`drop owned by ${name} cascade`);
    await client.unsafe(`drop role ${name}`);
    await client.end();
  });
  const url = new URL(database.url);
  url.username = name;
  return { name, url: url.href };
}

export function checkpoint(more: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId: "agent", name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...more };
}

/** The names and digests in the history, as the administrator reads them. */
export async function recorded(url: string, table = "waymark_migrations"): Promise<string[]> {
  const rows = await connect(url).unsafe(`select name from ${table} order by name`).values();
  return rows.map(([name]) => String(name));
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
