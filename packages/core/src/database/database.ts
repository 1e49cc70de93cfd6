import type { MigrateMode } from "../contract/checkpoints.ts";
import type { Fault } from "./faults.ts";

/**
 * One database in use, with the schema of one domain (checkpoints, for example): opening, migrating, pinging, closing, and
 * the meaning of its errors. It knows no statements: a domain adds its own, see `checkpoints/dialect.ts`. Several domains may
 * stand on one connection, each with a schema and a migration history of its own.
 *
 * Methods may be called concurrently once `open` has succeeded. They reject with the driver's own errors, or with a
 * `CheckpointError` where the backend itself refuses (its schema, its options).
 *
 * When `signal` aborts, the caller has stopped waiting: release the connection that the call holds. It may never answer.
 */
export interface Database {
  /** Name for messages: "sqlite". */
  readonly name: string;
  /** Name in OpenTelemetry's conventions (`db.system.name`). Default: `name`. */
  readonly system?: string;
  /**
   * The database, for `status()`: the absolute path of its file, or the server's host, port and database. Nothing secret. Absent: it
   * is in memory, or a connection of the user's own leads to it.
   */
  readonly location?: string;
  /** Main table of the domain, for OpenTelemetry (`db.collection.name`). */
  readonly collection?: string;
  /**
   * Set where the driver is synchronous, so that promises settle before the event loop has turned. Calls then wait for a turn
   * every few milliseconds: a caller that makes one after the other would otherwise keep timers and signals from ever having
   * theirs.
   */
  readonly isSynchronous?: boolean;
  /** Version of this interface. `createStorage` refuses another one. */
  readonly apiVersion: 1;
  /** Connects, then applies or verifies the schema as the options say. Called again if it failed. */
  open(signal: AbortSignal): Promise<Opened>;
  /** Connects if need be. Returns the names of the migrations that were missing; with `"sql"`, the statements to run. */
  migrate(mode: MigrateMode, signal: AbortSignal): Promise<string[]>;
  /** Runs the cheapest statement there is. */
  ping(signal: AbortSignal): Promise<void>;
  /** Classifies a driver's error. */
  classify(error: unknown): Fault;
  /**
   * Releases what `open` has opened. Called once, when no caller waits for an answer any more; a call whose signal was
   * aborted may still be under way.
   */
  close(): Promise<void>;
}

/** Facts about a database that are known once it is open. */
export interface Opened {
  /** Name of the driver, for `status()`. */
  readonly driver?: string;
  /**
   * Set where the file at `location` was missing, and was created, also by an earlier attempt that failed. The event `created`
   * tells of it once.
   */
  readonly created?: boolean;
  /** The most bytes that the rows and writes of one commit may have together, so that the server takes its statements. */
  readonly maxStatementBytes: number;
}
