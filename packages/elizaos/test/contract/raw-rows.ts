import Database from "better-sqlite3";
import { sql } from "drizzle-orm";
import mysql, { type RowDataPacket } from "mysql2/promise";
import type { WaymarkAdapter, WaymarkOptions } from "../../src/index.ts";

type Row = Readonly<Record<string, unknown>>;

/** Sends a statement to the database of an adapter, around all of our code. */
export async function query(
  adapter: WaymarkAdapter,
  { url = "" }: WaymarkOptions,
  text: string,
): Promise<readonly Row[]> {
  await adapter.init();
  const { dialect } = adapter.getConnectionInfo();
  if (dialect === "postgres") {
    const database = adapter.db as { execute(query: unknown): Promise<{ rows: Row[] }> };
    return (await database.execute(sql.raw(text))).rows;
  }
  if (dialect === "sqlite") return onFile(url.slice("sqlite:".length), text);
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query<RowDataPacket[]>(text);
    return rows;
  } finally {
    await connection.end();
  }
}

function onFile(path: string, text: string): Row[] {
  const database = new Database(path);
  try {
    const statement = database.prepare<[], Row>(text);
    if (statement.reader) return statement.all();
    statement.run();
    return [];
  } finally {
    database.close();
  }
}
