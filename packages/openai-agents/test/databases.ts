import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckpointStorage } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { createPostgresStorage } from "@waymark/postgres";
import { createSQLiteStorage } from "@waymark/sqlite";
import SQLite from "better-sqlite3";
import mysql from "mysql2/promise";
import postgres from "postgres";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup";

/** A database for one test, shared by several processes. */
export interface Database {
  /** Options for `createCheckpointStorage` in a child process. */
  readonly options: { readonly type: string };
  /** Opens a new storage, as another process does. */
  open(): CheckpointStorage;
  /** Counts the rows of an agent, without the storage. */
  countRows(agentId: string): Promise<number>;
  drop(): Promise<void>;
}

const { postgres: postgresServer, ...mysqlServers } = inject("waymarkServers");

/** `true`: tests run on every database; else on SQLite, since an adapter lies above the seam. */
const testAll = Boolean(process.env["WAYMARK_TEST_ALL"]);

const others = [
  ...(postgresServer ? [{ name: "PostgreSQL", create: () => createPostgres(postgresServer.url) }] : []),
  ...Object.entries({ MySQL: mysqlServers.mysql, MariaDB: mysqlServers.mariadb }).flatMap(([name, server]) =>
    server ? [{ name, create: () => createMySQL(server.url) }] : [],
  ),
];

/** Databases to test on, as far as they are available. */
export const databases: readonly { readonly name: string; create(): Promise<Database> }[] = [
  { name: "SQLite", create: async () => createSQLite() },
  ...(testAll ? others : []),
];

export function createSQLite(): Database {
  const folder = mkdtempSync(join(tmpdir(), "waymark-openai-agents-"));
  // Durable enough: no test cuts the power, and they make thousands of changes.
  const options = { type: "sqlite", databasePath: join(folder, "agent_state.db"), synchronous: "NORMAL" } as const;
  return {
    options,
    open: () => createSQLiteStorage(options),
    countRows: async (agentId) => {
      const client = new SQLite(options.databasePath, { readonly: true });
      const [rows] = client.prepare("select count(*) from agent_checkpoints where agent_id = ?").pluck().all(agentId);
      client.close();
      return Number(rows);
    },
    drop: async () => rmSync(folder, { recursive: true }),
  };
}

async function createPostgres(serverUrl: string): Promise<Database> {
  const database = await createDatabase(serverUrl);
  const options = { type: "postgres", connectionString: database.url, poolSize: 2 } as const;
  return {
    options,
    open: () => createPostgresStorage(options),
    countRows: async (agentId) => {
      const client = postgres(database.url, { max: 1 });
      const [row] = await client`select count(*) from agent_checkpoints where agent_id = ${agentId}`;
      await client.end();
      return Number(row?.["count"]);
    },
    drop: () => database.drop(),
  };
}

async function createMySQL(serverUrl: string): Promise<Database> {
  const database = await createDatabase(serverUrl);
  const options = { type: "mysql", connectionString: database.url, poolSize: 2 } as const;
  return {
    options,
    open: () => createMySQLStorage(options),
    countRows: async (agentId) => {
      const client = await mysql.createConnection(database.url);
      const text = "select count(*) from agent_checkpoints where agent_id = ?";
      const [rows] = await client.execute<mysql.RowDataPacket[][]>({ sql: text, rowsAsArray: true }, [
        Buffer.from(agentId),
      ]);
      await client.end();
      return Number(rows[0]?.[0]);
    },
    drop: () => database.drop(),
  };
}
