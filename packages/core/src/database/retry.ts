import { ExponentialBackoff, type IBackoff, noJitterGenerator } from "cockatiel";
import type { Given } from "../contract/checks.ts";
import type { RetryOptions } from "../contract/options.ts";
import type { Fault } from "./faults.ts";

/**
 * Retry policy: how often, and after which delays, a call is retried. Everything we send may be sent again: a store is
 * idempotent by its id, reads and removals by themselves.
 *
 * The back-off is cockatiel's. Its retry loop is not used: it ignores deadlines and abort signals, and its timers cannot be
 * cancelled.
 */
export class RetryPlan {
  readonly #maxRetries: number;
  readonly #backoff: ExponentialBackoff<number>;

  constructor({ maxRetries, baseDelayMs, maxDelayMs, jitterMaxMs }: Given<RetryOptions>) {
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

  /** Begins the retries of one call. Contention and lost connections are counted separately. */
  begin(): Retries {
    const contention = delays(CONTENTION, MAX_CONTENTION_RETRIES);
    const availability = delays(this.#backoff, this.#maxRetries);
    let wasLost = false;
    let wasReadOnly = false;
    return {
      delayAfter(fault) {
        switch (fault) {
          case "serialization":
          case "busy":
            return contention();
          case "read-only":
            if (wasReadOnly) return null;
            wasReadOnly = true;
            return availability(QUICK_RETRY_MS);
          case "connection":
            if (wasLost) return availability();
            wasLost = true;
            return availability(QUICK_RETRY_MS);
          case "overload":
          case "outage":
            return availability();
          default:
            return null;
        }
      },
    };
  }
}

export interface Retries {
  /** Returns the delay before the next retry, in milliseconds; `null`: no retry. */
  delayAfter(fault: Fault | undefined): number | null;
}

/**
 * Delay after the first lost connection: most often an idle one of the pool was closed, and the next one works. Also after a
 * connection that was read-only, which the backend has given up: the next one may reach a server that takes writes.
 */
const QUICK_RETRY_MS = 20;

/** Retries between writers that deadlock or wait for a lock: enough for dozens of them, within about four seconds. */
const MAX_CONTENTION_RETRIES = 6;
const CONTENTION = new ExponentialBackoff({ initialDelay: 20, maxDelay: 1_000 });

/** Returns a function for the next delay, or `null` after so many. A delay that is given counts, and does not grow the others. */
function delays(backoff: { next(): IBackoff<unknown> }, times: number): (instead?: number) => number | null {
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
