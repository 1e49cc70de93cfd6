import { setTimeout } from "node:timers/promises";

const ASK_EVERY_MS = 20;

/** Asks until there is an answer. @throws what `complaint` says, if there is none in time */
export async function until<Answer>(
  withinMs: number,
  ask: () => Answer | Promise<Answer>,
  complaint: () => string,
): Promise<NonNullable<Answer>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (performance.now() > deadline) throw new Error(complaint());
    await setTimeout(ASK_EVERY_MS);
  }
}

/** As {@link until}, and `false` if there is none in time. */
export async function within(withinMs: number, ask: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await ask())) {
    if (performance.now() > deadline) return false;
    await setTimeout(ASK_EVERY_MS);
  }
  return true;
}
