import { type Database, type DomainSchema, locationOf, Shared, type SharedUse } from "@waymark/core/kit";
import type { PoolConnection, RowDataPacket } from "mysql2/promise";
import { type Connection, connect, DEFAULT_PORT } from "./connection.ts";
import { classify } from "./errors.ts";
import { migrateSchema } from "./migrate.ts";
import type { ResolvedOptions } from "./options.ts";

/** Bytes of a statement's text beside its rows. */
const STATEMENT_ALLOWANCE_BYTES = 4_096;

/** One pool, which the domains that stand on it share: made at first use, ended with the last of them. */
export function shareConnection(options: ResolvedOptions): Shared<Connection> {
  return new Shared(
    () => connect(options),
    (connection) => connection.close(),
  );
}

/** The database of one domain: its schema, on a shared pool. */
export function databaseOn(
  connection: SharedUse<Connection>,
  schema: DomainSchema,
  options: ResolvedOptions,
): Database {
  const { tablePrefix, migrate, server } = options;

  async function use<Result>(signal: AbortSignal, work: (one: PoolConnection) => Promise<Result>): Promise<Result> {
    const { use: useOne } = await connection.get(signal);
    return await useOne(signal, work);
  }

  const migrateIn = (mode: "apply" | "verify" | "sql", signal: AbortSignal) =>
    use(signal, (one) => migrateSchema(one, schema, options, mode));

  return {
    name: "mysql",
    system: server?.isMariaDb === true ? "mariadb" : "mysql",
    ...(server !== null && { location: locationOf([server.address], server.database, DEFAULT_PORT) }),
    collection: `${tablePrefix}${schema.tables[0]?.name}`,
    apiVersion: 1,
    async open(signal) {
      if (migrate !== "off") await migrateIn(migrate === "auto" ? "apply" : "verify", signal);
      return { maxStatementBytes: await use(signal, readMaxStatementBytes), driver: "mysql2" };
    },
    migrate: migrateIn,
    ping: (signal) => use(signal, async (one) => void (await one.query("select 1"))),
    classify,
    close: () => connection.close(),
  };
}

/** Reads how many bytes the rows of a statement may have, by the limit that the server has for new connections. */
export async function readMaxStatementBytes(connection: PoolConnection): Promise<number> {
  const text = "SELECT CAST(@@global.max_allowed_packet AS CHAR)";
  const [rows] = await connection.query<RowDataPacket[][]>({ sql: text, rowsAsArray: true });
  // Bytes are sent as hex, two characters each.
  return Math.max(0, Math.floor((Number(rows[0]?.[0]) - STATEMENT_ALLOWANCE_BYTES) / 2));
}
