import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const example = fileURLToPath(new URL("..", import.meta.url));

it("prints what the README says: another process finds what one was told", async () => {
  const { WAYMARK_URL: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, ["demo.mjs"], { cwd: example, env });
  const [, printed] = readFileSync(join(example, "README.md"), "utf8").match(/```text\n(.*?)```/s) ?? [];
  expect(stdout.trim()).toBe(printed?.trim());
});
