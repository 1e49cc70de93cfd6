import { setTimeout } from "node:timers/promises";

const ASK_EVERY_MS = 20;

/** Calls `ask` until it returns something truthy, and returns that. @throws with the text of `message` if time runs out */
export async function waitUntil<Answer>(
  withinMs: number,
  ask: () => Answer | Promise<Answer>,
  message: () => string,
): Promise<NonNullable<Answer>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(message());
    await setTimeout(ASK_EVERY_MS);
  }
}

/** Waits until `ask` returns true. Returns `false` if time runs out. */
export async function becomesTrue(withinMs: number, ask: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await ask())) {
    if (performance.now() > deadline) return false;
    await setTimeout(ASK_EVERY_MS);
  }
  return true;
}
