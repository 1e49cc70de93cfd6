import { createConnection, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { invalidArgument } from "@waymark/core/kit";
import { drizzle, type MySql2Database } from "drizzle-orm/mysql2";
import type { Pool as CallbackPool } from "mysql2";
import type { Pool, PoolConnection, PoolOptions } from "mysql2/promise";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** Time for the server to close the connections of a closed pool. */
const CLOSE_TIMEOUT_MS = 5_000;

interface Address {
  readonly host: string;
  readonly port: number;
  readonly socketPath?: string;
}

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

  async function use<Result>(
    signal: AbortSignal,
    work: (connection: PoolConnection) => Promise<Result>,
  ): Promise<Result> {
    const connection = await pool.getConnection();
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
      return await Promise.race([prepareSession(connection).then(() => work(connection)), givenUp]);
    } catch (error) {
      // After such errors mysql2 would hand the connection to the next caller, who then fails with ECONNRESET.
      const fault = classify(error);
      if (fault === "connection" || fault === "too-large") connection.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
      connection.release(); // does nothing for a destroyed one
    }
  }

  return { use, close: () => (own ? endPool(pool, sockets) : Promise.resolve()) };
}

/**
 * Ends a pool: the server is told, and closes the connections. One that does not answer gets some time, and does not keep the
 * process alive.
 */
async function endPool(pool: Pool, sockets: ReadonlySet<Socket>): Promise<void> {
  const waiting = new AbortController();
  const late = delay(CLOSE_TIMEOUT_MS, undefined, { signal: waiting.signal }).catch(() => {});
  try {
    await Promise.race([pool.end(), late]);
  } catch (error) {
    // A connection that was lost, or was never made, has nothing to release.
    if (classify(error) !== "connection") throw error;
  } finally {
    waiting.abort();
    for (const socket of sockets) socket.unref().setTimeout(CLOSE_TIMEOUT_MS, () => socket.destroy());
  }
}

const prepared = new WeakSet<object>();

/** Sets up a connection, once: with other settings of the server or the pool, an acknowledged change might not be committed. */
async function prepareSession(connection: PoolConnection): Promise<void> {
  const session: object = connection.connection;
  if (prepared.has(session)) return;
  await connection.query("SET autocommit = 1, completion_type = 0");
  prepared.add(session);
}

/** Makes a Drizzle database on one connection. */
export function drizzleOn(connection: PoolConnection): MySql2Database {
  return drizzle({ client: connection });
}

function promisePool(pool: Pool | CallbackPool): Pool {
  return "promise" in pool && typeof pool.promise === "function" ? pool.promise() : (pool as Pool);
}

/** Makes a pool. `sockets` is filled with its open sockets: the pool has no list of its connections. */
async function makePool(options: ResolvedOptions, sockets: Set<Socket>): Promise<Pool> {
  const { default: mysql } = await import("mysql2/promise");
  const connectionString = options.connectionString as string;
  const settings: PoolOptions = {
    uri: connectionString,
    connectionLimit: options.poolSize,
    // One fewer than the limit: mysql2 closes idle connections only if fewer than all may be idle.
    maxIdle: Math.max(1, options.poolSize - 1),
    idleTimeout: options.idleTimeoutMs,
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
  if (options.ssl !== null && options.ssl !== false) settings.ssl = options.ssl === true ? {} : { ...options.ssl };
  let pool: Pool;
  try {
    pool = mysql.createPool(settings);
  } catch {
    // The error would show the URL.
    throw invalidArgument(
      "options.connectionString",
      "a URL that can be parsed (is the password URL-encoded?)",
      connectionString,
    );
  }
  // An idle connection that is lost emits an error, and an error event without a listener ends the process.
  pool.on("connection", (connection) => connection.on("error", () => {}));
  return pool;
}
