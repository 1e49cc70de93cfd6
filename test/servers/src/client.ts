import { createConnection } from "mysql2/promise";
import postgres from "postgres";

const CONNECT_TIMEOUT_SECONDS = 5;

const postgresOptions = {
  max: 1,
  connect_timeout: CONNECT_TIMEOUT_SECONDS,
  fetch_types: false,
  onnotice: () => {},
};

/** Runs one statement on a connection of its own and returns its rows, on whichever server the URL names. */
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
    // The simple protocol is all that pgbouncer's console understands.
    return [...(await sql.unsafe<Record<string, unknown>[]>(statement).simple())];
  } finally {
    await sql.end({ timeout: 0 });
  }
}

/** A connection that stays open. */
export interface Session {
  /** Runs one statement and returns its rows. */
  execute(statement: string): Promise<Record<string, unknown>[]>;
  /** Ends it at once, whatever it is doing. */
  end(): Promise<void>;
}

export async function connect(url: string): Promise<Session> {
  if (isMysql(url)) {
    const connection = await createConnection({ uri: url, connectTimeout: CONNECT_TIMEOUT_SECONDS * 1000 });
    connection.on("error", () => {}); // the next statement says it too
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

/** @throws if the URL names neither make of server */
export function isMysql(url: string): boolean {
  const { protocol } = new URL(url);
  if (protocol === "mysql:") return true;
  if (protocol === "postgres:" || protocol === "postgresql:") return false;
  throw new Error(`expected a postgres:// or mysql:// URL, got ${protocol}//…`);
}
