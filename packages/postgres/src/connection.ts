import { createConnection, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { invalidArgument, property } from "@waymark/core/kit";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Options, Sql, TransactionSql } from "postgres";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";

/** How long the queries of a client that is closed may still take, in seconds. */
const CLOSE_TIMEOUT_SECONDS = 5;
/** And of one that is replaced, before they are cancelled: whatever is cut off then is sent again by its replacement. */
const REPLACE_TIMEOUT_SECONDS = 1;
/** How long the server may take to end queries that are cancelled, one after the other on each connection. */
const CANCEL_TIMEOUT_SECONDS = 1;
const CANCEL_AGAIN_MS = 50;
/** How long a call may take to say what its last query was answered. */
const END_CALLS_MS = 50;
/** How long a call whose caller has stopped waiting may still take. */
const ABORTED_TIMEOUT_MS = 1_000;

/** The client of one storage: made of a URL, or the user's own. */
export interface Connection {
  /** Runs `work` on the client, which is given up when the deadline passes or a connection is lost. */
  use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export async function connect(options: ResolvedOptions): Promise<Connection> {
  const own = options.client as Sql | null;
  const makeClient = own === null ? await clientMaker(options) : () => own;
  let current = makeClient();

  /**
   * A query without an answer holds its connection for as long as the operating system believes in it (a server that is
   * stopped, a network that drops packets), and postgres.js has no way to give up a single one. And a connection that was
   * lost with something to be sent never sends anything when it is made again (postgres.js 3.4.9). So it is all or nothing.
   */
  function replace(stuck: Sql): void {
    if (own !== null || current !== stuck) return;
    current = makeClient();
    retire(stuck).catch(() => {}); // its queries are told themselves
  }

  async function use<Result>(signal: AbortSignal, work: (client: Sql) => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const client = current;
    let late: NodeJS.Timeout | undefined;
    const giveUp = () => {
      if (property(signal.reason, "code") === "TIMEOUT") replace(client);
      else late = setTimeout(replace, ABORTED_TIMEOUT_MS, client).unref();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await untilCut(client, work);
    } catch (error) {
      if (classify(error) === "connection") replace(client);
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
      clearTimeout(late);
    }
  }

  return { use, close: () => (own === null ? end(current, CLOSE_TIMEOUT_SECONDS) : Promise.resolve()) };
}

/** Drizzle on a client. It never prepares statements: here the option decides. */
export function drizzleOn(client: Sql, prepare: boolean): PostgresJsDatabase {
  const queries = new Set<Query>();
  queriesOf.set(client, queries);
  return drizzle({ client: shield(client, prepare, queries) });
}

/**
 * Runs `work` in a transaction. After any failure postgres.js sends a rollback, also over a connection that is lost, and
 * then throws where nobody can catch it, which ends the process (3.4.9). So it is not told of such a failure: it rejects
 * by itself as the connection closes.
 */
export async function begin<Result>(
  client: Sql,
  work: (transaction: TransactionSql) => Promise<Result>,
): Promise<Result> {
  const result = await client.begin(async (transaction) => {
    try {
      return await work(transaction);
    } catch (error) {
      if (classify(error) === "connection") await new Promise<never>(() => {});
      throw error;
    }
  });
  return result as Result;
}

/**
 * With a timeout always: without one postgres.js waits for ever if a connection was lost with a query under way. It is
 * over when the connections are: calls that still wait for one would get others.
 */
async function end(client: Sql, timeoutSeconds: number): Promise<void> {
  await client.end({ timeout: timeoutSeconds });
  holds.get(client)?.cut();
}

/** What we have of a client that is our own. */
interface Hold {
  /** Those that use it, by what ends them. */
  readonly calls: Set<(error: Error) => void>;
  /** Leaves it the sockets that it has. */
  seal(): void;
  /** Closes all of its sockets, leaves it without any from then on, and ends the calls that have no answer. */
  cut(): void;
}

const holds = new WeakMap<Sql, Hold>();

/**
 * Knows the sockets of a client. `end` forgets those that are being made, and others are made after it (postgres.js
 * 3.4.9): open, and in the pool of a client that nobody has, until they were idle for long enough. With several hosts out
 * of reach that goes on for ever.
 *
 * postgres.js takes a socket of the option `socket` for connected. To leave connecting to it, with its lists of hosts,
 * its timeout and what TLS needs, the option is not there when it is asked for again: once after each socket, a few
 * microtasks later. Others may ask for theirs before that, but not between these microtasks.
 */
function takeHold(client: Sql): void {
  const sockets = new Set<Socket>();
  const calls = new Set<(error: Error) => void>();
  const gone = () => Object.assign(new TypeError("expected a client in use"), { code: "CONNECTION_ENDED" });
  let toConnect = 0;
  let isSealed = false;
  const seal = () => {
    isSealed = true;
  };
  const makeSocket = () => {
    if (isSealed) throw gone();
    // Not by an event: postgres.js removes all listeners.
    for (const socket of sockets) if (socket.destroyed) sockets.delete(socket);
    const socket = new Socket();
    sockets.add(socket);
    queueMicrotask(() => {
      toConnect++;
    });
    return socket;
  };
  Object.defineProperty(client.options, "socket", {
    get() {
      if (toConnect === 0) return makeSocket;
      toConnect--;
      return undefined;
    },
  });
  holds.set(client, {
    calls,
    seal,
    cut() {
      seal();
      for (const socket of sockets) socket.destroy();
      // Not those whose last answer has just come.
      setTimeout(() => {
        for (const endCall of calls) endCall(gone());
      }, END_CALLS_MS).unref();
    },
  });
}

/** Runs `work` until the client is cut: what waits there for a connection is told nothing. */
async function untilCut<Result>(client: Sql, work: (client: Sql) => Promise<Result>): Promise<Result> {
  const calls = holds.get(client)?.calls;
  if (calls === undefined) return await work(client);
  let endCall: ((error: Error) => void) | undefined;
  try {
    return await new Promise<Result>((resolve, reject) => {
      endCall = reject;
      calls.add(reject);
      work(client).then(resolve, reject);
    });
  } finally {
    if (endCall) calls.delete(endCall);
  }
}

/** As much of a postgres.js query as tells which of the server's processes runs it (3.4.9). */
interface Query extends PromiseLike<unknown> {
  readonly active?: boolean;
  readonly state?: { readonly pid: number | null; readonly secret: number | null } | null;
}

/** Those without an answer, of each client. */
const queriesOf = new WeakMap<Sql, Set<Query>>();

function track<Result extends Query>(queries: Set<Query>, query: Result): Result {
  const done = () => queries.delete(query);
  queries.add(query);
  query.then(done, done);
  return query;
}

/**
 * Ends a client, and what its queries do at the server. One that waits for a lock does not notice that its connection is
 * closed: it would stay until the lock goes, and with each deadline there would be as many more as the pool is large.
 *
 * No timeout of the server's own does that for all: as parameters of the start of a connection poolers refuse them,
 * `set` would stay in a session that a pooler gives to others, and `set local` takes a transaction for each statement.
 */
async function retire(client: Sql): Promise<void> {
  const queries = queriesOf.get(client) ?? new Set();
  // A call that waits for a connection would get another one for each that ends, be sent after all, and be cut off: at the
  // server it would stay.
  holds.get(client)?.seal();
  const ended = end(client, REPLACE_TIMEOUT_SECONDS + CANCEL_TIMEOUT_SECONDS).finally(() => queries.clear());
  const cancelled = new WeakMap<Query, number>();
  await Promise.race([ended, delay(REPLACE_TIMEOUT_SECONDS * 1_000, undefined, { ref: false })]);
  for (let again = 0; again < (CANCEL_TIMEOUT_SECONDS * 1_000) / CANCEL_AGAIN_MS && queries.size > 0; again++) {
    for (const query of queries) {
      // Others are sent, but wait until this one is done.
      if (query.active !== true || again < (cancelled.get(query) ?? 0)) continue;
      cancelled.set(query, again + 5); // a pooler may lose it
      cancel(client, query);
    }
    await delay(CANCEL_AGAIN_MS, undefined, { ref: false });
  }
  await ended;
}

/**
 * Asks the server, or the pooler, to end a query. Not by postgres.js's own `cancel()`: it may reject to nobody, and keeps
 * the process from its end if the server is silent. Not encrypted, as libpq does it before version 17; a server that
 * does not listen to that ends the query when it can.
 */
function cancel(client: Sql, { state }: Query): void {
  const { host, port, path } = client.options as { host: string[]; port: number[]; path?: string | false };
  if (typeof state?.pid !== "number" || typeof state.secret !== "number") return;
  const message = Buffer.alloc(16);
  for (const [at, part] of [16, 80_877_102, state.pid, state.secret].entries()) message.writeUInt32BE(part, at * 4);
  for (const [at, name] of host.entries()) {
    const socket = path ? createConnection(path) : createConnection(port[at] ?? 5_432, name);
    socket.setTimeout(CANCEL_TIMEOUT_SECONDS * 1_000, () => socket.destroy());
    socket.on("error", () => {}); // it may be gone
    socket.unref().end(message);
  }
}

async function clientMaker(options: ResolvedOptions): Promise<() => Sql> {
  const { default: postgres } = await import("postgres");
  const settings: Options<never> = {
    max: options.poolSize,
    connect_timeout: options.connectTimeoutMs / 1_000,
    idle_timeout: options.idleTimeoutMs / 1_000,
    // Between attempts to connect; by default it grows to 20 s, and a database that is back would wait for us.
    backoff: (attempt: number) => Math.min(2 ** attempt / 100, 1),
    // Poolers: nothing that lives in a session, and no question about types when a connection starts.
    prepare: options.prepare,
    fetch_types: false,
    onnotice: () => {}, // else postgres.js prints them
    connection: { application_name: "waymark" },
  };
  if (options.ssl !== null) settings.ssl = options.ssl as NonNullable<typeof settings.ssl>;
  const connectionString = options.connectionString as string;
  return () => {
    try {
      const client = postgres(connectionString, settings);
      takeHold(client);
      return client;
    } catch {
      // The error would show the URL.
      throw invalidArgument(
        "options.connectionString",
        "a URL that can be parsed (is the password URL-encoded?)",
        connectionString,
      );
    }
  };
}

/**
 * What Drizzle sees of a client. Drizzle overwrites the parsers and serializers of the client that it is given, so that
 * a user's own client would read dates as strings from then on: it gets lists of its own to write to.
 */
function shield(client: Sql | TransactionSql, prepare: boolean, queries: Set<Query>): Sql {
  const shielded = {
    options: { parsers: {}, serializers: {} },
    unsafe: (query: string, parameters: never[]) => track(queries, client.unsafe(query, parameters, { prepare })),
    begin: (work: (transaction: Sql) => Promise<unknown>) =>
      begin(client as Sql, (transaction) => work(shield(transaction, prepare, queries))),
  };
  return shielded as unknown as Sql;
}
