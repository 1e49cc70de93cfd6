import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "waymark-langgraph-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A process of its own, which runs the built package and ends without closing anything. */
async function run(task: string): Promise<unknown> {
  const child = fork(new URL("approval-graph.mjs", import.meta.url), [task, join(folder, "agents.db")], {
    execArgv: [],
  });
  const [[told]] = await Promise.all([once(child, "message"), once(child, "exit")]);
  return told;
}

describe("a graph that goes on in other processes", () => {
  it("waits for a person, hears each answer once, and repeats nothing", async () => {
    expect(await run("start")).toEqual({ result: ["is it good?"], drafts: 1 });
    expect(await run("first")).toEqual({ result: ["is it really?"], drafts: 0 });
    expect(await run("second")).toEqual({
      result: { text: "letter, drafted, sent", approvals: ["yes", "really"] },
      drafts: 0,
    });
  });

  it("travels back in time, and has both branches then", async () => {
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
  it("keeps its messages by require()", async () => {
    const child = fork(new URL("common-js.cjs", import.meta.url), [join(folder, "common.db")], { execArgv: [] });
    const [[messages]] = await Promise.all([once(child, "message"), once(child, "exit")]);
    expect(messages).toEqual([
      ["human", "one", true],
      ["ai", "1", true],
      ["human", "two", true],
      ["ai", "3", true],
    ]);
  });
});
