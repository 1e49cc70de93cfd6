import { setImmediate as turn } from "node:timers/promises";

/** How long a call may take beyond its deadline. */
const SLACK_MS = 1_000;
/** From a deadline to the end of its call. */
const TURNS = 20;

/**
 * Whether a call that begins now takes longer than its deadline. Not by the clock: a process that stood still has its
 * timers run one after the other when it goes on, so a call that ended by its deadline has ended before this notices.
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
