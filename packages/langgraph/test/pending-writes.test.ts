import { compareWritesSortKeys, writesSortKey } from "@langchain/langgraph-checkpoint";
import type { CheckpointWrite } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byTask } from "../src/pending-writes.ts";

// Few characters, so that texts share prefixes; surrogates too, alone and in pairs.
const text = fc.string({
  unit: fc.constantFrom("a", "b", "~", "\ue000", "\uffff", "\ud83d", "\ude00", "\u{1f600}", "\u{1f601}", "\u{10ffff}"),
  maxLength: 6,
});
const write = fc.record({
  taskPath: text,
  taskId: text,
  index: fc.integer({ min: -4, max: 4 }),
  channel: fc.constant("channel"),
  value: fc.nat(),
});

describe("the order of pending writes", () => {
  it("is LangGraph's own", () => {
    fc.assert(
      fc.property(write, write, (a, b) => {
        const [first, second] = [a, b].map(({ taskPath, taskId, index }) => writesSortKey(taskPath, taskId, index));
        expect(Math.sign(byTask(a, b))).toBe(first && second && compareWritesSortKeys(first, second));
      }),
      { numRuns: 20_000 },
    );
  });

  it("puts writes without a task path first", () => {
    const writes: CheckpointWrite[] = [
      { taskPath: "~", taskId: "a", index: 0, channel: "c", value: 1 },
      { taskId: "b", index: 0, channel: "c", value: 2 },
    ];
    expect(writes.toSorted(byTask).map(({ value }) => value)).toEqual([2, 1]);
  });
});
