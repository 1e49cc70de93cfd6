import { Server } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { property } from "../contract/errors.ts";

/**
 * A server of Node, as far as its type matters. Without `close`, whose argument is another than a storage's: so TypeScript
 * knows the type of `options` in `closeOnExit({ close(options) {} })`.
 */
export interface NodeServer {
  prependListener(event: string, listener: (...values: unknown[]) => void): unknown;
  removeListener(event: string, listener: (...values: unknown[]) => void): unknown;
  readonly listening: boolean;
}

/** The methods of a server; those that it may lack are optional. */
interface ServerMethods {
  close(callback: () => void): unknown;
  /** Absent: not a server of HTTP/1. */
  closeIdleConnections?(): void;
}

/** A connection of TCP or, above it, of TLS. */
interface Connection {
  /** Of a connection of TLS: without the handshake. */
  readonly bytesRead: number;
  once(event: "close", listener: () => void): unknown;
  destroy(): unknown;
}

interface Request {
  readonly httpVersionMajor: number;
  readonly socket: Pick<Connection, "bytesRead"> | null;
}

interface Response {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** A connection of HTTP/2. */
interface Session {
  close(): void;
  once(event: "close", listener: () => void): unknown;
}

/**
 * Time for requests that are on their way on idle connections: their clients cannot know yet that the server closes. Then idle
 * connections are closed again and again after this time: a handshake that began before may have made another one.
 */
const IDLE_MS = 500;

export function isServer(value: unknown): value is NodeServer {
  return value instanceof Server || typeof property(value, "closeIdleConnections") === "function";
}

/**
 * Closes a server so that no request is cut off. `close` of Node's own would not do: it closes idle connections at once, also
 * one on which a request has just been sent, and leaves busy ones open for the next request.
 */
export class ServerCloser {
  readonly #server: NodeServer & ServerMethods;
  readonly #connections = new Set<Connection>();
  /** Number of connections and requests so far. While a request is handled, others come. */
  #arrived = 0;
  /** The responses of HTTP/1 that have not ended yet. */
  readonly #responses = new Set<Response>();
  readonly #sessions = new Set<Session>();
  /** Connections that were there when it was last looked, and those of them on which nothing had arrived. */
  #seen: ReadonlySet<Connection> = new Set();
  #silent: ReadonlySet<Connection> = new Set();
  #isClosing = false;
  /** Set from the end of {@link IDLE_MS}. */
  #closesIdle = false;
  /** Unset once a request came from a connection that says it has read nothing, as all do on Bun. */
  #countsBytes = true;

  constructor(server: NodeServer) {
    this.#server = server as NodeServer & ServerMethods;
    for (const [event, listener] of this.#listeners) server.prependListener(event, listener);
  }

  /** Stops following the server. */
  release(): void {
    for (const [event, listener] of this.#listeners) this.#server.removeListener(event, listener);
  }

  /** Resolves when all requests are answered, or are cut off after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true;
    for (const response of this.#responses) endConnectionAfter(response);
    await this.#acceptWaiting(timeoutMs / 2);
    const closed = new Promise<void>((resolve) => stopListening(this.#server, () => resolve()));
    for (const session of this.#sessions) session.close();
    this.#look();
    const idle = setInterval(() => {
      this.#closesIdle = true;
      setImmediate(() => this.#look()); // after a pause of the process, what has arrived meanwhile is read first
    }, IDLE_MS);
    const late = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, timeoutMs);
    await closed;
    clearInterval(idle);
    clearTimeout(late);
    this.release();
  }

  readonly #listeners = new Map<string, (...values: unknown[]) => void>([
    ["connection", (connection) => this.#onConnection(connection as Connection)],
    ["secureConnection", (connection) => this.#onConnection(connection as Connection)],
    ["session", (session) => follow(this.#sessions, session as Session)],
    ["request", (request, response) => this.#onRequest(request as Request, response as Response)],
  ]);

  #onConnection(connection: Connection): void {
    this.#arrived += 1;
    follow(this.#connections, connection);
  }

  #onRequest({ httpVersionMajor, socket }: Request, response: Response): void {
    this.#arrived += 1;
    if (socket?.bytesRead === 0) this.#countsBytes = false;
    if (httpVersionMajor !== 1) return;
    follow(this.#responses, response);
    if (this.#isClosing) endConnectionAfter(response);
    response.once("close", () => {
      if (this.#closesIdle) setImmediate(() => this.#closeIdle());
    });
  }

  /**
   * Waits until no connection waits to be accepted: a socket that stops listening drops them, and Node accepts one in a turn
   * of its event loop. Does not wait for longer than `limitMs`: under too much load there is always another one.
   */
  async #acceptWaiting(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    // Two turns: the first may be the end of the one in which the signal arrived, and accepts nothing.
    for (let quietTurns = 0; quietTurns < 2 && performance.now() < until; ) {
      const before = this.#arrived;
      await turn();
      quietTurns = this.#arrived === before ? quietTurns + 1 : 0;
    }
  }

  /** Closes idle connections, unless one has come since the last look: a late handshake, whose request is on its way. */
  #look(): void {
    const isLate = [...this.#connections].some((connection) => !this.#seen.has(connection));
    this.#seen = new Set(this.#connections);
    if (this.#closesIdle && !isLate) this.#closeIdle();
    this.#closeSilent();
  }

  #closeIdle(): void {
    this.#server.closeIdleConnections?.();
    for (const session of this.#sessions) session.close();
  }

  /**
   * Closes connections that a browser has opened in advance, once nothing has arrived on them from one look to the next: older
   * versions of Node do not count them as idle. Bun, which counts no bytes, does.
   */
  #closeSilent(): void {
    if (!this.#countsBytes) return;
    const silent = new Set([...this.#connections].filter(({ bytesRead }) => bytesRead === 0));
    for (const connection of silent) if (this.#silent.has(connection)) connection.destroy();
    this.#silent = silent;
  }
}

/** Adds an object to a set until it is closed. */
function follow<Value extends { once(event: "close", listener: () => void): unknown }>(
  all: Set<Value>,
  value: Value,
): void {
  all.add(value);
  value.once("close", () => all.delete(value));
}

/** Tells the client that the connection ends with this response. */
function endConnectionAfter(response: Response): void {
  if (!response.headersSent) response.setHeader("Connection", "close");
}

/** Stops listening, and leaves idle connections open. Calls back when all connections have ended, also if it did not listen. */
function stopListening(server: ServerMethods, callback: () => void): void {
  if (server instanceof Server) Server.prototype.close.call(server, callback);
  else server.close(callback);
}
