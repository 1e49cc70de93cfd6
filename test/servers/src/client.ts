import { createConnection } from "mysql2/promise";
import postgres from "postgres";

const CONNECT_TIMEOUT_SECONDS = 5;

/** Runs one statement on a connection of its own and returns its rows, on whichever server the URL names. */
export async function execute(url: string, statement: string): Promise<Record<string, unknown>[]> {
  switch (new URL(url).protocol) {
    case "postgres:":
    case "postgresql:": {
      const sql = postgres(url, {
        max: 1,
        connect_timeout: CONNECT_TIMEOUT_SECONDS,
        fetch_types: false,
        onnotice: () => {},
      });
      try {
        // The simple protocol is all that pgbouncer's console understands.
        return [...(await sql.unsafe<Record<string, unknown>[]>(statement).simple())];
      } finally {
        await sql.end({ timeout: 0 });
      }
    }
    case "mysql:": {
      const connection = await createConnection({ uri: url, connectTimeout: CONNECT_TIMEOUT_SECONDS * 1000 });
      try {
        const [rows] = await connection.query(statement);
        return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
      } finally {
        connection.destroy();
      }
    }
    default:
      throw new Error(`expected a postgres:// or mysql:// URL, got ${new URL(url).protocol}//…`);
  }
}
