import { setImmediate } from "node:timers"; // jsdom and Electron's renderer have no global one
import { CheckpointError } from "../contract/errors.ts";

/** Lets the process end before a timer fires. Where timers are numbers (jsdom, Electron's renderer) nothing can say so. */
export function unref<Timer extends number | { unref(): unknown }>(timer: Timer): Timer {
  if (typeof timer === "object") timer.unref();
  return timer;
}

export interface DeadlineOptions {
  readonly timeoutMs: number;
  /** Signal of the caller, which cancels the call. */
  readonly signal?: AbortSignal | undefined;
  /** `false`: the call does not keep the process alive. Default `true`. */
  readonly keepsAlive?: boolean;
}

/**
 * Runs `work` within a deadline: settles when it does, at the deadline, or when the caller's signal aborts, whichever comes
 * first. `work` gets a signal that aborts in the last two cases.
 */
export function withDeadline<Result>(
  operation: string,
  { timeoutMs, signal, keepsAlive = true }: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(operation));
      return;
    }
    const deadline = new AbortController();
    let settled = false;
    const settle = () => {
      settled = true;
      clearTimeout(timer);
      stopListening();
    };
    const giveUp = (error: CheckpointError) => {
      if (settled) return;
      settle();
      reject(error);
      deadline.abort(error);
    };
    const timer = setTimeout(() => {
      // After a pause of the whole process (a laptop that slept, a long computation) timers fire before the network's data
      // is read: the answer may be there, and gets its turn first.
      setImmediate(() => giveUp(new CheckpointError("TIMEOUT", `${operation}: not done within ${timeoutMs} ms`)));
    }, timeoutMs);
    if (!keepsAlive) unref(timer);
    const stopListening = signal === undefined ? () => {} : onAbort(signal, () => giveUp(aborted(operation)));
    // A late answer after the deadline has a listener all the same: else its rejection would be unhandled. `work` that
    // throws synchronously becomes a rejection: else the timer would keep running.
    const running = (async () => await work(deadline.signal))();
    running.then(
      (result) => {
        settle();
        resolve(result);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}

/** Waits. Rejects with the signal's reason as soon as it aborts, and leaves no timer behind. */
export function pause(ms: number, signal: AbortSignal, keepsAlive = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, ms);
    if (!keepsAlive) unref(timer);
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

function callBack(this: AbortSignal): void {
  for (const callback of callbacksOf.get(this) ?? []) callback();
}

/**
 * Calls back when the signal aborts. Returns an unsubscribe function. All calls with one signal share one listener: Node
 * warns of more than ten.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = callbacksOf.get(signal) ?? new Set();
  callbacksOf.set(signal, callbacks);
  callbacks.add(callback);
  signal.addEventListener("abort", callBack); // the same listener again changes nothing
  return () => {
    callbacks.delete(callback);
    if (callbacks.size === 0) signal.removeEventListener("abort", callBack);
  };
}

function aborted(operation: string): CheckpointError {
  return new CheckpointError("ABORTED", `${operation}: cancelled by the caller's signal`);
}
