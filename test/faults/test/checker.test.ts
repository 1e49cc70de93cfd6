import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Lie } from "../src/liar.ts";
import { runScenario, under } from "../src/scenario.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waymark-faults-checker-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
const run = async (lie?: Lie) => {
  files += 1;
  const main = { type: "sqlite", databasePath: join(folder, `${files}.db`), synchronous: "NORMAL" };
  const stores = { mains: [main], backups: [] };
  const title = lie ?? "no lie";
  return await runScenario({
    title,
    stores,
    direct: stores,
    policy: {},
    work: under(null, { turns: 12 }),
    ...(lie && { lie }),
  });
};

describe("the checker", () => {
  it("finds nothing in a storage that keeps its promises", async () => {
    const { operations, acknowledged, problems } = await run();
    expect(problems).toStrictEqual([]);
    expect(operations).toBeGreaterThan(16 * 12);
    expect(acknowledged).toBe(operations);
  });

  it.each([
    ["loses", "lost", [/is nowhere/]],
    ["doubles", "duplicated", [/is there once more/]],
    ["alters", "wrong", [/has another content in main 0/]],
    ["answers with an old one", "wrong", [/not flagged as stale/]],
    ["brings back", "wrong", [/was deleted, and is in main 0/, /write .* went with its checkpoint, and is in main 0/]],
    ["forgets in lists", "wrong", [/is missing in a list/]],
    ["loses writes", "lost", [/write .* is nowhere/]],
    ["alters writes", "wrong", [/write .* has another content, in main 0/]],
    [
      "keeps the wrong writes",
      "wrong",
      [/write .*\[-.* not have stayed, in main/, /write .*\[\d.* not have stayed, in main/],
    ],
    ["brings writes back", "wrong", [/a list of the writes of .* went with its checkpoint/]],
    ["forgets writes in lists", "wrong", [/a list of the writes of .* is missing/]],
  ] as const)("finds what a storage does that %s", async (lie, count, words) => {
    const result = await run(lie);
    expect(result[count]).toBeGreaterThan(0);
    for (const expected of words) {
      expect(result.problems.filter((problem) => expected.test(problem))).not.toStrictEqual([]);
    }
  });
});
