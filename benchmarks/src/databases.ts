import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import BetterSqlite3 from "better-sqlite3";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import postgres from "postgres";
import { createDatabase, type Server, type ServerKind, startServer } from "waymark-test-servers";

/** `postgres-vector` has pgvector; only what remembers, and ElizaOS, is measured there. */
export const DATABASES = ["sqlite-full", "sqlite-normal", "postgres", "postgres-vector", "mysql", "mariadb"] as const;
export type DatabaseName = (typeof DATABASES)[number];
export type Synchronous = "FULL" | "NORMAL";

/** An empty database for one run of one system. */
export type Place = (
  | { readonly kind: "sqlite"; readonly path: string; readonly synchronous: Synchronous }
  | { readonly kind: "postgres"; readonly url: string }
  | { readonly kind: "mysql"; readonly url: string }
) & {
  /** Measures all tables and indexes. No session may be open on it. */
  bytesOnDisk(): Promise<number>;
  drop(): Promise<void>;
};

export interface Database {
  readonly name: DatabaseName;
  /** As in "PostgreSQL 15.20". */
  readonly title: string;
  /** The settings that decide when a commit is acknowledged, in this database's own words. */
  readonly durability: string;
  /** A commit is on the disk when it is acknowledged. */
  readonly isDurable: boolean;
  createPlace(): Promise<Place>;
  /** Writes to the disk what earlier runs have left to be written, so that it does not happen during the next run. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

export async function openDatabase(name: DatabaseName): Promise<Database> {
  switch (name) {
    case "sqlite-full":
      return await openSqlite(name, "FULL");
    case "sqlite-normal":
      return await openSqlite(name, "NORMAL");
    case "postgres":
    case "postgres-vector":
      return await openPostgres(await start(name), name);
    case "mysql":
    case "mariadb":
      return await openMysql(await start(name), name);
  }
}

/** Starts a server of our own, or takes the one that WAYMARK_TEST_POSTGRES_URL and its like name. */
async function start(kind: ServerKind): Promise<Server> {
  const options = { env: process.env, durable: true };
  return await startServer(kind, options);
}

async function openSqlite(name: DatabaseName, synchronous: Synchronous): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), "waymark-bench-"));
  const version = query<{ version: string }>(":memory:", "select sqlite_version() as version").version;
  let places = 0;
  return {
    name,
    title: `SQLite ${version}, synchronous=${synchronous}`,
    durability:
      synchronous === "FULL"
        ? "WAL, synchronous=FULL: every commit is synced"
        : "WAL, synchronous=NORMAL: synced at checkpoints of the WAL only",
    isDurable: synchronous === "FULL",
    async createPlace() {
      const path = join(folder, `${++places}.db`);
      return {
        kind: "sqlite",
        path,
        synchronous,
        async bytesOnDisk() {
          query(path, "pragma wal_checkpoint(TRUNCATE)");
          const { page_count } = query<{ page_count: number }>(path, "pragma page_count");
          const { page_size } = query<{ page_size: number }>(path, "pragma page_size");
          return page_count * page_size;
        },
        async drop() {
          for (const suffix of ["", "-wal", "-shm"]) await rm(path + suffix, { force: true });
        },
      };
    },
    settle: sync,
    stop: () => rm(folder, { recursive: true, force: true }),
  };
}

async function openPostgres(server: Server, name: "postgres" | "postgres-vector"): Promise<Database> {
  const ask = async (url: string, statement: string) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      return await sql.unsafe<Record<string, unknown>[]>(statement);
    } finally {
      await sql.end();
    }
  };
  const names = ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"];
  const settings = await Promise.all(
    names.map(async (setting) => {
      const [row] = await ask(server.url, `select current_setting('${setting}') as value`);
      return [setting, String(row?.["value"])] as const;
    }),
  );
  const statement = "select default_version from pg_available_extensions where name = 'vector'";
  const pgvector = name === "postgres" ? undefined : (await ask(server.url, statement))[0]?.["default_version"];
  return {
    name,
    title: `PostgreSQL ${server.version}${pgvector === undefined ? "" : `, pgvector ${pgvector}`}`,
    durability: settings.map(([setting, value]) => `${setting}=${value}`).join(", "),
    isDurable: settings.slice(0, 2).every(([, value]) => value === "on"),
    async createPlace() {
      const { url, drop } = await createDatabase(server.url);
      if (pgvector !== undefined) await ask(url, "create extension vector");
      return {
        kind: "postgres",
        url,
        async bytesOnDisk() {
          const [row] = await ask(
            url,
            `select sum(pg_total_relation_size(c.oid)) as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`,
          );
          return Number(row?.["bytes"]);
        },
        drop,
      };
    },
    async settle() {
      await ask(server.url, "checkpoint");
      await sync();
    },
    stop: () => server.stop(),
  };
}

async function openMysql(server: Server, kind: "mysql" | "mariadb"): Promise<Database> {
  const ask = async (url: string, statement: string) => {
    const connection = await createConnection({ uri: url });
    try {
      const [rows] = await connection.query<RowDataPacket[]>(statement);
      return rows;
    } finally {
      await connection.end();
    }
  };
  const names = [
    "innodb_flush_log_at_trx_commit",
    "innodb_flush_method",
    "innodb_doublewrite",
    "log_bin",
    "sync_binlog",
  ];
  const [row] = await ask(server.url, `select ${names.map((name) => `@@${name} as ${name}`).join(", ")}`);
  const settings = new Map(names.map((name) => [name, String(row?.[name])]));
  const synced = settings.get("innodb_flush_log_at_trx_commit") === "1";
  const binlogSynced = settings.get("log_bin") === "0" || settings.get("sync_binlog") === "1";
  const tablespaces = kind === "mysql" ? "innodb_tablespaces" : "innodb_sys_tablespaces";
  return {
    name: kind,
    title: `${kind === "mysql" ? "MySQL" : "MariaDB"} ${server.version}`,
    durability: [...settings].map(([name, value]) => `${name}=${value}`).join(", "),
    isDurable: synced && binlogSynced && !/nosync/i.test(settings.get("innodb_flush_method") ?? ""),
    async createPlace() {
      const { name, url, drop } = await createDatabase(server.url);
      return {
        kind: "mysql",
        url,
        async bytesOnDisk() {
          const statement = `select sum(file_size) as bytes from information_schema.${tablespaces} where name like '${name}/%'`;
          const [sizes] = await ask(server.url, statement);
          return Number(sizes?.["bytes"]);
        },
        drop,
      };
    },
    settle: sync,
    stop: () => server.stop(),
  };
}

function query<Row = unknown>(path: string, statement: string): Row {
  const database = new BetterSqlite3(path);
  try {
    return database.prepare(statement).get() as Row;
  } finally {
    database.close();
  }
}

/** Writes all dirty pages of the machine to the disk. Where there is no such program, runs are only a little noisier. */
async function sync(): Promise<void> {
  await promisify(execFile)("sync").catch(() => {});
}
