import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";
import { createMySQLStorage } from "@waymark/mysql";
import { createPostgresStorage } from "@waymark/postgres";
import { createReplicatedStorage, createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import mysql, { type RowDataPacket } from "mysql2/promise";
import postgres from "postgres";
import { inject } from "vitest";
import { createDatabase } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`

/** An empty database, or a main and a backup, for one test. */
export interface TestDatabase {
  /** Opens a storage, as a process does; a new one at each call. */
  open(options?: CommonStorageOptions): CheckpointStorage;
  /** Counts the rows of threads in each of our tables, without the storages. */
  rows(): Promise<Record<string, number>>;
  /** Closes the storages and removes the databases. */
  drop(): Promise<void>;
}

export interface Kind {
  readonly name: string;
  create(): Promise<TestDatabase>;
}

/** One database: opened by the package, and queried without it. */
interface Place {
  open(options?: CommonStorageOptions): CheckpointStorage;
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  drop(): Promise<void>;
}

const TABLES =
  "select table_name as name from information_schema.tables where table_name like 'agent_checkpoint%' and table_schema = ";

function onFile(): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-langgraph-"));
  const databasePath = join(folder, "checkpoints.db");
  return Promise.resolve({
    open: (options) => createSQLiteStorage({ databasePath, ...options }),
    query: async (sql) => {
      const database = new Database(databasePath);
      try {
        return database.prepare<[], Record<string, unknown>>(sql).all();
      } finally {
        database.close();
      }
    },
    drop: async () => rmSync(folder, { recursive: true }),
  });
}

async function onPostgres(serverUrl: string): Promise<Place> {
  const { url: connectionString, drop } = await createDatabase(serverUrl);
  return {
    open: (options) => createPostgresStorage({ connectionString, poolSize: 4, ...options }),
    query: async (sql) => {
      const client = postgres(connectionString, { max: 1 });
      try {
        return await client.unsafe(sql);
      } finally {
        await client.end();
      }
    },
    drop,
  };
}

async function onMysql(serverUrl: string): Promise<Place> {
  const { url: connectionString, drop } = await createDatabase(serverUrl);
  return {
    open: (options) => createMySQLStorage({ connectionString, poolSize: 4, ...options }),
    query: async (sql) => {
      const connection = await mysql.createConnection(connectionString);
      try {
        return (await connection.query<RowDataPacket[]>(sql))[0];
      } finally {
        await connection.end();
      }
    },
    drop,
  };
}

function alone(name: string, schema: string | null, make: () => Promise<Place>): Kind {
  return {
    name,
    create: async () => {
      const place = await make();
      return testDatabase([place], [schema], place.open);
    },
  };
}

/** `schemas`: the schema of the tables in each place. */
function testDatabase(
  places: readonly Place[],
  schemas: readonly (string | null)[],
  open: (options?: CommonStorageOptions) => CheckpointStorage,
): TestDatabase {
  const opened: CheckpointStorage[] = [];
  return {
    open: (options) => {
      const storage = open(options);
      opened.push(storage);
      return storage;
    },
    rows: async () => {
      const counts: Record<string, number> = {};
      for (const [index, { query }] of places.entries()) {
        const schema = schemas[index] ?? null;
        const tables = await query(
          schema === null
            ? "select name from sqlite_master where type = 'table' and name like 'agent_checkpoint%'"
            : TABLES + schema,
        );
        for (const { name } of tables) {
          if (name === "agent_checkpoint_settings") continue; // of the database, not of a thread
          // Tombstones belong to no thread.
          const owned = name === "agent_checkpoints" ? " where agent_id <> ''" : "";
          const [row] = await query(`select count(*) as count from ${String(name)}${owned}`);
          counts[`${places.length > 1 ? `${index}.` : ""}${String(name)}`] = Number(row?.["count"]);
        }
      }
      return counts;
    },
    drop: async () => {
      await Promise.all(opened.map((storage) => storage.close()));
      await Promise.all(places.map((place) => place.drop()));
    },
  };
}

function withBackup(name: string, schemas: readonly (string | null)[], make: () => Promise<[Place, Place]>): Kind {
  return {
    name,
    create: async () => {
      const [main, backup] = await make();
      return testDatabase([main, backup], schemas, (options) =>
        createReplicatedStorage({ main: main.open(options), backup: backup.open(options) }),
      );
    },
  };
}

const servers = inject("waymarkServers");

export const sqlite: Kind = alone("SQLite", null, onFile);

/** `true`: tests run on every database and pair; else on SQLite and one pair, since an adapter lies above the seam. */
const testAll = Boolean(process.env["WAYMARK_TEST_ALL"]);

const others = [
  ...onServer("postgres", (url) => alone("PostgreSQL", "'public'", () => onPostgres(url))),
  ...onServer("mysql", (url) => alone("MySQL", "database()", () => onMysql(url))),
  ...onServer("mariadb", (url) => alone("MariaDB", "database()", () => onMysql(url))),
];

/** Databases to test on, as far as they are available: `npm test` checks that the required ones are. */
export const databases: readonly Kind[] = [sqlite, ...(testAll ? others : [])];

const onFiles = withBackup("SQLite with SQLite as its backup", [null, null], async () => [
  await onFile(),
  await onFile(),
]);
const onServerAndFile = onServer("postgres", (url) =>
  withBackup("PostgreSQL with SQLite as its backup", ["'public'", null], async () => [
    await onPostgres(url),
    await onFile(),
  ]),
);

/** Pairs of a main and a backup to test on. */
export const pairs: readonly Kind[] =
  testAll || onServerAndFile.length === 0 ? [onFiles, ...onServerAndFile] : onServerAndFile;

function onServer(kind: keyof typeof servers, make: (url: string) => Kind): Kind[] {
  const server = servers[kind];
  return server === undefined ? [] : [make(server.url)];
}
