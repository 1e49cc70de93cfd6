import type { CheckpointStorage, CommonStorageOptions } from "@waymark/core";

/** Describes storages on a kind of database server, and the server, to the suites for servers. Each suite may need more. */
export interface ServerTarget {
  /** For the test report. */
  readonly name: string;
  /** Administrator's URL of a server that answers for as long as the tests run. Other tests may use it at the same time. */
  readonly url: string;
  /**
   * URL of a module that plain Node can import (built JavaScript) and that exports `createCheckpointStorage`: child processes
   * open their storages with it.
   */
  readonly module: string;
  /** Makes a storage. The suites close it. */
  open(options: ServerStorageOptions): CheckpointStorage;
  /** Makes an empty database of a new name, on the server with this administrator's URL. */
  createDatabase(serverUrl: string): Promise<ServerDatabase>;
  /** Starts a TCP proxy before the server of a URL. */
  startProxy(url: string): Promise<ServerProxy>;
  /** Runs statements in turn on a connection of their own. Returns the rows of the last: values by the names of their columns. */
  run(url: string, ...statements: readonly string[]): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** Options that the suites use. */
export interface ServerStorageOptions extends CommonStorageOptions {
  readonly connectionString: string;
  readonly poolSize?: number;
  readonly idleTimeoutMs?: number;
}

export interface ServerDatabase {
  readonly name: string;
  readonly url: string;
  /** Ends all connections to the database, and removes it. */
  drop(): Promise<void>;
}

/** A server that a test may kill and pause: nobody else uses it. */
export interface OwnServer {
  /** Administrator's URL. */
  readonly url: string;
  /** Ends it without warning. What was committed is not lost. */
  kill(): Promise<void>;
  /** Starts it after `kill`, on the same port and data. Resolves when it answers. */
  start(): Promise<void>;
  /** Stops it from answering. Connections stay open. */
  pause(): Promise<void>;
  /** Ends the pause. */
  resume(): Promise<void>;
  /** Ends it for good and removes its data. */
  stop(): Promise<void>;
}

/** A TCP proxy: a network that a test can break. */
export interface ServerProxy {
  /** The server's URL through the proxy. */
  readonly url: string;
  /** Number of clients that are connected. */
  readonly connections: number;
  /** Cuts all connections on both sides. */
  dropAll(): void;
  /** Refuses new connections while it is on. Open ones stay. */
  refuse(on: boolean): Promise<void>;
  /** Lets all bytes vanish while it is on, and new connections lead nowhere. When it ends, all connections are cut. */
  blackhole(on: boolean): void;
  /**
   * Decides on every chunk from now on. After `"hold"` all that follows on that connection in that direction waits too, until
   * the next call of `intercept`. Without a function all chunks are forwarded.
   */
  intercept(decide?: (chunk: Uint8Array, direction: "to-server" | "to-client") => "forward" | "hold" | "drop"): void;
  stop(): Promise<void>;
}
