import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "waymark-langgraph-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a task in a child process, which uses the built package and exits without closing anything. */
async function run(task: string): Promise<unknown> {
  const child = fork(new URL("approval-graph.mjs", import.meta.url), [task, join(folder, "agents.db")], {
    execArgv: [],
  });
  const [[outcome]] = await Promise.all([once(child, "message"), once(child, "exit")]);
  return outcome;
}

describe("a graph that continues in other processes", () => {
  it("interrupts for a person, gets each answer once, and repeats no node", async () => {
    expect(await run("start")).toEqual({ result: ["is it good?"], drafts: 1 });
    expect(await run("first")).toEqual({ result: ["is it really?"], drafts: 0 });
    expect(await run("second")).toEqual({
      result: { text: "letter, drafted, sent", approvals: ["yes", "really"] },
      drafts: 0,
    });
  });

  it("travels back in time, and then has both branches", async () => {
    expect(await run("travel")).toEqual({
      result: { text: "another letter, sent", approvals: ["yes", "really"] },
      drafts: 0,
    });
    expect(await run("history")).toMatchObject({
      result: [
        "another letter, sent",
        "another letter",
        "letter, drafted, sent",
        "letter, drafted",
        "letter, drafted",
        "letter",
        undefined,
      ].map((text) => text ?? null),
    });
  });
});

describe("an application in CommonJS", () => {
  it("stores and reads messages by require()", async () => {
    const child = fork(new URL("common-js.cjs", import.meta.url), [join(folder, "common.db")], { execArgv: [] });
    const [[messages]] = await Promise.all([once(child, "message"), once(child, "exit")]);
    expect(messages).toEqual([
      ["human", "one", true],
      ["ai", "1 of 1", true],
      ["human", "two", true],
      ["ai", "3 of 2", true],
    ]);
  });
});
