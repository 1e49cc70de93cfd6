import { ConsecutiveBreaker } from "cockatiel";
import type { Given } from "../contract/checks.ts";
import { CheckpointError } from "../contract/errors.ts";
import type { CircuitOptions } from "../contract/options.ts";
import type { CircuitState } from "../contract/status.ts";
import { pause, unref } from "./deadline.ts";

/** Delay between two probes; it doubles with each. */
const PROBE_DELAY_MS = 100;
const MAX_PROBE_DELAY_MS = 5_000;

export interface CircuitTarget {
  /** Name of the database, for messages. */
  readonly name: string;
  /** Pings the database, within a deadline of its own. Rejects if it is unreachable. */
  probe(signal: AbortSignal): Promise<void>;
  onChange(state: CircuitState): void;
}

/**
 * Circuit breaker of one database. While it is open, calls fail at once: no caller waits, and a database that comes up is
 * not hit by all of them.
 *
 * The counting is cockatiel's. Its policy is not used: it makes a user's call the probe, which then waits for a database
 * that is most likely still down. Here the database is probed in the background.
 */
export class Circuit {
  #state: CircuitState = "closed";
  readonly #options: Given<CircuitOptions>;
  readonly #breaker: ConsecutiveBreaker;
  readonly #target: CircuitTarget;
  #last: CheckpointError | null = null;
  #timer: NodeJS.Timeout | undefined;
  #probing: Promise<boolean> | null = null;
  readonly #stopped = new AbortController();
  readonly #rejections = new WeakSet<object>();

  constructor(options: Given<CircuitOptions>, target: CircuitTarget) {
    this.#options = options;
    this.#breaker = new ConsecutiveBreaker(options.failureThreshold);
    this.#target = target;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** Records a call that succeeded. One that began before the circuit opened does not close it, but starts a probe. */
  recordSuccess(): void {
    if (this.#state === "closed") this.#breaker.success();
    else void this.probe();
  }

  /** Records a call that failed because the database is unreachable. */
  recordFailure(error: CheckpointError): void {
    this.#last = error;
    if (this.#state === "closed" && this.#breaker.failure()) this.#open();
  }

  /** Closes the circuit: the database has answered. */
  close(): void {
    clearTimeout(this.#timer);
    this.#breaker.success();
    this.#become("closed");
  }

  /** Makes the error for a call that the open circuit rejects. */
  rejection(operation: string): CheckpointError {
    const { failureThreshold: count } = this.#options;
    const failures = count === 1 ? "a failure" : `${count} consecutive failures`;
    const last = this.#last?.code ?? "UNAVAILABLE";
    const error = new CheckpointError(
      "UNAVAILABLE",
      `${operation}: ${this.#target.name}: circuit open after ${failures} (last: ${last})`,
      { cause: this.#last?.cause ?? this.#last ?? undefined },
    );
    this.#rejections.add(error);
    return error;
  }

  /** Returns whether an error is a rejection of this circuit: it says nothing new about the database. */
  hasRejected(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#rejections.has(error);
  }

  /** Probes the database now, if the circuit is not closed. Returns whether the circuit is closed then. */
  probe(): Promise<boolean> {
    if (this.#isClosed()) return Promise.resolve(true);
    if (this.#stopped.signal.aborted) return Promise.resolve(false);
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = null;
    });
    return this.#probing;
  }

  /** Stops probes and timers for good. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  async #probe(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#become("half-open");
    let delayMs = PROBE_DELAY_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#target.probe(this.#stopped.signal);
        this.close();
        return true;
      } catch {
        if (attempt >= this.#options.halfOpenMaxAttempts) break;
      }
      await pause(delayMs, this.#stopped.signal, false).catch(() => {});
      if (this.#stopped.signal.aborted || this.#state !== "half-open") break; // closed, by us or by a call that succeeded
      delayMs = Math.min(delayMs * 2, MAX_PROBE_DELAY_MS);
    }
    if (this.#state === "half-open") this.#open();
    return this.#isClosed();
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #open(): void {
    if (this.#stopped.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#become("open");
    this.#timer = unref(setTimeout(() => void this.probe(), this.#options.resetTimeoutMs));
  }

  #become(state: CircuitState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#target.onChange(state);
  }
}
