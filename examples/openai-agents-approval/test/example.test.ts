import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createSQLiteStorage } from "@waymark/sqlite";
import { afterAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const example = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-approval-"));
afterAll(() => rmSync(folder, { recursive: true }));

const { PATH = "" } = process.env;

/** What a process says when it creates the database. */
const CREATED = /^\(node:\d+\) \[WAYMARK_CREATED\] [^\n]*\n\(Use [^\n]*\n$/;

async function node(script: string, ...args: string[]): Promise<string> {
  const creates = !existsSync(join(folder, "agent_state.db"));
  const { stdout, stderr } = await run(process.execPath, [join(example, script), ...args], {
    cwd: folder,
    env: { PATH },
  });
  expect(stderr).toMatch(creates ? CREATED : /^$/);
  return stdout;
}

const processes = (output: string) => [...output.matchAll(/process (\d+) ends/g)].map(({ 1: id }) => id);

describe("the example", () => {
  it("pays back in the second process what was asked for in the first", async () => {
    const output = await node("start.mjs");
    const [asked = "", decided = ""] = output.split("node decide.mjs");
    expect(asked).toContain('waits for     refund {"order":"1017"}');
    expect(asked).not.toContain("paid back");
    expect(decided.match(/paid back what order 1017 has cost/g)).toHaveLength(1);
    expect(decided).toContain("You have your 40 € back; the receipt is R-1017.");
    expect(new Set(processes(output)).size).toBe(2);

    const ticket = output.split("\n")[0] ?? "";
    const storage = createSQLiteStorage({ databasePath: join(folder, "agent_state.db") });
    const states = await storage.listCheckpoints({ agentId: ticket, namespace: "run" });
    expect(states.map(({ name }) => name)).toEqual(["answered", "decided", "waits for approval"]);
    const session = await storage.retrieveLatestCheckpoint(ticket, { namespace: "session" });
    expect(session?.metadata).toMatchObject({ items: 6 });
    await storage.close();
  });

  it("pays nothing back if the person says no", async () => {
    const output = await node("start.mjs", "reject");
    expect(output).not.toContain("paid back");
    expect(output).toContain("A colleague will write to you about the 40 €.");
  });

  it("lets one of several people decide, and pays back once", async () => {
    await node("ask.mjs", "several");
    const outputs = await Promise.all([1, 2, 3].map(() => node("decide.mjs", "several")));
    expect(outputs.filter((output) => output.includes("paid back what order 1017 has cost"))).toHaveLength(1);
    expect(
      outputs.filter((output) => /another process decided first|already (decided|answered)/.test(output)),
    ).toHaveLength(2);
    expect(await node("decide.mjs", "several")).toContain("already answered");
    expect(await node("decide.mjs", "another ticket")).toContain("unknown ticket");
  });
});
