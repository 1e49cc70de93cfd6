import { ExponentialBackoff, type IBackoff, noJitterGenerator } from "cockatiel";
import type { Fault } from "../checkpoints/dialect.ts";
import type { RetryOptions } from "../contract/checkpoints.ts";

/**
 * How often, and after how long, a call is made again. Everything we send may be sent again: a store's id makes it one,
 * reads and removals repeat as they are.
 *
 * The back-off is cockatiel's, its loop is not: that waits through a deadline and through an abort, with a timer that
 * nobody can end.
 */
export class RetryPlan {
  readonly #maxRetries: number;
  readonly #backoff: ExponentialBackoff<number>;

  constructor({ maxRetries, baseDelayMs, maxDelayMs, jitterMaxMs }: Required<RetryOptions>) {
    this.#maxRetries = maxRetries;
    this.#backoff = new ExponentialBackoff<number>({
      initialDelay: baseDelayMs,
      maxDelay: maxDelayMs,
      generator: (retries, options) => {
        const [delay, next] = noJitterGenerator(retries, options);
        return [delay + Math.random() * jitterMaxMs, next];
      },
    });
  }

  /** Of one call. Deadlocks and lost connections are counted apart: neither says anything of the other. */
  begin(): Retries {
    const contention = ladder(CONTENTION, MAX_CONTENTION_RETRIES);
    const availability = ladder(this.#backoff, this.#maxRetries);
    let wasLost = false;
    return {
      delayAfter(fault) {
        if (fault === "serialization" || fault === "busy") return contention();
        if (fault !== "connection" && fault !== "overload") return null;
        if (fault === "overload" || wasLost) return availability();
        wasLost = true;
        return availability(QUICK_RETRY_MS);
      },
    };
  }
}

export interface Retries {
  /** How long to wait before the call is made again, in milliseconds; `null`: it is not. */
  delayAfter(fault: Fault | undefined): number | null;
}

/** A connection of a pool that was ended while nobody used it is the common case, and the next one is fine. */
const QUICK_RETRY_MS = 20;

/** Between writers that deadlock each other or wait for a lock: enough for dozens of them, within about four seconds. */
const MAX_CONTENTION_RETRIES = 6;
const CONTENTION = new ExponentialBackoff({ initialDelay: 20, maxDelay: 1_000 });

/** Delays that grow, so many of them; one that is given counts, and takes no step. */
function ladder(backoff: { next(): IBackoff<unknown> }, times: number): (instead?: number) => number | null {
  let left = times;
  let step: IBackoff<unknown> | null = null;
  return (instead) => {
    left -= 1;
    if (left < 0) return null;
    if (instead !== undefined) return instead;
    step = step === null ? backoff.next() : step.next(undefined);
    return Math.round(step.duration);
  };
}
