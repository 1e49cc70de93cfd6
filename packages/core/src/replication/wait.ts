import { listen } from "../database/deadline.ts";

/** Waiting for what may fail, or never come. */

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

/** `null`: it takes longer than that. */
export async function soon<Result>(promise: Promise<Result>, withinMs: number): Promise<Result | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), withinMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether it settles before the signal aborts, or a little later. Rejects as it does. */
export async function within(
  promise: Promise<unknown>,
  signal: AbortSignal | undefined,
  graceMs: number,
): Promise<boolean> {
  if (signal === undefined) return await promise.then(() => true);
  let timer: NodeJS.Timeout | undefined;
  let stopListening = () => {};
  const late = new Promise<false>((resolve) => {
    const end = () => {
      timer = setTimeout(() => resolve(false), graceMs);
    };
    if (signal.aborted) end();
    else stopListening = listen(signal, end);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}
