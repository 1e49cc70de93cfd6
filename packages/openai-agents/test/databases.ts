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

/** A database of a test's own, as several processes see it. */
export interface Database {
  /** What a process hands to `createCheckpointStorage`. */
  readonly options: { readonly type: string };
  /** A storage of its own, as another process has it. */
  open(): CheckpointStorage;
  /** How many rows there are of an agent, counted around the storage. */
  countRows(agentId: string): Promise<number>;
  drop(): Promise<void>;
}

const { postgres: postgresServer, ...mysqlServers } = inject("waymarkServers");

/** Every kind of database that is there. */
export const databases: readonly { readonly name: string; create(): Promise<Database> }[] = [
  { name: "SQLite", create: async () => createSQLite() },
  ...(postgresServer ? [{ name: "PostgreSQL", create: () => createPostgres(postgresServer.url) }] : []),
  ...Object.entries({ MySQL: mysqlServers.mysql, MariaDB: mysqlServers.mariadb }).flatMap(([name, server]) =>
    server ? [{ name, create: () => createMySQL(server.url) }] : [],
  ),
];

export function createSQLite(): Database {
  const folder = mkdtempSync(join(tmpdir(), "waymark-openai-agents-"));
  // Nothing here cuts the power, and thousands of changes are made.
  const options = { type: "sqlite", databasePath: join(folder, "agent_state.db"), synchronous: "NORMAL" } as const;
  return {
    options,
    open: () => createSQLiteStorage(options),
    countRows: async (agentId) => {
      const around = new SQLite(options.databasePath, { readonly: true });
      const [rows] = around.prepare("select count(*) from agent_checkpoints where agent_id = ?").pluck().all(agentId);
      around.close();
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
      const around = postgres(database.url, { max: 1 });
      const [row] = await around`select count(*) from agent_checkpoints where agent_id = ${agentId}`;
      await around.end();
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
      const around = await mysql.createConnection(database.url);
      const text = "select count(*) from agent_checkpoints where agent_id = ?";
      const [rows] = await around.execute<mysql.RowDataPacket[][]>({ sql: text, rowsAsArray: true }, [
        Buffer.from(agentId),
      ]);
      await around.end();
      return Number(rows[0]?.[0]);
    },
    drop: () => database.drop(),
  };
}
