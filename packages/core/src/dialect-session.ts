import { ExponentialBackoff, handleWhen, type RetryPolicy, retry } from "cockatiel";
import type { Dialect, Fault, Opened } from "./dialect.ts";
import { CheckpointError, type CheckpointErrorCode, property, withoutValues } from "./errors.ts";
import { Opening } from "./opening.ts";

/**
 * One dialect in use: opens it once, gives each call a deadline, repeats what a repetition cures, and turns every
 * error into a `CheckpointError`.
 */
export class DialectSession {
  readonly #dialect: Dialect;
  readonly #timeoutMs: number;
  readonly #retries: RetryPolicy;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Shared by all calls, so no caller's signal ends it. */
  readonly #opening: Opening<Opened>;
  #closing: Promise<void> | null = null;

  constructor(dialect: Dialect, timeoutMs: number) {
    this.#dialect = dialect;
    this.#timeoutMs = timeoutMs;
    this.#opening = new Opening(() =>
      withDeadline("open database", timeoutMs, undefined, (limit) => dialect.open(limit)),
    );
    this.#retries = retry(
      handleWhen((error) => isTransient(this.#fault(error))),
      { maxAttempts: MAX_RETRIES, backoff: new ExponentialBackoff({ initialDelay: 20, maxDelay: 1_000 }) },
    );
  }

  /** Runs `work` on the opened dialect. `operation` says in messages what was being done: "store checkpoint". */
  run<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal, opened: Opened) => Promise<Result>,
  ): Promise<Result> {
    return this.runUnopened(operation, signal, async (limit) => {
      const opened = await this.#opening.get(limit);
      limit.throwIfAborted();
      return await work(limit, opened);
    });
  }

  /** Runs `work`, which opens what it needs itself. */
  async runUnopened<Result>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    if (this.#closing !== null) throw new CheckpointError("CLOSED", `${operation}: the storage was closed`);
    const attempts = (limit: AbortSignal) =>
      this.#retries.execute(() => {
        limit.throwIfAborted();
        return work(limit);
      });
    const call = withDeadline(operation, this.#timeoutMs, signal, attempts);
    this.#underWay.add(call);
    try {
      return await call;
    } catch (error) {
      throw this.#translate(operation, error);
    } finally {
      this.#underWay.delete(call);
    }
  }

  /** Whether a commit failed because a row with this id, or after the same row, is there. */
  isDuplicate(error: unknown): boolean {
    return this.#fault(error) === "duplicate";
  }

  /** Whether a commit failed because a row's base is gone, or a row to remove is another one's base. */
  isForeignKey(error: unknown): boolean {
    return this.#fault(error) === "foreign-key";
  }

  /** Whether a commit of several rows may have failed because of one of them. */
  mayBeOneRows(error: unknown): boolean {
    const fault = this.#fault(error);
    return fault === undefined ? property(error, "code") === "STATE_TOO_LARGE" : ROW_FAULTS.has(fault);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    await this.#opening.current(); // nobody waits for one under way any more, but it may hold a connection
    try {
      await withDeadline("close storage", this.#timeoutMs, undefined, () => this.#dialect.close());
    } catch (error) {
      throw this.#translate("close storage", error);
    }
  }

  #fault(error: unknown): Fault | undefined {
    return error instanceof CheckpointError ? undefined : this.#dialect.classify(error);
  }

  #translate(operation: string, error: unknown): CheckpointError {
    if (error instanceof CheckpointError) return error;
    const [code, words] = MEANING[this.#dialect.classify(error)];
    const cause = withoutValues(error);
    const driver = cause.code === undefined ? "" : ` (${cause.code})`;
    return new CheckpointError(code, `${operation}: ${this.#dialect.name}: ${words}${driver}`, { cause });
  }
}

/** Enough for dozens of writers that deadlock each other, and over within about four seconds for a server that is down. */
const MAX_RETRIES = 6;

/** Everything we send may be sent again: a store's id makes it one, reads and removals repeat as they are. */
function isTransient(fault: Fault | undefined): boolean {
  return fault === "serialization" || fault === "connection" || fault === "overload" || fault === "busy";
}

const ROW_FAULTS: ReadonlySet<Fault> = new Set(["duplicate", "foreign-key", "too-large", "other"]);

const MEANING: Readonly<Record<Fault, readonly [CheckpointErrorCode, string]>> = {
  duplicate: ["CONFLICT", "there is another row with this key"],
  "foreign-key": ["CONTENTION", "rows that build on each other were changed by another client"],
  serialization: ["CONTENTION", "rolled back in favour of other clients, again and again"],
  busy: ["CONTENTION", "a lock was not had in time"],
  connection: ["UNAVAILABLE", "no connection, or it was lost"],
  overload: ["UNAVAILABLE", "the server takes no more connections"],
  access: ["ACCESS_DENIED", "no such database or file, or no right to it, or a wrong user or password"],
  "read-only": ["READ_ONLY", "the database takes no writes now"],
  full: ["STORAGE_FULL", "no space left"],
  "too-large": ["STATE_TOO_LARGE", "the server took it for too large"],
  schema: [
    "SCHEMA_OUTDATED",
    'a table or column is missing: open with migrate "auto", or run what storage.migrate("sql") says',
  ],
  timeout: ["TIMEOUT", "the server ended the statement for taking too long"],
  other: ["DATABASE_ERROR", "the database refused"],
};

/**
 * Settles when `work` does, or at the deadline, or when the caller's signal aborts, whichever is first. `work` gets a
 * signal that tells it so.
 */
function withDeadline<Result>(
  operation: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(operation));
      return;
    }
    const limit = new AbortController();
    const settle = () => {
      clearTimeout(timer);
      stopListening();
    };
    const giveUp = (error: CheckpointError) => {
      settle();
      reject(error);
      limit.abort(error);
    };
    const timer = setTimeout(() => {
      giveUp(new CheckpointError("TIMEOUT", `${operation}: not done within ${timeoutMs} ms`));
    }, timeoutMs);
    const stopListening = signal === undefined ? () => {} : listen(signal, () => giveUp(aborted(operation)));
    // After a deadline nobody listens any more: the late answer, good or bad, has a listener all the same. What throws at
    // once is a rejection too, or the timer would go on and hold up the process's end.
    const running = (async () => await work(limit.signal))();
    running.then(resolve, reject).finally(settle);
  });
}

const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

function callBack(this: AbortSignal): void {
  for (const callback of callbacksOf.get(this) ?? []) callback();
}

/** Calls back when the signal aborts. One listener for all calls with one signal: Node warns of more than ten. */
function listen(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = callbacksOf.get(signal) ?? new Set();
  callbacksOf.set(signal, callbacks);
  callbacks.add(callback);
  signal.addEventListener("abort", callBack); // the same listener again is no other one
  return () => {
    callbacks.delete(callback);
    if (callbacks.size === 0) signal.removeEventListener("abort", callBack);
  };
}

function aborted(operation: string): CheckpointError {
  return new CheckpointError("ABORTED", `${operation}: the caller's signal ended it`);
}
