import { compareWritesSortKeys, writesSortKey } from "@langchain/langgraph-checkpoint";
import type { CheckpointWrite } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byTask, mergeWrites } from "../src/pending-writes.ts";

// Few characters, so that texts begin alike: both halves of characters above U+FFFF too, alone and together.
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
  it("is LangGraph's", () => {
    fc.assert(
      fc.property(write, write, (a, b) => {
        const [first, second] = [a, b].map(({ taskPath, taskId, index }) => writesSortKey(taskPath, taskId, index));
        expect(Math.sign(byTask(a, b))).toBe(first && second && compareWritesSortKeys(first, second));
      }),
      { numRuns: 20_000 },
    );
  });

  it("has writes without a task's path first", () => {
    const writes: CheckpointWrite[] = [
      { taskPath: "~", taskId: "a", index: 0, channel: "c", value: 1 },
      { taskId: "b", index: 0, channel: "c", value: 2 },
    ];
    expect(writes.toSorted(byTask).map(({ value }) => value)).toEqual([2, 1]);
  });
});

describe("writes of the same task and index", () => {
  const some = (index: number, ...values: string[]): CheckpointWrite[] =>
    values.map((value) => ({ taskId: "task", index, channel: "channel", value }));

  it("are the first, from 0 on", () => {
    expect(mergeWrites(some(0, "first", "second"))).toEqual(some(0, "first"));
  });

  it("are the last, below 0", () => {
    expect(mergeWrites(some(-3, "first", "second"))).toEqual(some(-3, "second"));
  });
});
