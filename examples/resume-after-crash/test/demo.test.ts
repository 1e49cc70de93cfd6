import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { prove, readRun, sha256 } from "../proof.mjs";

const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-demo-"));
const brokenAgents = join(example, ".cache", "broken-agents"); // inside the example, so that it finds its packages

afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(brokenAgents, { recursive: true, force: true });
});

function node(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: example }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

/** Each takes three processes of 62 turns: `npm run test:all` tries all cases, `npm test` the first and the last. */
function firstAndLast<Case>(cases: readonly Case[]): readonly Case[] {
  return process.env["WAYMARK_TEST_ALL"] ? cases : cases.filter((_, at) => at === 0 || at === cases.length - 1);
}

const demo = (...args: string[]) => node("demo.mjs", "--folder", folder, ...args);

describe("the demo", () => {
  it("kills the agent in turn 38, resumes it, and proves that nothing is lost", async () => {
    const { code, stdout, stderr } = await demo();
    expect(stderr).toBe("");
    expect(code).toBe(0);

    expect(stdout).toMatch(/uninterrupted +process \d+ ran turns 1 to 62$/m);
    expect(stdout).toMatch(
      /killed +process \d+ stored turn 37; SIGKILL in turn 38, while its tool "run" was at work$/m,
    );
    expect(stdout).toMatch(/resumed +process \d+ found turn 37 as the latest and ran from turn 38 to 62$/m);
    expect(stdout.match(/process \d+/g)).toSatisfy((pids: string[]) => new Set(pids).size === 3);
    expect(stdout.match(/^ {2}✓ .*$/gm)).toEqual([
      "  ✓ turns 1 to 62 are stored once each and in order",
      "  ✓ each checkpoint names the one before as its parent",
      "  ✓ the killed process stored turns 1 to 37; the one that resumed, turns 38 to 62",
      "  ✓ all 62 stored states equal those of the uninterrupted run",
      expect.stringMatching(/^ {2}✓ the final state is the same 1\d\d,\d{3} bytes, on disk and in memory$/),
    ]);
    expect(stdout).not.toContain("✗");
  });

  it("ends in the state of an agent that stores nothing at all", async () => {
    const script = `
      import { createHash } from "node:crypto";
      import { newState, takeTurn } from "./turn.mjs";
      const state = newState();
      while (await takeTurn(state));
      console.log(createHash("sha256").update(JSON.stringify(state)).digest("hex"));`;
    const { stdout } = await node("--input-type=module", "--eval", script);
    await demo();
    const { finalState, checkpoints } = await readRun(join(folder, "resumed.db"));
    expect(sha256(finalState)).toBe(stdout.trim());
    expect(checkpoints).toHaveLength(62);
  });

  it.each(
    firstAndLast([
      [1, 'stored nothing; SIGKILL in turn 1, while its tool "run"', "found no checkpoint and ran from turn 1 to 62"],
      [12, "stored turn 11; SIGKILL in turn 12, while it waited for the model", "found turn 11 as the latest"],
      [62, "stored turn 61; SIGKILL in turn 62", "found turn 61 as the latest and ran from turn 62 to 62"],
    ] as const),
  )("starts anew in the same folder, and resumes when killed in turn %i", async (turn, killed, resumed) => {
    const { code, stdout } = await demo("--kill-in-turn", String(turn));
    expect(code).toBe(0);
    expect(stdout).toContain(killed);
    expect(stdout).toContain(resumed);
    expect(stdout).toContain("✓ turns 1 to 62 are stored once each");
  });

  it.each(firstAndLast(["0", "63", "1.5", "later"]))("refuses to kill in turn %s", async (turn) => {
    const { code, stderr } = await demo("--kill-in-turn", turn);
    expect(code).toBe(1);
    expect(stderr).toBe(`Expected \`--kill-in-turn\` to be a turn from 1 to 62, got \`${turn}\`.\n`);
  });

  const latest = "const latest = await storage.retrieveLatestCheckpoint(agentId);";
  const started = "let parentId = latest?.id;";
  it.each(
    firstAndLast([
      [
        "begins again from turn 1",
        latest,
        "const latest = null;",
        /✗ 99 checkpoints are not turns 1 to 62: none lost, turn 1, 2, .*, 37 stored more than once/,
      ],
      [
        "skips a turn",
        started,
        `${started} if (latest) await takeTurn(state);`,
        /✗ 61 checkpoints are not turns 1 to 62: turn 38 lost, none stored more than once/,
      ],
      [
        "forgets its scratchpad",
        started,
        `${started} if (latest) state.scratchpad = {};`,
        /✗ the final state differs: .* resumed, .* uninterrupted/,
      ],
      [
        "changes one character",
        started,
        `${started} if (latest) state.todo[0].title += " ";`,
        /✗ stored states that differ from those of the uninterrupted run: turn 38, 39, /,
      ],
      ["loses its place in the line", started, "let parentId;", /✗ the parents of the checkpoints are not one line/],
    ] as const),
  )("fails for an agent that, when it resumes, %s", async (name, correct, wrong, message) => {
    const code = readFileSync(join(example, "agent.mjs"), "utf8");
    expect(code).toContain(correct);
    mkdirSync(brokenAgents, { recursive: true });
    const agent = join(brokenAgents, `${name.replaceAll(" ", "-")}.mjs`);
    writeFileSync(agent, code.replace(correct, wrong).replaceAll('from "./', 'from "../../'));

    const result = await demo("--agent", agent);
    expect(result.stdout).toMatch(message);
    expect(result.stderr).toContain("The run that was killed and resumed is not the same as the uninterrupted one.");
    expect(result.code).toBe(1);
  });
});

describe("the proof", () => {
  type Proof = Parameters<typeof prove>[0];

  function run(pids: (turn: number) => number): Proof["resumed"] {
    const state = (turn: number) => JSON.stringify({ turn, said: "é😀".repeat(turn) });
    const checkpoints = [1, 2, 3, 4].map((turn) => ({
      id: `id ${turn}`,
      name: `turn ${turn}`,
      parentId: turn === 1 ? null : `id ${turn - 1}`,
      pid: pids(turn),
      sha256: sha256(state(turn)),
    }));
    return { checkpoints, finalState: state(4) };
  }

  function failures(tamper: (proof: Proof) => void): string[] {
    const reference = run(() => 10);
    const resumed = run((turn) => (turn < 3 ? 20 : 30));
    const proof = {
      turns: 4,
      killedIn: 3,
      pids: [20, 30],
      reference,
      resumed,
      inMemory: [reference.finalState, reference.finalState],
    };
    tamper(proof);
    return prove(proof)
      .filter(({ ok }) => !ok)
      .map(({ text }) => text);
  }

  it("holds when nothing was tampered with", () => {
    expect(failures(() => {})).toEqual([]);
  });

  it("fails when one character of the final state is another, though it looks the same", () => {
    const [failure, ...others] = failures(({ resumed }) => {
      resumed.finalState = resumed.finalState.replace("é", "e\u0301");
    });
    expect(failure).toMatch(/^the final state differs: 45 bytes \(sha256 [0-9a-f]{12}…\) resumed, 44 bytes /);
    expect(others).toEqual([]);
  });

  it("fails when what the process held in memory is not what is stored", () => {
    expect(failures(({ inMemory }) => inMemory.splice(1, 1, "{}"))).toEqual([
      expect.stringMatching(/2 bytes .* in memory$/),
    ]);
  });

  it("fails when a turn in the middle has another state", () => {
    expect(failures(({ resumed }) => Object.assign(resumed.checkpoints[1] ?? {}, { sha256: sha256("") }))).toEqual([
      "stored states that differ from those of the uninterrupted run: turn 2",
    ]);
  });

  it("fails when a turn is lost", () => {
    expect(failures(({ resumed }) => resumed.checkpoints.splice(1, 1))).toContain(
      "3 checkpoints are not turns 1 to 4: turn 2 lost, none stored more than once",
    );
  });

  it("fails when a turn is stored twice", () => {
    expect(failures(({ resumed }) => resumed.checkpoints.push(...resumed.checkpoints.slice(-1)))).toContain(
      "5 checkpoints are not turns 1 to 4: none lost, turn 4 stored more than once",
    );
  });

  it("fails when the order is wrong", () => {
    expect(failures(({ resumed }) => resumed.checkpoints.reverse())).toContain(
      "4 checkpoints are not turns 1 to 4: none lost, none stored more than once",
    );
  });

  it("fails when a checkpoint has another parent", () => {
    expect(failures(({ resumed }) => Object.assign(resumed.checkpoints[2] ?? {}, { parentId: "id 1" }))).toEqual([
      "the parents of the checkpoints are not one line",
    ]);
  });

  it("fails when the killed process was not the one that stored the first turns", () => {
    expect(failures(({ pids }) => pids.splice(0, 1, 99))).toEqual([
      "not every turn before 3 was stored by the killed process and every other by the one that resumed",
    ]);
  });
});
