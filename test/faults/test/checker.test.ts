import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Crew } from "../src/crew.ts";
import type { Defect } from "../src/faulty-storage.ts";
import { runScenario, type ScenarioOptions } from "../src/scenario.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waymark-faults-checker-"));
});
afterAll(() => rm(folder, { recursive: true }));

const TURNS = 12;

/**
 * Random turns, then two turns in which each agent does every operation once. No agent begins the second of these before all have
 * ended the first. So the eight agents of a process do each operation eight times in the last turn. A defect that shows at every
 * third call shows there at least twice, in whatever order the agents work, and nothing that comes later can hide it.
 */
const work: ScenarioOptions["work"] = async (crew) => {
  crew.allow(TURNS);
  await crew.waitForTurns(TURNS * Crew.agents);
  for (const turns of [TURNS + 1, TURNS + 2]) {
    await crew.rest();
    crew.allow(turns, "all operations");
    crew.resume();
    await crew.waitForTurns(turns * Crew.agents);
  }
  return {};
};

let files = 0;
const run = async (defect?: Defect) => {
  files += 1;
  const main = { type: "sqlite", databasePath: join(folder, `${files}.db`), synchronous: "NORMAL" };
  const stores = { mains: [main], backups: [] };
  const title = defect ?? "no defect";
  return await runScenario({
    title,
    stores,
    direct: stores,
    policy: {},
    work,
    ...(defect && { defect }),
  });
};

describe("the checker", () => {
  it("finds no problem in a storage without a defect", async () => {
    const { operations, acknowledged, problems } = await run();
    expect(problems).toStrictEqual([]);
    expect(operations).toBeGreaterThan(16 * 12);
    expect(acknowledged).toBe(operations);
  });

  it.each([
    ["loses checkpoints", "lost", [/is in no database/]],
    ["stores checkpoints twice", "duplicated", [/is stored a second time/]],
    ["alters states", "wrong", [/has other content in main 0/]],
    ["returns an old checkpoint as the latest", "wrong", [/not flagged as stale/]],
    [
      "keeps deleted checkpoints",
      "wrong",
      [/was deleted, but is in main 0/, /write .* was deleted with its checkpoint, but is in main 0/],
    ],
    ["omits checkpoints from lists", "wrong", [/is missing in a list/]],
    ["loses writes", "lost", [/write .* is in no database/]],
    ["alters writes", "wrong", [/write .* has other content, in main 0/]],
    [
      "keeps the wrong writes",
      "wrong",
      [/write .*\[-.* should not have been kept, in main/, /write .*\[\d.* should not have been kept, in main/],
    ],
    ["lists writes of deleted checkpoints", "wrong", [/a list of the writes of .* was deleted with its checkpoint/]],
    ["omits writes from lists", "wrong", [/a list of the writes of .* is missing/]],
  ] as const)("finds the problems of a storage that %s", async (defect, count, patterns) => {
    const result = await run(defect);
    expect(result[count]).toBeGreaterThan(0);
    for (const expected of patterns) {
      expect(result.problems.filter((problem) => expected.test(problem))).not.toStrictEqual([]);
    }
  });
});
