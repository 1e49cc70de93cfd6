import { createConnection, isIP, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate } from "node:tls";
import { invalidArgument, property, rootCause, type ServerAddress, unref } from "@waymark/core/kit";
import { drizzle, type PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Options, Sql, TransactionSql } from "postgres";
import { endsConnection, NO_TLS } from "./errors.ts";
import type { PostgresTls, ResolvedOptions } from "./options.ts";
import type { ServerUrl } from "./url.ts";

/** Time for the queries of a replaced client before they are cancelled: its replacement sends them again. */
const REPLACE_TIMEOUT_SECONDS = 1;
/** Time for the server to end cancelled queries, one after the other on each connection. */
const CANCEL_TIMEOUT_SECONDS = 1;
const CANCEL_AGAIN_MS = 50;
/** Time for a call to settle once its last query was answered. */
const END_CALLS_MS = 50;

export const DEFAULT_PORT = 5_432;

/** The type bytea. The parser of postgres.js reads one of the two forms that servers write, by their setting `bytea_output`. */
export const BYTEA = {
  to: 17,
  from: [17],
  serialize: (bytes: Uint8Array) => `\\x${Buffer.from(bytes).toString("hex")}`,
  parse(text: string): Buffer {
    if (text.startsWith("\\x")) return Buffer.from(text.slice(2), "hex");
    const bytes = text.replace(/\\(\\|[0-7]{3})/g, (_, code: string) =>
      code === "\\" ? code : String.fromCharCode(Number.parseInt(code, 8)),
    );
    return Buffer.from(bytes, "latin1");
  },
};

/**
 * Returns a function that makes clients. postgres.js gets each part of the address by itself, and no URL to read. `fetchTypes`: asks the
 * server which types arrays are of, so that these are read as lists.
 */
export async function clientMaker(options: ResolvedOptions, { fetchTypes = false } = {}): Promise<() => Sql> {
  const { default: postgres } = await import("postgres");
  const server = options.server as ServerUrl;
  const { user, password, database, targetSession } = server;
  const tls = tlsOf(server, options.ssl);
  const settings = {
    ...server.driverOptions,
    ...addressOf(server.addresses),
    ...(user !== null && { user }),
    ...(password !== null && { password }),
    ...(database !== null && { database }),
    ...(targetSession !== null && { target_session_attrs: targetSession }),
    ssl: tls,
    sslnegotiation: server.hasDirectTls ? "direct" : null,
    max: options.poolSize,
    connect_timeout: options.connectTimeoutMs / 1_000,
    idle_timeout: options.idleTimeoutMs / 1_000,
    // Between attempts to connect. By default it grows to 20 s, for which a database that has come back would wait.
    backoff: (attempt: number) => Math.min(2 ** attempt / 100, 1),
    // For poolers: nothing that lives in a session, and no query for types when a connection starts.
    prepare: options.prepare,
    fetch_types: fetchTypes,
    onnotice: () => {}, // by default postgres.js prints notices
    connection: { application_name: "waymark", ...server.serverSettings },
    types: { bytea: BYTEA },
  };
  const asksForTls = tls !== false && tls !== "prefer" && !server.hasDirectTls;
  return () => {
    const client = postgres(settings as unknown as Options<never>);
    followSockets(client, asksForTls);
    return client;
  };
}

/** Lists the hosts and ports; or the path of a socket, for which a URL may name its folder, as with libpq. */
function addressOf(addresses: readonly ServerAddress[]): { host: string[]; port: number[]; path?: string } {
  const host = addresses.map((address) => address.host);
  const port = addresses.map((address) => address.port ?? DEFAULT_PORT);
  const [first = ""] = host;
  if (!first.startsWith("/")) return { host, port };
  return {
    host,
    port,
    path: /\/\.s\.PGSQL\.\d+$/.test(first) ? first : `${first.replace(/\/$/, "")}/.s.PGSQL.${port[0]}`,
  };
}

/** TLS in the words of postgres.js: none, if the server has it, or as these options of node:tls say. */
function tlsOf({ addresses, tls }: ServerUrl, ssl: PostgresTls | null): false | "prefer" | ConnectionOptions {
  if (addresses.some(({ host }) => host.startsWith("/"))) return false;
  const verifyHost = { checkServerIdentity: hostChecker(addresses.map(({ host }) => host)) };
  if (ssl === null) {
    if (tls === null) return false;
    if (tls.isOptional) return "prefer";
    if (tls.verifies === "nothing") return { ...tls.options, rejectUnauthorized: false };
    return { ...tls.options, ...(tls.verifies === "chain" ? { checkServerIdentity: () => undefined } : verifyHost) };
  }
  if (ssl === false || ssl === "disable") return false;
  if (ssl === "prefer" || ssl === "allow") return "prefer";
  if (ssl === "require") return { rejectUnauthorized: false };
  if (ssl === "verify-ca") return { checkServerIdentity: () => undefined };
  return ssl === true || ssl === "verify-full" ? verifyHost : { ...verifyHost, ...ssl };
}

/** Makes the check that a certificate is for a host. postgres.js names no host that is an IP address: Node would check `localhost`. */
function hostChecker(hosts: readonly string[]) {
  return (name: string, certificate: PeerCertificate): Error | undefined => {
    const candidates = hosts.includes(name) ? [name] : hosts.filter((host) => isIP(host) !== 0);
    const errors = (candidates.length > 0 ? candidates : [name]).map((host) => checkServerIdentity(host, certificate));
    return errors.includes(undefined) ? undefined : errors[0];
  };
}

/**
 * Names the setting of the URL that a server, or a pooler, refused when a connection started; `null`: the error is another one.
 */
export function refusedSetting(error: unknown, { serverSettings }: ServerUrl): string | null {
  const cause = rootCause(error);
  const [code, message] = [property(cause, "code"), property(cause, "message")];
  // Unknown, an invalid value, no right to set it, cannot be set now; pgbouncer's word for all of them.
  if (!["42704", "22023", "42501", "55P02", "08P01"].includes(String(code)) || typeof message !== "string") return null;
  const names = Object.keys(serverSettings);
  const named = names.find((name) =>
    new RegExp(`(?<![\\w.])${name.replaceAll(".", "\\.")}(?![\\w.])`, "i").test(message),
  );
  return named ?? (names.includes("options") && /parameter/.test(message) ? "options" : null);
}

/** Makes a Drizzle database on a client. Drizzle never prepares statements: here the option decides. */
export function drizzleOn(client: Sql, prepare: boolean): PostgresJsDatabase {
  return drizzle({ client: shield(client, prepare, queriesOf(client)) });
}

/** Rows as lists of values, in the order of their columns, and the number of rows that the statement concerned. */
export type Rows = readonly (readonly unknown[])[] & { readonly count: number };

/** Runs statements whose text is there: on a client, or in a transaction on one of its connections. */
export interface Runner {
  run(text: string, parameters: readonly unknown[]): PromiseLike<Rows>;
}

/** A runner that begins transactions. */
export interface ClientRunner extends Runner {
  begin<Result>(work: (runner: Runner) => Promise<Result>): Promise<Result>;
}

/** Makes a runner on a client, for statements that do without Drizzle when they run. */
export function runnerOn(client: Sql, prepare: boolean): ClientRunner {
  const queries = queriesOf(client);
  const on = (one: Sql | TransactionSql): Runner => ({
    run: (text, parameters) =>
      track(queries, one.unsafe(text, parameters as never[], { prepare }).values()) as PromiseLike<Rows>,
  });
  return { ...on(client), begin: (work) => begin(client, (transaction) => work(on(transaction))) };
}

/** Sends a query that returns at once. */
export async function ping(client: Sql, prepare: boolean): Promise<void> {
  await track(queriesOf(client), client.unsafe("select 1", [], { prepare }));
}

/** Checks that a user's client returns bytes as they are. @throws CheckpointError `INVALID_ARGUMENT` */
export async function checkBytes(client: Sql, prepare: boolean): Promise<void> {
  const query = client.unsafe("select decode('5cff', 'hex')", [], { prepare }).values();
  const [[bytes] = []] = await track(queriesOf(client), query);
  if (bytes instanceof Uint8Array && Buffer.compare(bytes, Buffer.from([0x5c, 0xff])) === 0) return;
  const expected =
    "a client that returns bytea as its bytes (without a transform, on a server with bytea_output = hex)";
  throw invalidArgument("options.client", expected, bytes);
}

/**
 * Wraps a client for Drizzle, which overwrites the parsers and serializers of the client that it is given: a client that a user
 * handed in would read dates as strings from then on. So Drizzle gets lists of its own to write to.
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

/**
 * Runs `work` in a transaction. When its connection is lost, the transaction rejects at once, but `work` may go on, and postgres.js would
 * send what comes then, and a commit or a rollback, over the lost connection: it throws where nobody can catch it, which ends the
 * process; or over the connection that has taken its place, outside of any transaction (3.4.9). So nothing is sent any more, and
 * postgres.js is not told how `work` ended.
 */
export async function begin<Result>(
  client: Sql,
  work: (transaction: TransactionSql) => Promise<Result>,
): Promise<Result> {
  let isOver = false;
  const never = new Promise<never>(() => {});
  try {
    // A database's default may be stricter: then a transaction sees the rows as they were before it waited for a lock.
    const result = await client.begin("isolation level read committed", async (transaction) => {
      try {
        const result = await work(refuseWhen(() => isOver, transaction));
        return isOver ? await never : result;
      } catch (error) {
        if (isOver || endsConnection(error)) await never;
        throw error;
      }
    });
    return result as Result;
  } finally {
    isOver = true;
  }
}

/** Wraps a transaction: once it is over, every use of it throws. */
function refuseWhen(isOver: () => boolean, transaction: TransactionSql): TransactionSql {
  const check = () => {
    if (isOver()) throw Object.assign(new TypeError("expected a transaction under way"), { code: "CONNECTION_CLOSED" });
  };
  return new Proxy(transaction, {
    get(target, key) {
      check();
      return Reflect.get(target, key);
    },
    apply(target, self, args) {
      check();
      return Reflect.apply(target as unknown as (...args: unknown[]) => unknown, self, args);
    },
  });
}

/**
 * Ends a client when its queries are done, or the timeout passes. Without a timeout postgres.js waits for ever if a connection
 * was lost with a query under way. The sockets are closed then too: calls that still wait for a connection would get others.
 */
export async function endClient(client: Sql, timeoutSeconds: number): Promise<void> {
  await client.end({ timeout: timeoutSeconds });
  clientSockets.get(client)?.destroy();
}

export function clientEnded(): Error {
  return Object.assign(new TypeError("expected a client in use"), { code: "CONNECTION_ENDED" });
}

/** Sockets of a client of ours, and the calls that use it. */
interface ClientSockets {
  /** Functions that end the calls. */
  readonly calls: Set<(error: Error) => void>;
  /** Makes no more sockets. Those that are there stay. */
  seal(): void;
  /** Destroys all sockets, makes no more, and ends the calls that have no answer. */
  destroy(): void;
}

const clientSockets = new WeakMap<Sql, ClientSockets>();

/**
 * Follows the sockets of a client. `end` forgets those that are being made, and others are made after it (postgres.js 3.4.9):
 * open, in the pool of a client that nobody has, until they were idle for long enough. With several hosts that are unreachable
 * that goes on for ever.
 *
 * postgres.js takes a socket of its option `socket` for connected. Connecting is left to postgres.js, with its lists of hosts,
 * its timeout and what TLS needs: so the option is absent when postgres.js reads it again, once after each socket, a few
 * microtasks later. Other reads for new sockets may come before that, but not between these microtasks.
 */
function followSockets(client: Sql, asksForTls: boolean): void {
  const sockets = new Set<Socket>();
  const calls = new Set<(error: Error) => void>();
  let toConnect = 0;
  let isSealed = false;
  const seal = () => {
    isSealed = true;
  };
  const makeSocket = () => {
    if (isSealed) throw clientEnded();
    // Checked here and not by an event: postgres.js removes all listeners.
    for (const socket of sockets) if (socket.destroyed) sockets.delete(socket);
    const socket = new Socket();
    if (asksForTls) endUnlessTls(socket);
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
  clientSockets.set(client, {
    calls,
    seal,
    destroy() {
      seal();
      for (const socket of sockets) socket.destroy();
      // Later: the last answer of some calls may just have come.
      const endCalls = () => {
        for (const endCall of calls) endCall(clientEnded());
      };
      unref(setTimeout(endCalls, END_CALLS_MS));
    },
  });
}

/**
 * Ends a socket whose server answers a request for TLS with no. postgres.js would begin the handshake all the same, and what
 * comes then looks like an outage (3.4.9).
 */
function endUnlessTls(socket: Socket): void {
  socket.push = (answer: Buffer | null) => {
    Reflect.deleteProperty(socket, "push");
    if (answer?.[0] !== "N".charCodeAt(0)) return socket.push(answer);
    socket.destroy(Object.assign(new TypeError("expected a server with TLS"), { code: NO_TLS }));
    return false;
  };
}

/** Runs `work` until the client's sockets are destroyed: postgres.js tells nothing to queries that wait for a connection. */
export async function untilDestroyed<Result>(client: Sql, work: (client: Sql) => Promise<Result>): Promise<Result> {
  const calls = clientSockets.get(client)?.calls;
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

/** The parts of a postgres.js query that tell which of the server's processes runs it (3.4.9). */
interface Query extends PromiseLike<unknown> {
  readonly active?: boolean;
  readonly state?: { readonly pid: number | null; readonly secret: number | null } | null;
}

/** Queries without an answer, by client. */
const unansweredQueries = new WeakMap<Sql, Set<Query>>();

function queriesOf(client: Sql): Set<Query> {
  const queries = unansweredQueries.get(client) ?? new Set();
  unansweredQueries.set(client, queries);
  return queries;
}

function track<Result extends Query>(queries: Set<Query>, query: Result): Result {
  const done = () => queries.delete(query);
  queries.add(query);
  query.then(done, done);
  return query;
}

/**
 * Ends a client that is being replaced, and cancels its queries at the server. A query that waits for a lock does not notice that
 * its connection is closed: it would stay until the lock is released, and each deadline would add as many as the pool is large.
 *
 * No timeout of the server does that for all: poolers refuse such parameters at the start of a connection, `set` would stay in a
 * session that a pooler gives to others, and `set local` takes a transaction for each statement.
 */
export async function retireClient(client: Sql): Promise<void> {
  const queries = queriesOf(client);
  // A call that waits for a connection would get a new one as others end, be sent after all, and be cut off: its query would
  // stay at the server.
  clientSockets.get(client)?.seal();
  const ended = endClient(client, REPLACE_TIMEOUT_SECONDS + CANCEL_TIMEOUT_SECONDS).finally(() => queries.clear());
  const cancelAgainAt = new WeakMap<Query, number>();
  await Promise.race([ended, delay(REPLACE_TIMEOUT_SECONDS * 1_000, undefined, { ref: false })]);
  for (let round = 0; round < (CANCEL_TIMEOUT_SECONDS * 1_000) / CANCEL_AGAIN_MS && queries.size > 0; round++) {
    for (const query of queries) {
      // Queries that are not active are sent, but wait until the active one is done.
      if (query.active !== true || round < (cancelAgainAt.get(query) ?? 0)) continue;
      cancelAgainAt.set(query, round + 5); // a pooler may lose the request
      cancel(client, query);
    }
    await delay(CANCEL_AGAIN_MS, undefined, { ref: false });
  }
  await ended;
}

/**
 * Asks the server, or the pooler, to cancel a query. Not by postgres.js's own `cancel()`: its rejection may be unhandled, and it
 * keeps the process alive if the server is silent. The request is not encrypted, as libpq sends it before version 17; a server
 * that does not accept that ends the query when it can.
 */
function cancel(client: Sql, { state }: Query): void {
  const { host, port, path } = client.options as { host: string[]; port: number[]; path?: string | false };
  if (typeof state?.pid !== "number" || typeof state.secret !== "number") return;
  const message = Buffer.alloc(16);
  for (const [at, part] of [16, 80_877_102, state.pid, state.secret].entries()) message.writeUInt32BE(part, at * 4);
  for (const [at, name] of host.entries()) {
    const socket = path ? createConnection(path) : createConnection(port[at] ?? DEFAULT_PORT, name);
    socket.setTimeout(CANCEL_TIMEOUT_SECONDS * 1_000, () => socket.destroy());
    socket.on("error", () => {}); // the server may be gone
    socket.unref().end(message);
  }
}
