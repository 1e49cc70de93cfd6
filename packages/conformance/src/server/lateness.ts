import { setImmediate as turn } from "node:timers/promises";

/** Time that a call may take beyond its deadline. */
const SLACK_MS = 1_000;
/** Turns of the event loop from a deadline to the end of its call. */
const TURNS = 20;

/**
 * Returns whether a call that begins now takes longer than its deadline. It does not compare clocks: in a process that stood
 * still all timers that are due run one after the other, so a call that its deadline has ended has ended before this timer.
 */
export async function isLate(call: Promise<unknown>, deadlineMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(async () => {
      for (let turns = 0; turns < TURNS; turns++) await turn();
      resolve(true);
    }, deadlineMs + SLACK_MS);
  });
  const inTime = call.then(
    () => false,
    () => false,
  );
  return await Promise.race([inTime, late]).finally(() => clearTimeout(timer));
}
