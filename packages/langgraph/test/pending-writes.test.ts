import {
  compareWritesSortKeys,
  ERROR,
  INTERRUPT,
  type PendingWrite,
  RESUME,
  writesSortKey,
} from "@langchain/langgraph-checkpoint";
import type { CheckpointWrite } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byTask, changesOf, writesOf } from "../src/pending-writes.ts";

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

describe("writes of a copied checkpoint", () => {
  /** By their tasks. */
  type Tasks = Record<string, PendingWrite[]>;
  const of = (tasks: Tasks) => Object.entries(tasks).flatMap(([taskId, writes]) => writesOf(writes, taskId, undefined));
  const changed = (stored: Tasks, original: Tasks) =>
    changesOf([{ stored: of(stored), original: of(original) }])
      ?.flat()
      .map(({ taskId, channel, value }) => [taskId, channel, value]);

  const [question, other]: PendingWrite[] = [
    [INTERRUPT, "q1"],
    [INTERRUPT, "q2"],
  ];
  const asked = { a: [question as PendingWrite] };

  it.each<[string, Tasks, Tasks, unknown[]]>([
    ["are equal", asked, asked, []],
    ["lack a task", {}, asked, [["a", INTERRUPT, "q1"]]],
    [
      "lack a result",
      { a: [["x", 1]] },
      {
        a: [
          ["x", 1],
          ["x", 1],
        ],
      },
      [["a", "x", 1]],
    ],
    [
      "have results in another order",
      {
        a: [
          ["x", 1],
          ["y", 2],
        ],
      },
      {
        a: [
          ["y", 2],
          ["x", 1],
        ],
      },
      [],
    ],
    [
      "lack an answer",
      asked,
      { a: [[RESUME, ["y"]], other as PendingWrite] },
      [
        ["a", RESUME, ["y"]],
        ["a", INTERRUPT, "q2"],
      ],
    ],
    ["have an earlier error", { a: [[ERROR, "e1"]] }, { a: [[ERROR, "e2"]] }, [["a", ERROR, "e2"]]],
    [
      "have an earlier answer, as it was given",
      { given: [[RESUME, "y"]], a: [[RESUME, ["y"]]] },
      {
        given: [[RESUME, "z"]],
        a: [
          [RESUME, ["y", "z"]],
          ["x", 1],
        ],
      },
      [
        ["given", RESUME, "z"],
        ["a", RESUME, ["y", "z"]],
        ["a", "x", 1],
      ],
    ],
    [
      "have an earlier question, and got all of the task's answers before the call was stopped",
      {
        given: [[RESUME, "y"]],
        a: [
          [RESUME, ["y", "z"]],
          ["x", 1],
        ],
        b: [question as PendingWrite],
      },
      {
        given: [[RESUME, "z"]],
        a: [
          [RESUME, ["y", "z"]],
          ["x", 1],
        ],
        b: [other as PendingWrite],
      },
      [
        ["given", RESUME, "z"],
        ["b", INTERRUPT, "q2"],
      ],
    ],
    [
      "have earlier answers to a question by its id",
      { given: [[RESUME, ["y"]]], a: [[RESUME, ["y"]]] },
      {
        given: [[RESUME, ["z"]]],
        a: [
          [RESUME, ["y", "z"]],
          ["x", 1],
        ],
      },
      [
        ["given", RESUME, ["z"]],
        ["a", RESUME, ["y", "z"]],
        ["a", "x", 1],
      ],
    ],
  ])("that %s follow the original's", (_name, stored, original, expected) => {
    expect(changed(stored, original)).toEqual(expected);
  });

  it.each<[string, Tasks, Tasks]>([
    ["another question and no answers", asked, { a: [other as PendingWrite] }],
    [
      "another answer",
      {
        a: [
          [RESUME, ["t"]],
          ["x", 1],
        ],
      },
      {
        a: [
          [RESUME, ["y", "z"]],
          ["x", 1],
        ],
      },
    ],
    [
      "more answers",
      { a: [[RESUME, ["y", "z"]]], b: [] },
      { a: [question as PendingWrite, [RESUME, ["y"]]], b: [["x", 1]] },
    ],
    [
      "an answer of their own that no task has taken",
      { given: [[RESUME, "t"]] },
      { given: [[RESUME, "y"]], a: [["x", 1]] },
    ],
    ["another result", { a: [["x", 1]] }, { a: [["x", 2]], b: [["x", 3]] }],
    ["an error of their own", { a: [[ERROR, "e1"]] }, { b: [["x", 1]] }],
  ])("that have %s are of a copy that has gone on", (_name, stored, original) => {
    expect(changed(stored, original)).toBeUndefined();
  });
});
