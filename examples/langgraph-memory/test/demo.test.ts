import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const example = fileURLToPath(new URL("..", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-memory-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A process of its own, on this test's database. */
function node(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, WAYMARK_URL: `sqlite:${join(folder, "agents.db")}` };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: example, env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

describe("an agent that remembers", () => {
  it("finds in another process and conversation what a user said, and of no other user", async () => {
    expect(await node("chat.mjs", "ada", "I am allergic to peanuts.")).toEqual({
      code: 0,
      stdout: "I will remember: I am allergic to peanuts.\n",
      stderr: "",
    });
    await node("chat.mjs", "ad", "I eat peanuts.");
    const { stdout } = await node("chat.mjs", "ada", "Can I eat peanuts?");
    expect(stdout).toBe("You told me: I am allergic to peanuts.\n");
    expect((await node("chat.mjs", "bob", "Can I eat peanuts?")).stdout).toBe("I know nothing about that.\n");
  });

  it("knows the last word on a topic only, and nothing of a user that is forgotten", async () => {
    await node("chat.mjs", "ada", "I live in Vienna.");
    await node("chat.mjs", "ada", "I moved to Graz.");
    expect((await node("memories.mjs")).stdout).toBe("ada, home: I moved to Graz.\n");
    expect((await node("chat.mjs", "ada", "Vienna?")).stdout).toBe("I know nothing about that.\n");
    expect((await node("memories.mjs", "--forget", "ada")).stdout).toBe("forgotten of ada: 1\n");
    expect((await node("chat.mjs", "ada", "Did I say Graz?")).stdout).toBe("I know nothing about that.\n");
  });
});

describe("the demo", () => {
  it("prints what the README says", async () => {
    const { WAYMARK_URL: _, ...env } = process.env;
    const { status, stdout } = await new Promise<{ status: number; stdout: string }>((resolve) => {
      execFile(process.execPath, ["demo.mjs"], { cwd: example, env }, (error, stdout) => {
        resolve({ status: error ? Number(error.code) : 0, stdout });
      });
    });
    expect(status).toBe(0);
    const [, printed] = readFileSync(join(example, "README.md"), "utf8").match(/```text\n(.*?)```/s) ?? [];
    expect(stdout.trim()).toBe(printed?.trim());
  });
});
