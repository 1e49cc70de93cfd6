import { CheckpointError } from "../contract/errors.ts";

export interface Limits {
  readonly timeoutMs: number;
  /** Ends the call early. */
  readonly signal?: AbortSignal | undefined;
  /** Whether the process stays for the sake of this call alone. Default `true`. */
  readonly holdsProcess?: boolean;
}

/**
 * Settles when `work` does, or at the deadline, or when the caller's signal aborts, whichever is first. `work` gets a
 * signal that tells it so.
 */
export function withDeadline<Result>(
  operation: string,
  { timeoutMs, signal, holdsProcess = true }: Limits,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(operation));
      return;
    }
    const limit = new AbortController();
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
      limit.abort(error);
    };
    const timer = setTimeout(() => {
      // After a pause of the whole process (a laptop that slept, a long computation) timers come before what the network
      // has brought meanwhile: the answer may be here, and has its turn first.
      setImmediate(() => giveUp(new CheckpointError("TIMEOUT", `${operation}: not done within ${timeoutMs} ms`)));
    }, timeoutMs);
    if (!holdsProcess) timer.unref();
    const stopListening = signal === undefined ? () => {} : listen(signal, () => giveUp(aborted(operation)));
    // After a deadline nobody listens any more: the late answer, good or bad, has a listener all the same. What throws at
    // once is a rejection too, or the timer would go on and hold up the process's end.
    const running = (async () => await work(limit.signal))();
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

/** Waits; rejects with the signal's reason as soon as it aborts, and leaves no timer then. */
export function pause(ms: number, signal: AbortSignal, holdsProcess = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, ms);
    if (!holdsProcess) timer.unref();
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

/** Calls back when the signal aborts; returns what ends that. One listener for all calls with one signal: Node warns of more than ten. */
export function listen(signal: AbortSignal, callback: () => void): () => void {
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
