import type { ProviderConfig } from "@waymark/core";
import Database from "better-sqlite3";
import { createConnection } from "mysql2/promise";
import postgres from "postgres";
import { until } from "./conditions.ts";

const GONE_WITHIN_MS = 60_000;

type Rows = readonly Readonly<Record<string, unknown>>[];

/** Runs these statements on a connection of their own; returns the rows of the last one. */
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
 * Locks checkpoints against stores until what is returned is called. What is stored meanwhile waits in the server, and is done then,
 * whether or not its caller has given it up.
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
 * Ends all sessions that a provider's user has in its database, and returns when they are gone. So what a caller has given up is done
 * by then, or never will be. Who has more to ask connects anew. A file has no sessions.
 */
export async function endSessions({ connectionString: url }: ProviderConfig): Promise<void> {
  if (typeof url !== "string") return;
  const [list, end] = isMysql(url)
    ? [
        "select concat(id) as session from information_schema.processlist where db = database() and id <> connection_id()",
        (session: string) => `kill ${session}`,
      ]
    : [
        // The same pid may be another session's later.
        "select pid || ' ' || extract(epoch from backend_start) as session from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()",
        (session: string) => `select pg_terminate_backend(${session.split(" ")[0]})`,
      ];
  const connection = await connect(url);
  const sessions = async () => (await connection.run(list)).map((row) => String(row["session"]));
  try {
    const known = new Set(await sessions());
    for (const session of known) {
      await connection.run(end(session)).catch((error: { code?: unknown }) => {
        if (error.code !== "ER_NO_SUCH_THREAD") throw error; // it has just ended by itself
      });
    }
    const areGone = async () => !(await sessions()).some((session) => known.has(session));
    await until(GONE_WITHIN_MS, areGone, () => "a session does not end");
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
  /** Of the content, as the storage that has written it names it. */
  readonly digest: string;
  /** Whether it waits to be sent to the other provider. */
  readonly isPending: boolean;
}

export interface StoredWrite {
  readonly checkpointId: string;
  readonly task: string;
  readonly index: number;
  /** Its rank and the digest of its value. */
  readonly version: string;
}

/** How a statement says the hex digits of an id, and of bytes. */
interface Words {
  id(column: string): string;
  bytes(column: string): string;
}

const onPostgres: Words = {
  id: (column) => `replace(${column}::text, '-', '')`,
  bytes: (column) => `encode(${column}, 'hex')`,
};
const hex = (column: string) => `lower(hex(${column}))`;
const elsewhere: Words = { id: hex, bytes: hex };

/** All rows of a provider, as they are stored, those of deletions without a digest. */
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

/** All that was appended, as it is stored. */
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
  statement: (words: Words) => string,
): Promise<Rows> {
  if (typeof databasePath === "string") return fromFile(databasePath, statement(elsewhere));
  const url = connectionString as string;
  return await execute(url, [statement(isMysql(url) ? elsewhere : onPostgres)]);
}

function fromFile(path: string, statement: string): Rows {
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

/** All data and tables gone, as if the server were a new one; the same user may do the same. */
export async function emptyDatabase(serverUrl: string, name: string): Promise<void> {
  const onMysql = isMysql(serverUrl);
  await execute(serverUrl, [
    `drop database ${name}${onMysql ? "" : " with (force)"}`,
    `create database ${name}${onMysql ? "" : ` owner ${name}`}`,
  ]);
}
