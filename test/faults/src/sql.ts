import type { ProviderConfig } from "@waymark/core";
import Database from "better-sqlite3";
import { createConnection } from "mysql2/promise";
import postgres from "postgres";

type Rows = readonly Readonly<Record<string, unknown>>[];

/** Runs these statements on a connection of their own; returns the rows of the last one. */
export async function execute(url: string, statements: readonly string[]): Promise<Rows> {
  let rows: Rows = [];
  if (isMysql(url)) {
    const connection = await createConnection({ uri: url });
    try {
      for (const statement of statements) rows = (await connection.query(statement))[0] as Rows;
    } finally {
      connection.destroy();
    }
    return rows;
  }
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    for (const statement of statements) rows = [...(await sql.unsafe(statement).simple())];
  } finally {
    await sql.end({ timeout: 0 });
  }
  return rows;
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
