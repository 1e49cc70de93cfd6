import type { ProviderConfig } from "@waymark/core";
import Database from "better-sqlite3";
import { createConnection } from "mysql2/promise";
import postgres from "postgres";
import { waitUntil } from "./conditions.ts";

const GONE_WITHIN_MS = 60_000;

type Rows = readonly Readonly<Record<string, unknown>>[];

/** Runs these statements on a new connection. Returns the rows of the last one. */
export async function execute(url: string, statements: readonly string[]): Promise<Rows> {
  const connection = await connect(url);
  try {
    let rows: Rows = [];
    for (const statement of statements) rows = await connection.run(statement);
    return rows;
  } finally {
    await connection.end();
  }
}

/**
 * Locks the table of checkpoints against stores. Returns a function that ends the lock. Stores wait in the server meanwhile, and
 * are done when the lock ends, even if their callers have given them up.
 */
export async function lockStores(url: string): Promise<() => Promise<void>> {
  const connection = await connect(url);
  try {
    const statements = isMysql(url)
      ? ["lock tables agent_checkpoints read"]
      : ["begin", "lock table agent_checkpoints in share mode"];
    for (const statement of statements) await connection.run(statement);
  } catch (error) {
    await connection.end();
    throw error;
  }
  return connection.end;
}

/**
 * Ends all sessions that a provider's user has in its database, and waits until they are gone. After that, a statement that its
 * caller has given up is either done or never will be. Clients connect again when they need to. A file has no sessions.
 */
export async function endSessions({ connectionString: url }: ProviderConfig): Promise<void> {
  if (typeof url !== "string") return;
  const [list, end] = isMysql(url)
    ? [
        "select concat(id) as session from information_schema.processlist where db = database() and id <> connection_id()",
        (session: string) => `kill ${session}`,
      ]
    : [
        // With the time of its start, since a later session may get the same pid.
        "select pid || ' ' || extract(epoch from backend_start) as session from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()",
        (session: string) => `select pg_terminate_backend(${session.split(" ")[0]})`,
      ];
  const connection = await connect(url);
  const sessions = async () => (await connection.run(list)).map((row) => String(row["session"]));
  try {
    const known = new Set(await sessions());
    for (const session of known) {
      await connection.run(end(session)).catch((error: { code?: unknown }) => {
        if (error.code !== "ER_NO_SUCH_THREAD") throw error; // the session has already ended
      });
    }
    const areGone = async () => !(await sessions()).some((session) => known.has(session));
    await waitUntil(GONE_WITHIN_MS, areGone, () => "a session does not end");
  } finally {
    await connection.end();
  }
}

interface Connection {
  run(statement: string): Promise<Rows>;
  end(): Promise<void>;
}

async function connect(url: string): Promise<Connection> {
  if (isMysql(url)) {
    const connection = await createConnection({ uri: url });
    return {
      run: async (statement) => (await connection.query(statement))[0] as Rows,
      end: async () => connection.destroy(),
    };
  }
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  return {
    run: async (statement) => [...(await sql.unsafe(statement).simple())],
    end: () => sql.end({ timeout: 0 }),
  };
}

export interface StoredRow {
  readonly id: string;
  /** Digest of the content, as stored. Empty for a tombstone. */
  readonly digest: string;
  /** True if the row is pending: in the outbox to the other provider. */
  readonly isPending: boolean;
}

export interface StoredWrite {
  readonly checkpointId: string;
  readonly task: string;
  readonly index: number;
  /** Rank of the write and digest of its value. */
  readonly version: string;
}

/** SQL expressions for the hex digits of an id and of bytes. */
interface HexExpressions {
  id(column: string): string;
  bytes(column: string): string;
}

const onPostgres: HexExpressions = {
  id: (column) => `replace(${column}::text, '-', '')`,
  bytes: (column) => `encode(${column}, 'hex')`,
};
const hex = (column: string) => `lower(hex(${column}))`;
const onOthers: HexExpressions = { id: hex, bytes: hex };

/** Reads all rows of a provider, tombstones included, around the storage. */
export async function storedRows(provider: ProviderConfig): Promise<StoredRow[]> {
  const rows = await select(
    provider,
    ({ id, bytes }) =>
      `select ${id("id")} as id, case when agent_id = '' then '' else ${bytes("digest")} end as digest, pending from agent_checkpoints`,
  );
  return rows.map(({ id, digest, pending }) => ({
    id: uuid(id),
    digest: String(digest),
    isPending: pending !== null,
  }));
}

/** Reads all writes of a provider, around the storage. */
export async function storedWrites(provider: ProviderConfig): Promise<StoredWrite[]> {
  const rows = await select(
    provider,
    ({ id, bytes }) =>
      `select ${id("checkpoint_id")} as id, task_id, write_index, ${id("write_rank")} as write_rank, ${bytes("digest")} as digest from agent_checkpoint_writes`,
  );
  return rows.map((row) => ({
    checkpointId: uuid(row["id"]),
    task: String(row["task_id"]),
    index: Number(row["write_index"]),
    version: `${row["write_rank"]} ${row["digest"]}`,
  }));
}

function uuid(digits: unknown): string {
  return String(digits).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function select(
  { connectionString, databasePath }: ProviderConfig,
  statement: (expressions: HexExpressions) => string,
): Promise<Rows> {
  if (typeof databasePath === "string") return selectFromFile(databasePath, statement(onOthers));
  const url = connectionString as string;
  return await execute(url, [statement(isMysql(url) ? onOthers : onPostgres)]);
}

function selectFromFile(path: string, statement: string): Rows {
  const database = new Database(path, { readonly: true });
  try {
    return database.prepare(statement).all() as Rows;
  } finally {
    database.close();
  }
}

function isMysql(url: string): boolean {
  return new URL(url).protocol === "mysql:";
}

/** Drops a database with all its data and creates an empty one of the same name, with the same rights of its user. */
export async function emptyDatabase(serverUrl: string, name: string): Promise<void> {
  const onMysql = isMysql(serverUrl);
  await execute(serverUrl, [
    `drop database ${name}${onMysql ? "" : " with (force)"}`,
    `create database ${name}${onMysql ? "" : ` owner ${name}`}`,
  ]);
}
