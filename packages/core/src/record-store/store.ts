import type { MigrateMode } from "../contract/checkpoints.ts";
import { oneOf } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, property } from "../contract/errors.ts";
import type { ProviderStatus, StorageEvents, StorageHealth } from "../contract/status.ts";
import { checkCallOptions, checkMigrateMode } from "../database/arguments.ts";
import { Emitter } from "../database/events.ts";
import type { ResolvedDatabaseOptions } from "../database/options.ts";
import { Session } from "../database/session.ts";
import type { Records } from "../records/records.ts";
import type { RecordDialect } from "./dialect.ts";

const EVENTS = ["retry", "circuit", "created"] as const;

/** Work on open tables. `signal` aborts at the call's deadline. */
export type RecordWork<Result> = (records: Records, signal: AbortSignal) => Promise<Result>;

/** What is known of a record store's database. */
export type RecordStatus = Omit<ProviderStatus, "backlog" | "replicated">;

export interface RecordCallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline of work that takes longer than a call, in milliseconds. Default: `operationTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

/**
 * The tables of one domain in one database, for packages that keep rows of their own beside checkpoints and memory: opened and migrated at
 * first use, with a deadline, retries by fault and a circuit breaker for each call.
 */
export class RecordStore {
  readonly #dialect: RecordDialect;
  readonly #session: Session;
  readonly #events = new Emitter<StorageEvents>();

  /** @throws CheckpointError `INVALID_ARGUMENT` if the dialect is of another `apiVersion` */
  constructor(
    dialect: RecordDialect,
    options: Pick<ResolvedDatabaseOptions, "operationTimeoutMs" | "retry" | "circuit">,
  ) {
    if (property(dialect, "apiVersion") !== 1) {
      throw invalidArgument("dialect.apiVersion", "1", property(dialect, "apiVersion"));
    }
    this.#dialect = dialect;
    this.#session = new Session(dialect, options, this.#events);
  }

  /** Name of the dialect: "sqlite", "postgres", "mysql". */
  get name(): string {
    return this.#dialect.name;
  }

  /** Whether {@link drizzle} has a database. */
  get hasDrizzle(): boolean {
    return this.#dialect.drizzle !== undefined;
  }

  /**
   * Runs work on the tables; it is run again after a fault that may pass, so it must bear that. `operation` says in messages what was being
   * done: "create memory".
   * @throws CheckpointError any code of a database's
   */
  run<Result>(operation: string, work: RecordWork<Result>, options: RecordCallOptions = {}): Promise<Result> {
    const { signal, timeoutMs } = options;
    const { records } = this.#dialect;
    return this.#session.run(operation, signal, (deadline) => work(records, deadline), undefined, timeoutMs);
  }

  /** Returns whether work failed, within `run`, because a row has a key that is taken. */
  isDuplicate(error: unknown): boolean {
    return this.#session.isDuplicate(error);
  }

  /** Returns whether work failed, within `run`, because a row names one that is not there. */
  isForeignKey(error: unknown): boolean {
    return this.#session.isForeignKey(error);
  }

  /** Returns a database of Drizzle's on the same connection. @throws CheckpointError `INVALID_CONFIG` if there is none for others */
  async drizzle(): Promise<unknown> {
    const dialect = this.#dialect;
    const operation = "open Drizzle database";
    if (dialect.drizzle === undefined) {
      throw new CheckpointError("INVALID_CONFIG", `${operation}: ${dialect.name} has none for others`);
    }
    return await this.#session.run(operation, undefined, (deadline) => dialect.drizzle?.(deadline) as Promise<unknown>);
  }

  /** Connects, and says whether the database answers. Never rejects. */
  async health(options: { readonly signal?: AbortSignal } = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    const start = performance.now();
    try {
      await this.#session.ping(signal);
      return { ok: true, latencyMs: performance.now() - start };
    } catch (error) {
      return { ok: false, latencyMs: performance.now() - start, error: error as CheckpointError };
    }
  }

  status(): RecordStatus {
    return this.#session.status();
  }

  /** Applies, verifies or returns the migrations that are missing, as `migrate` of a storage. */
  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const checked = checkMigrateMode(mode);
    const dialect = this.#dialect;
    return await this.#session.runUnopened("migrate schema", undefined, (deadline) =>
      dialect.migrate(checked, deadline),
    );
  }

  /** Adds a listener, and returns the function that removes it. */
  on<Name extends (typeof EVENTS)[number]>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    oneOf("event", event, EVENTS);
    if (typeof listener !== "function") throw invalidArgument("listener", "a function", listener);
    return this.#events.on(event, listener);
  }

  /** Waits for the calls under way, and closes the database. */
  async close(): Promise<void> {
    await this.#session.close();
  }
}
