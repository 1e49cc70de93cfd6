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

/** All rows of a provider, as they are stored, those of deletions without a digest. */
export async function storedRows({ connectionString, databasePath }: ProviderConfig): Promise<StoredRow[]> {
  const columns = (id: string, digest: string) =>
    `select ${id} as id, case when agent_id = '' then '' else ${digest} end as digest, pending from agent_checkpoints`;
  const inHex = columns("lower(hex(id))", "lower(hex(digest))");
  const rows =
    typeof databasePath === "string"
      ? fromFile(databasePath, inHex)
      : await execute(
          connectionString as string,
          isMysql(connectionString as string) ? [inHex] : [columns("id", "encode(digest, 'hex')")],
        );
  return rows.map(({ id, digest, pending }) => ({
    id: String(id).replaceAll("-", ""),
    digest: String(digest),
    isPending: pending !== null,
  }));
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
