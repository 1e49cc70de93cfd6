import { onAbort } from "../database/deadline.ts";

/** Waiting for promises that may reject, or never settle. */

export type Settled<Result> =
  | { readonly ok: true; readonly value: Result }
  | { readonly ok: false; readonly error: unknown };

export async function settled<Result>(promise: Promise<Result>): Promise<Settled<Result>> {
  try {
    return { ok: true, value: await promise };
  } catch (error) {
    return { ok: false, error };
  }
}

/** Waits for a result for a limited time. `null`: it takes longer. */
export async function resultWithin<Result>(promise: Promise<Result>, timeoutMs: number): Promise<Result | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits until a promise settles, or the signal aborts and `graceMs` have passed since. Returns whether it has settled;
 * rejects as it does.
 */
export async function settlesBefore(
  signal: AbortSignal | undefined,
  promise: Promise<unknown>,
  graceMs: number,
): Promise<boolean> {
  if (signal === undefined) return await promise.then(() => true);
  let timer: NodeJS.Timeout | undefined;
  let stopListening = () => {};
  const late = new Promise<false>((resolve) => {
    const giveUp = () => {
      timer = setTimeout(() => resolve(false), graceMs);
    };
    if (signal.aborted) giveUp();
    else stopListening = onAbort(signal, giveUp);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}
