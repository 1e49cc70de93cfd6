import { ConsecutiveBreaker } from "cockatiel";
import type { CircuitOptions, CircuitState } from "../contract/checkpoints.ts";
import { CheckpointError } from "../contract/errors.ts";
import { pause } from "./deadline.ts";

/** Between two probes; then twice as long each time. */
const PROBE_DELAY_MS = 100;
const MAX_PROBE_DELAY_MS = 5_000;

export interface CircuitEnds {
  /** For messages. */
  readonly name: string;
  /** Asks the database for a sign of life, within a deadline of its own. Rejects if it is out of reach. */
  probe(signal: AbortSignal): Promise<void>;
  changed(state: CircuitState): void;
}

/**
 * Leaves a database alone that fails again and again: so nobody waits for it, and it is not hit by all while it comes up.
 *
 * The counting is cockatiel's. Its policy would make a user's call the probe, which then waits for a database that is most
 * likely still down; here it is probed in the background.
 */
export class Circuit {
  #state: CircuitState = "closed";
  readonly #options: Required<CircuitOptions>;
  readonly #breaker: ConsecutiveBreaker;
  readonly #ends: CircuitEnds;
  #last: CheckpointError | null = null;
  #timer: NodeJS.Timeout | undefined;
  #probing: Promise<boolean> | null = null;
  readonly #ended = new AbortController();
  readonly #refusals = new WeakSet<object>();

  constructor(options: Required<CircuitOptions>, ends: CircuitEnds) {
    this.#options = options;
    this.#breaker = new ConsecutiveBreaker(options.failureThreshold);
    this.#ends = ends;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** A call has succeeded. One that began before the circuit opened only gives reason to look. */
  succeeded(): void {
    if (this.#state === "closed") this.#breaker.success();
    else void this.probe();
  }

  /** A call has failed since the database is out of reach. */
  failed(error: CheckpointError): void {
    this.#last = error;
    if (this.#state === "closed" && this.#breaker.failure()) this.#open();
  }

  /** The database has answered. */
  close(): void {
    clearTimeout(this.#timer);
    this.#breaker.success();
    this.#become("closed");
  }

  /** What a call gets instead of a try. */
  refusal(operation: string): CheckpointError {
    const failures = this.#options.failureThreshold === 1 ? "a failure" : `${this.#options.failureThreshold} failures`;
    const last = this.#last?.code ?? "UNAVAILABLE";
    const error = new CheckpointError(
      "UNAVAILABLE",
      `${operation}: ${this.#ends.name}: left alone after ${failures}, last: ${last}`,
      { cause: this.#last?.cause ?? this.#last ?? undefined },
    );
    this.#refusals.add(error);
    return error;
  }

  /** Whether an error is a refusal of ours: it says nothing new of the database. */
  hasRefused(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#refusals.has(error);
  }

  /** Probes now, if the circuit is not closed. Whether it is closed then. */
  probe(): Promise<boolean> {
    if (this.#isClosed()) return Promise.resolve(true);
    if (this.#ended.signal.aborted) return Promise.resolve(false);
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = null;
    });
    return this.#probing;
  }

  /** No probes from now on, and no timers. */
  end(): void {
    clearTimeout(this.#timer);
    this.#ended.abort();
  }

  async #probe(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#become("half-open");
    let delayMs = PROBE_DELAY_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#ends.probe(this.#ended.signal);
        this.close();
        return true;
      } catch {
        if (attempt >= this.#options.halfOpenMaxAttempts) break;
      }
      await pause(delayMs, this.#ended.signal, false).catch(() => {});
      if (this.#ended.signal.aborted || this.#state !== "half-open") break; // closed, by us or by a call that succeeded
      delayMs = Math.min(delayMs * 2, MAX_PROBE_DELAY_MS);
    }
    if (this.#state === "half-open") this.#open();
    return this.#isClosed();
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #open(): void {
    if (this.#ended.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#become("open");
    this.#timer = setTimeout(() => void this.probe(), this.#options.resetTimeoutMs);
    this.#timer.unref();
  }

  #become(state: CircuitState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#ends.changed(state);
  }
}
