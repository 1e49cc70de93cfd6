import { setTimeout } from "node:timers/promises";

export const READY_WITHIN_SECONDS = 60;
const ASK_EVERY_MS = 20;

/** Repeats `ask` until it succeeds. Rejects with its last error when time runs out, or when `isHopeless` returns true. */
export async function retryUntilReady<T>(ask: () => Promise<T>, isHopeless = () => false): Promise<T> {
  const deadline = performance.now() + READY_WITHIN_SECONDS * 1000;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (isHopeless() || performance.now() > deadline) throw error;
    }
    await setTimeout(ASK_EVERY_MS);
  }
}
