import { mainEngineOf } from "../checkpoints/storage.ts";
import type { CheckpointStorage, CloseOptions } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf, invalidArgument } from "../contract/errors.ts";
import type { StorageEvents } from "../contract/status.ts";
import { checkCloseOptions } from "../database/arguments.ts";
import { unref } from "../database/deadline.ts";
import { recordPruned } from "../database/telemetry.ts";
import { LEASE_MS, RetentionLease } from "./lease.ts";
import { type ResolvedRetention, type RetentionOptions, resolveRetention } from "./options.ts";

/** Pruning by itself, at intervals: of all processes that use a database one at a time. */

/** Longest delay before a process first looks whether a prune is due: so those that start together do not ask together. */
const FIRST_LOOK_MS = 60_000;
/** Longest random extra delay of every other look. */
const JITTER_MS = 10_000;
/** Delay after an error. */
const AFTER_ERROR_MS = 60_000;

/** Pruning that goes on by itself until it is stopped. */
export interface RetentionRunner extends AsyncDisposable {
  /**
   * Ends it, and waits for a prune under way to end, after its batch, and for its turn to be free. If the database does not
   * answer within `timeoutMs` (default 10,000), other processes wait for a minute until they prune.
   */
  stop(options?: CloseOptions): Promise<void>;
}

/**
 * Prunes a storage at intervals. Every process may start it: the database knows which of them prunes, and when the last one did.
 * It does not keep the process alive. A prune is the event `pruned`, an error is the event `pruneFailed`; none is thrown. Stop
 * it before you close the storage, so that its turn is free at once; a config with `retention` does both. It ends by itself when
 * the storage was closed. All retentions of a database share its turns, also two of one process: the first one to look prunes, by
 * its own policy alone. So start one only where the config has none.
 * @throws CheckpointError `INVALID_ARGUMENT`, also if the storage's dialect has no settings
 */
export function startRetention(storage: CheckpointStorage, options: RetentionOptions): RetentionRunner {
  return runRetention(storage, resolveRetention("options", options));
}

export function runRetention(storage: CheckpointStorage, { policy, everyMs }: ResolvedRetention): RetentionRunner {
  const engine = mainEngineOf(storage);
  if (engine === null) {
    throw invalidArgument("storage", "one of a factory, openCheckpointStorage or createReplicatedStorage", storage);
  }
  const { settings, name } = engine.dialect;
  if (settings === undefined) {
    const message = `expected storage to be of a dialect with settings, got the dialect ${name}, which has none`;
    throw new CheckpointError("INVALID_ARGUMENT", message);
  }
  return new Runner(
    storage,
    new RetentionLease(engine.session, settings, everyMs),
    { policy, everyMs },
    (event, value) => engine.events.emit(event, value),
  );
}

type Emit = <Name extends "pruned" | "pruneFailed">(event: Name, value: StorageEvents[Name]) => void;

class Runner implements RetentionRunner {
  readonly #storage: CheckpointStorage;
  readonly #lease: RetentionLease;
  readonly #retention: ResolvedRetention;
  readonly #emit: Emit;
  readonly #stopping = new AbortController();
  /** Aborted when it has waited for its turn to be free for long enough. */
  readonly #leaving = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(storage: CheckpointStorage, lease: RetentionLease, retention: ResolvedRetention, emit: Emit) {
    this.#storage = storage;
    this.#lease = lease;
    this.#retention = retention;
    this.#emit = emit;
    this.#lookAfter(Math.random() * Math.min(retention.everyMs, FIRST_LOOK_MS));
  }

  async stop(options: CloseOptions = {}): Promise<void> {
    const { timeoutMs } = checkCloseOptions(options);
    this.#end();
    const timer = setTimeout(() => this.#leaving.abort(), timeoutMs);
    await this.#looking;
    clearTimeout(timer);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #lookAfter(delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer = setTimeout(
      () => {
        this.#looking = this.#look().then(
          (waitMs) => this.#lookAfter(waitMs + Math.random() * Math.min(JITTER_MS, this.#retention.everyMs)),
          (error: unknown) => {
            const code = codeOf(error);
            if (code === "CLOSED") this.#end();
            else this.#report(code);
            this.#lookAfter(Math.min(AFTER_ERROR_MS, this.#retention.everyMs));
          },
        );
      },
      Math.min(delayMs, this.#retention.everyMs),
    );
    unref(this.#timer);
  }

  /** Prunes if it is due and this process's turn. Returns the time until the next look, in milliseconds. */
  async #look(): Promise<number> {
    const { signal } = this.#stopping;
    const waitMs = await this.#take(signal);
    if (waitMs > 0) return waitMs;
    const startedAt = Date.now();
    const lost = new AbortController();
    const renewing = setInterval(() => {
      this.#lease.renew(signal).then(
        (isHeld) => !isHeld && lost.abort(),
        () => {}, // tried again; meanwhile the lease may run out, which does no harm
      );
    }, LEASE_MS / 4);
    unref(renewing);
    let isDone = false;
    try {
      const result = await this.#storage.pruneCheckpoints({
        ...this.#retention.policy,
        signal: AbortSignal.any([signal, lost.signal]),
      });
      isDone = true;
      recordPruned(result, null);
      this.#emit("pruned", { ...result, durationMs: Date.now() - startedAt });
    } finally {
      clearInterval(renewing);
      // Also when it is being stopped: else nobody prunes until the lease has run out.
      await this.#free(isDone ? startedAt : null);
    }
    return this.#retention.everyMs;
  }

  async #take(signal: AbortSignal): Promise<number> {
    try {
      return await this.#lease.take(signal);
    } catch (error) {
      await this.#free(null); // it may have been taken, and the answer was lost
      throw error;
    }
  }

  async #free(doneAt: number | null): Promise<void> {
    await this.#lease.free(doneAt, this.#leaving.signal).catch(() => {});
  }

  #report(code: ReturnType<typeof codeOf>): void {
    if (this.#stopping.signal.aborted) return;
    recordPruned(null, code);
    this.#emit("pruneFailed", { code });
  }
}
