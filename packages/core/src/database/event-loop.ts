import { setImmediate } from "node:timers";
import { setImmediate as turn } from "node:timers/promises";

/** Longest work without a turn of the event loop, in milliseconds. */
const MAX_BUSY_MS = 4;

/** Time of the first call since the event loop has turned. */
let busySince: number | null = null;

/** Waits for a turn of the event loop if it has not turned for a few milliseconds of calls: timers and others have theirs. */
export async function giveTurn(): Promise<void> {
  if (isTurnDue()) await turnNow();
}

async function turnNow(): Promise<void> {
  await turn();
  isTurnDue(); // the work after it counts from here
}

function isTurnDue(): boolean {
  if (busySince !== null) return performance.now() - busySince >= MAX_BUSY_MS;
  busySince = performance.now();
  setImmediate(() => {
    busySince = null;
  });
  return false;
}

/** Runs steps to their end. Between two of them the event loop turns, whenever a turn is due: other calls go on meanwhile. */
export async function inTurns<Result>(steps: Generator<undefined, Result>): Promise<Result> {
  for (;;) {
    if (isTurnDue()) await turnNow();
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
