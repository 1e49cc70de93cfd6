import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";
import type { MemoryStorage } from "@waymark/core/memory";
import { createMySQLStorage } from "@waymark/mysql";
import { createMySQLMemory } from "@waymark/mysql/memory";
import { createPostgresStorage } from "@waymark/postgres";
import { createPostgresMemory } from "@waymark/postgres/memory";
import { createSQLiteStorage } from "@waymark/sqlite";
import { createSQLiteMemory } from "@waymark/sqlite/memory";
import Sqlite from "better-sqlite3";
import { createConnection } from "mysql2/promise";
import postgres from "postgres";
import { inject, onTestFinished } from "vitest";
import { createDatabase, type ServerKind } from "waymark-test-servers";
import type {} from "waymark-test-servers/global-setup"; // the types of `inject`

/** Address of a database: the factory that opens it, and the factory's options. */
export type Place =
  | { readonly factory: "createSQLiteStorage"; readonly options: { readonly databasePath: string } }
  | {
      readonly factory: "createPostgresStorage" | "createMySQLStorage";
      readonly options: { readonly connectionString: string; readonly poolSize: number };
    };

/** Number of connections in a pool: enough for concurrent calls. The default is smaller in tests. */
const poolSize = 8;

type Row = Readonly<Record<string, unknown>>;

/** A database for one test, with the contents that commit 793ce5e has written. */
export interface Database {
  readonly place: Place;
  /** Runs a statement around the storage. */
  run(statement: string): Promise<Row[]>;
  /** A statement that lists the names of all tables, as `name`. */
  readonly listTables: string;
  readonly sql: HexExpressions;
}

/** SQL expressions for the hex digits of bytes and of an id, and for the bytes of hex digits. */
export interface HexExpressions {
  hex(column: string): string;
  id(column: string): string;
  bytes(digits: string): string;
}

export interface Engine {
  readonly title: string;
  /** True if this machine has the server. */
  readonly isAvailable: boolean;
  /** Loads the database. It is dropped at the end of the test. */
  load(): Promise<Database>;
}

const fixture = (name: string) => fileURLToPath(new URL(`../v793ce5e/${name}`, import.meta.url));
const hex = (column: string) => `lower(hex(${column}))`;
const onOthers: HexExpressions = { hex, id: hex, bytes: (digits) => `x'${digits}'` };

export const sqlite: Engine = {
  title: "SQLite",
  isAvailable: true,
  async load() {
    const folder = mkdtempSync(join(tmpdir(), "waymark-compatibility-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const databasePath = join(folder, "agent_state.db");
    copyFileSync(fixture("sqlite.db"), databasePath);
    return {
      place: { factory: "createSQLiteStorage", options: { databasePath } },
      listTables: "select name from sqlite_master where type = 'table'",
      sql: onOthers,
      async run(text) {
        const database = new Sqlite(databasePath);
        try {
          const statement = database.prepare<unknown[], Row>(text);
          if (statement.reader) return statement.all();
          statement.run();
          return [];
        } finally {
          database.close();
        }
      },
    };
  },
};

export const onPostgres: Engine = {
  title: "PostgreSQL",
  isAvailable: inject("waymarkServers").postgres !== undefined,
  async load() {
    const connectionString = await emptyDatabase("postgres");
    const run = async (text: string): Promise<Row[]> => {
      const sql = postgres(connectionString, { max: 1, fetch_types: false, onnotice: () => {} });
      try {
        return [...(await sql.unsafe<Row[]>(text).simple())];
      } finally {
        await sql.end({ timeout: 0 });
      }
    };
    await run(readFileSync(fixture("postgres.sql"), "utf8"));
    return {
      place: { factory: "createPostgresStorage", options: { connectionString, poolSize } },
      listTables: "select tablename as name from pg_tables where schemaname = 'public'",
      sql: {
        hex: (column) => `encode(${column}, 'hex')`,
        id: (column) => `replace(${column}::text, '-', '')`,
        bytes: (digits) => `decode('${digits}', 'hex')`,
      },
      run,
    };
  },
};

export const onMysql: Engine = mysqlLike("mysql", "MySQL");
export const onMariadb: Engine = mysqlLike("mariadb", "MariaDB");

function mysqlLike(kind: "mysql" | "mariadb", title: string): Engine {
  return {
    title,
    isAvailable: inject("waymarkServers")[kind] !== undefined,
    async load() {
      const connectionString = await emptyDatabase(kind);
      const run = async (text: string, multipleStatements = false): Promise<Row[]> => {
        const connection = await createConnection({ uri: connectionString, multipleStatements });
        try {
          const [rows] = await connection.query(text);
          return Array.isArray(rows) ? (rows as Row[]) : [];
        } finally {
          connection.destroy();
        }
      };
      await run(readFileSync(fixture(`${kind}.sql`), "utf8"), true);
      return {
        place: { factory: "createMySQLStorage", options: { connectionString, poolSize } },
        listTables: "select table_name as name from information_schema.tables where table_schema = database()",
        sql: onOthers,
        run: (text) => run(text),
      };
    },
  };
}

async function emptyDatabase(kind: ServerKind): Promise<string> {
  const database = await createDatabase(inject("waymarkServers")[kind]?.url as string);
  onTestFinished(() => database.drop());
  return database.url;
}

/** Opens a storage of today's packages, and closes it at the end of the test. */
export function open({ factory, options: place }: Place, options: CommonStorageOptions): CheckpointStorage {
  const storage = make(factory, { ...place, ...options });
  onTestFinished(async () => void (await storage.close()));
  return storage;
}

function make(factory: Place["factory"], options: object): CheckpointStorage {
  if (factory === "createSQLiteStorage") return createSQLiteStorage(options);
  return factory === "createPostgresStorage" ? createPostgresStorage(options) : createMySQLStorage(options);
}

/** Opens a memory of today's packages on the same database, and closes it at the end of the test. */
export function openMemory(
  { factory, options: place }: Place,
  options: { readonly tablePrefix?: string; readonly migrate?: "auto" | "verify" },
): MemoryStorage {
  const make = {
    createSQLiteStorage: createSQLiteMemory,
    createPostgresStorage: createPostgresMemory,
    createMySQLStorage: createMySQLMemory,
  };
  const memory = (make[factory] as (options: object) => MemoryStorage)({ ...place, ...options });
  onTestFinished(() => memory.close());
  return memory;
}

/** A database whose address refuses connections. */
export const unreachable: { readonly place: Place; readonly options: CommonStorageOptions } = {
  place: { factory: "createPostgresStorage", options: { connectionString: "postgres://127.0.0.1:1/away", poolSize } },
  options: { retry: { maxRetries: 0 } },
};
