import { setTimeout } from "node:timers/promises";

export const READY_WITHIN_SECONDS = 60;
const ASK_EVERY_MS = 20;

/** Asks until there is an answer; rejects as the last try did when the deadline has passed or `isHopeless`. */
export async function whenItAnswers<T>(ask: () => Promise<T>, isHopeless = () => false): Promise<T> {
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
