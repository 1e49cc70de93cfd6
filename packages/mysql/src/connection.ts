import { createConnection, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { CheckpointError } from "@waymark/core";
import { drizzle, type MySql2Database } from "drizzle-orm/mysql2";
import type { Pool as CallbackPool } from "mysql2";
import type { Pool, PoolConnection, PoolOptions, ResultSetHeader, RowDataPacket } from "mysql2/promise";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";
import type { ServerUrl } from "./url.ts";

export type { PoolConnection };

export const DEFAULT_PORT = 3_306;

/** Time for the server to close the connections of a closed pool; with shorter deadlines half of one. */
const CLOSE_TIMEOUT_MS = 5_000;

interface Address {
  readonly host: string;
  readonly port: number;
  readonly socketPath?: string;
}

/** Age from which connections are given up for one that is read-only: a younger one reaches what a new one would. */
const GIVE_UP_AGE_MS = 1_000;

/** A pool, made of a URL or handed in by the user. */
export interface Connection {
  /** Runs `work` on one connection, which is destroyed when the signal aborts: it may never answer. */
  use<Result>(signal: AbortSignal, work: (connection: PoolConnection) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export async function connect(options: ResolvedOptions): Promise<Connection> {
  const sockets = new Set<Socket>();
  const own = options.pool === null;
  const pool = own ? await makePool(options, sockets) : promisePool(options.pool as Pool | CallbackPool);
  const stopClosingIdle = own ? closeIdle(pool, options.idleTimeoutMs) : () => {};
  const madeAt = new WeakMap<object, number>();
  /** Connections that were made before this time are given up when they are met. */
  let giveUpBefore = 0;

  /**
   * Takes a connection of the pool. One that may be read-only is given up: a session keeps the default that it began with, and a
   * server that was the primary keeps its connections. Only a new one sees what an operator has changed, or reaches another.
   */
  async function take(): Promise<PoolConnection> {
    for (;;) {
      const connection = await pool.getConnection();
      const session: object = connection.connection;
      if (!madeAt.has(session)) madeAt.set(session, performance.now());
      if ((madeAt.get(session) as number) >= giveUpBefore) return connection;
      connection.destroy();
    }
  }

  async function use<Result>(
    signal: AbortSignal,
    work: (connection: PoolConnection) => Promise<Result>,
  ): Promise<Result> {
    const connection = await take();
    let giveUp = () => {};
    // mysql2 never settles a query whose connection was destroyed.
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = () => {
        connection.destroy();
        reject(signal.reason);
      };
    });
    if (signal.aborted) {
      connection.release(); // too late
      signal.throwIfAborted();
    }
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await Promise.race([
        prepareSession(connection, own ? OWN_SETTINGS : [COMMITS]).then(() => work(connection)),
        givenUp,
      ]);
    } catch (error) {
      // After such errors mysql2 would hand the connection to the next caller, who then fails with ECONNRESET.
      const fault = classify(error);
      if (fault === "connection" || fault === "outage" || fault === "too-large") connection.destroy();
      if (fault === "read-only") {
        giveUpBefore = performance.now() - GIVE_UP_AGE_MS;
        if ((madeAt.get(connection.connection) as number) < giveUpBefore) connection.destroy();
      }
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
      connection.release(); // does nothing for a destroyed one
    }
  }

  async function close(): Promise<void> {
    stopClosingIdle();
    if (own) await endPool(pool, sockets, Math.min(CLOSE_TIMEOUT_MS, options.operationTimeoutMs / 2));
  }

  return { use, close };
}

/**
 * Closes connections that are idle for too long, until the function that it returns is called. mysql2's own timer looks every
 * second for as long as the pool is open, which keeps the process alive, and it spares the connection of a pool of one. Here the
 * process ends with its last connection.
 */
function closeIdle(pool: Pool, afterMs: number): () => void {
  const timers = new Map<object, NodeJS.Timeout>();
  const stop = (connection: object) => {
    clearTimeout(timers.get(connection));
    timers.delete(connection);
  };
  pool.on("connection", (connection) =>
    connection.on("end", () => stop(connection)).on("error", () => stop(connection)),
  );
  pool.on("acquire", stop);
  pool.on("release", (connection) => {
    const close = () => {
      stop(connection);
      connection.destroy();
    };
    timers.set(connection, setTimeout(close, afterMs));
  });
  return () => {
    for (const connection of timers.keys()) stop(connection);
  };
}

/**
 * Ends a pool: the server is told, and closes the connections. One that does not answer gets some time, and does not keep the
 * process alive.
 */
async function endPool(pool: Pool, sockets: ReadonlySet<Socket>, timeoutMs: number): Promise<void> {
  const waiting = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: waiting.signal }).catch(() => {});
  try {
    await Promise.race([pool.end(), late]);
  } catch (error) {
    // A connection that was lost, or was never made, has nothing to release.
    if (classify(error) !== "connection") throw error;
  } finally {
    waiting.abort();
    for (const socket of sockets) socket.unref().setTimeout(timeoutMs, () => socket.destroy());
  }
}

const prepared = new WeakSet<object>();

/** Settings of every connection: with others of the server or the pool, an acknowledged change might not be committed. */
const COMMITS = "SET autocommit = 1, completion_type = 0";

/**
 * Settings of the connections of our own pools. With others of the server, values are cut off instead of refused, rows are left
 * out of results, foreign keys are not checked, statements are refused, or mean something else. The statements on a user's pool
 * are not all ours, so that its settings stay.
 */
const OWN_SETTINGS = [
  `${COMMITS}, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', foreign_key_checks = 1, unique_checks = 1, ` +
    "sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0",
  "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
];

/** Sets up a connection, once. */
async function prepareSession(connection: PoolConnection, settings: readonly string[]): Promise<void> {
  const session: object = connection.connection;
  if (prepared.has(session)) return;
  for (const statement of settings) await connection.query(statement);
  prepared.add(session);
}

/** Makes a Drizzle database on one connection. */
export function drizzleOn(connection: PoolConnection): MySql2Database {
  return drizzle({ client: connection });
}

/**
 * How results are read, whatever a user's pool is set to. Floats as text: mysql2 multiplies digit by digit, and the last one may
 * be another then.
 */
const READING = {
  rowsAsArray: true,
  typeCast: (field: { type: string; string(): string | null }, next: () => unknown) =>
    field.type === "DOUBLE" ? field.string() : next(),
};

/** Runs a statement that reads, and returns its rows as lists. */
export async function queryRows(
  connection: PoolConnection,
  text: string,
  values: unknown[] = [],
): Promise<unknown[][]> {
  const [rows] = await connection.query<RowDataPacket[][]>({ ...READING, sql: text }, values as never);
  return rows;
}

/** Runs a statement that changes rows, and returns how many; of an update, those that it found. */
export async function runStatement(connection: PoolConnection, text: string, values: unknown[] = []): Promise<number> {
  const [{ affectedRows }] = await connection.query<ResultSetHeader>(text, values as never);
  return affectedRows;
}

function promisePool(pool: Pool | CallbackPool): Pool {
  return "promise" in pool && typeof pool.promise === "function" ? pool.promise() : (pool as Pool);
}

/** Makes a pool of mysql2. Its error would show an option's value. */
function createPool(mysql: typeof import("mysql2/promise"), settings: PoolOptions, names: readonly string[]): Pool {
  try {
    return mysql.createPool(settings);
  } catch {
    const message = `expected options.connectionString to have values that mysql2 takes in ${names.join(", ")}`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
}

/** Makes a pool. `sockets` is filled with its open sockets: the pool has no list of its connections. */
async function makePool(options: ResolvedOptions, sockets: Set<Socket>): Promise<Pool> {
  const { default: mysql } = await import("mysql2/promise");
  const { address, user, password, database, tls, driverOptions } = options.server as ServerUrl;
  const { host, port } = address;
  const settings: PoolOptions = {
    ...driverOptions,
    ...(host.startsWith("/") ? { socketPath: host } : { host, port: port ?? DEFAULT_PORT }),
    ...(user !== null && { user }),
    ...(password !== null && { password }),
    database,
    connectionLimit: options.poolSize,
    // All may be idle, so that mysql2 has no timer of its own: see `closeIdle`.
    maxIdle: options.poolSize,
    connectTimeout: options.connectTimeoutMs,
    // The same as mysql2's own.
    stream: ({ config }: { config: Address }) => {
      const socket = config.socketPath
        ? createConnection(config.socketPath)
        : createConnection(config.port, config.host);
      socket.setKeepAlive(true).setNoDelay(true);
      sockets.add(socket);
      return socket.once("close", () => sockets.delete(socket));
    },
  };
  const ssl = options.ssl === true ? {} : (options.ssl ?? tls);
  if (typeof ssl === "string") settings.ssl = ssl;
  else if (ssl !== null && ssl !== false) settings.ssl = { ...ssl };
  const pool = createPool(mysql, settings, Object.keys(driverOptions));
  // An idle connection that is lost emits an error, and an error event without a listener ends the process.
  pool.on("connection", (connection) => connection.on("error", () => {}));
  return pool;
}
