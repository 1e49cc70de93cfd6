import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Crew } from "../src/crew.ts";
import type { Lie } from "../src/liar.ts";
import { runScenario, type ScenarioOptions } from "../src/scenario.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waymark-faults-checker-"));
});
afterAll(() => rm(folder, { recursive: true }));

const TURNS = 12;

/**
 * Turns as they come; then two in which each agent does each thing. No agent begins the second before all have ended the
 * first: so whatever the order they come in, of what the eight agents of a process do alike in the last turn a storage that
 * lies at every third occasion lies about two at least, and nothing is done afterwards that might hide it.
 */
const work: ScenarioOptions["work"] = async (crew) => {
  crew.allow(TURNS);
  await crew.reach(TURNS * Crew.agents);
  for (const turns of [TURNS + 1, TURNS + 2]) {
    await crew.rest();
    crew.allow(turns, "each thing");
    crew.goOn();
    await crew.reach(turns * Crew.agents);
  }
  return {};
};

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
    work,
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
