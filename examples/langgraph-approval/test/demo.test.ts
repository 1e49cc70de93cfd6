import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const example = fileURLToPath(new URL("..", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-approval-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A process of its own, on this test's database. */
function node(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    WAYMARK_URL: `sqlite:${join(folder, "agents.db")}`,
    PAYMENTS: join(folder, "payments.txt"),
  };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: example, env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

const payments = () => {
  const file = join(folder, "payments.txt");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
};

describe("an agent that asks before it pays", () => {
  it("pays nothing, and ends its process, until another process has approved", async () => {
    expect(await node("start.mjs", "INV-17")).toEqual({
      code: 0,
      stdout: 'INV-17 asks for approval: pay {"invoice":"INV-17","to":"Papageno & Daughters","euros":1200}\n',
      stderr: "",
    });
    expect(payments()).toBe("");
    expect(await node("approve.mjs")).toMatchObject({
      stdout: 'INV-17 waits: pay {"invoice":"INV-17","to":"Papageno & Daughters","euros":1200}\n',
    });
    expect(payments()).toBe("");

    expect(await node("approve.mjs", "INV-17")).toEqual({
      code: 0,
      stdout: "INV-17 ends: Done. Paid 1200 euros to Papageno & Daughters for INV-17.\n",
      stderr: "",
    });
    expect(payments()).toBe("1200 euros to Papageno & Daughters for INV-17\n");
    expect(await node("approve.mjs")).toMatchObject({ stdout: "nothing waits\n" });
  });

  it("pays what was approved, if the argument was edited", async () => {
    await node("start.mjs", "INV-17");
    const { stdout } = await node("approve.mjs", "INV-17", "--euros", "1000");
    expect(stdout).toBe("INV-17 ends: Done. Paid 1000 euros to Papageno & Daughters for INV-17.\n");
    expect(payments()).toBe("1000 euros to Papageno & Daughters for INV-17\n");
  });

  it("tells the model the reason, and pays nothing, if it was rejected", async () => {
    await node("start.mjs", "INV-18");
    const { stdout } = await node("approve.mjs", "INV-18", "--reject", "we never ordered a temple");
    expect(stdout).toBe("INV-18 ends: I did not pay. Refused: we never ordered a temple\n");
    expect(payments()).toBe("");
  });

  it("keeps threads apart, and refuses to approve twice", async () => {
    await node("start.mjs", "INV-17");
    await node("start.mjs", "INV-18");
    await node("approve.mjs", "INV-17");
    expect(await node("approve.mjs", "INV-17")).toEqual({
      code: 1,
      stdout: "",
      stderr: "Expected an invoice that waits for approval, got `INV-17`.\n",
    });
    expect((await node("approve.mjs")).stdout).toMatch(/^INV-18 waits: pay [^\n]*\n$/);
    expect(payments().trim().split("\n")).toHaveLength(1);
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
