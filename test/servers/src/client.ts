import { createConnection } from "mysql2/promise";
import postgres from "postgres";

const CONNECT_TIMEOUT_SECONDS = 5;

const postgresOptions = {
  max: 1,
  connect_timeout: CONNECT_TIMEOUT_SECONDS,
  fetch_types: false,
  onnotice: () => {},
};

/** Runs one statement on a new connection to the server of the URL. Returns its rows. */
export async function execute(url: string, statement: string): Promise<Record<string, unknown>[]> {
  if (isMysql(url)) {
    const session = await connect(url);
    try {
      return await session.execute(statement);
    } finally {
      await session.end();
    }
  }
  const sql = postgres(url, postgresOptions);
  try {
    // pgbouncer's console supports only the simple protocol.
    return [...(await sql.unsafe<Record<string, unknown>[]>(statement).simple())];
  } finally {
    await sql.end({ timeout: 0 });
  }
}

/** A connection that stays open. */
export interface Session {
  /** Runs one statement and returns its rows. */
  execute(statement: string): Promise<Record<string, unknown>[]>;
  /** Ends the connection at once, even during a statement. */
  end(): Promise<void>;
}

export async function connect(url: string): Promise<Session> {
  if (isMysql(url)) {
    const connection = await createConnection({ uri: url, connectTimeout: CONNECT_TIMEOUT_SECONDS * 1000 });
    connection.on("error", () => {}); // the next statement fails too
    return {
      async execute(statement) {
        const [rows] = await connection.query(statement);
        return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
      },
      async end() {
        connection.destroy();
      },
    };
  }
  const sql = postgres(url, postgresOptions);
  try {
    await sql.unsafe("select 1").simple();
    return {
      execute: async (statement) => [...(await sql.unsafe<Record<string, unknown>[]>(statement).simple())],
      end: () => sql.end({ timeout: 0 }),
    };
  } catch (error) {
    await sql.end({ timeout: 0 });
    throw error;
  }
}

/** Returns whether the URL is of MySQL or MariaDB. @throws if it is not of PostgreSQL either */
export function isMysql(url: string): boolean {
  const { protocol } = new URL(url);
  if (protocol === "mysql:") return true;
  if (protocol === "postgres:" || protocol === "postgresql:") return false;
  throw new Error(`expected a postgres:// or mysql:// URL, got ${protocol}//…`);
}
