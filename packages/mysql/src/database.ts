import { CheckpointError } from "@waymark/core";
import { type Database, type DomainSchema, locationOf, Shared, type SharedUse } from "@waymark/core/kit";
import type { PoolConnection, RowDataPacket } from "mysql2/promise";
import { type Connection, connect, DEFAULT_PORT, queryRows } from "./connection.ts";
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

/** Servers in practice take 1 MiB at least. A smaller statement is not the reason why a connection was lost. */
const SUSPECT_BYTES = 256 * 1_024;

/**
 * Reads the limit of a statement again, if a change of so many bytes may have failed for it; otherwise `null`. A server that is sent
 * more than it takes may cut the connection before its reason has come through. Most often its limit was lowered after we read
 * it, since a change over the limit that we know is not sent.
 */
export async function limitBehind(
  error: unknown,
  bytes: number,
  connection: SharedUse<Connection>,
  signal: AbortSignal,
): Promise<number | null> {
  const fault = classify(error);
  if (bytes < SUSPECT_BYTES || (fault !== "connection" && fault !== "too-large")) return null;
  const { use } = await connection.get(signal);
  return await use(signal, readMaxStatementBytes).catch(() => null);
}

export function tooLarge(what: string, bytes: number, maxBytes: number): CheckpointError {
  const message = `${what}: it takes ${bytes} bytes as sent, and the limit here is ${maxBytes} now`;
  return new CheckpointError("STATE_TOO_LARGE", message);
}

/** Isolation of a transaction that changes rows. */
export type Isolation = "read committed" | "repeatable read";

/**
 * Chooses the isolation of transactions that depend on nothing that they have read without locking it. `read committed` locks
 * no gaps between rows, so that writers of different rows do not wait for each other in circles. A server whose log has
 * statements instead of rows refuses to write in it.
 */
export async function chooseIsolation(connection: PoolConnection): Promise<Isolation> {
  const text = "show variables where variable_name in ('log_bin', 'binlog_format')";
  const values = (await queryRows(connection, text)).map(([, value]) => String(value).toUpperCase());
  return values.includes("ON") && values.includes("STATEMENT") ? "repeatable read" : "read committed";
}
