import { expect, test } from "vitest";
import { inTurns } from "../../src/database/event-loop.ts";

/** Steps each of which keeps the event loop busy for longer than it may be. */
function* busySteps(count: number): Generator<undefined, string> {
  for (let step = 0; step < count; step++) {
    for (const end = performance.now() + 6; performance.now() < end; );
    yield;
  }
  return "done";
}

test("between long steps the event loop turns", async () => {
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  expect(await inTurns(busySteps(10))).toBe("done");
  isOver = true;
  expect(turns).toBeGreaterThanOrEqual(9);
});
