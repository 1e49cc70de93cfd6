// Runs the whole example, each step in a process that exits before the next one starts.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-approval-"));
const payments = join(folder, "payments.txt");
const url = `sqlite:${join(folder, "agents.db")}`;
const env = { WAYMARK_URL: url, ...process.env, PAYMENTS: payments };

try {
  run("start.mjs", "INV-17");
  run("start.mjs", "INV-18");
  console.log("\nBoth processes have ended. Now somebody looks at what waits:\n");
  run("approve.mjs");
  run("approve.mjs", "INV-17", "--euros", "1000");
  run("approve.mjs", "INV-18", "--reject", "we never ordered a temple");
  run("approve.mjs");
  console.log(`\nPaid:\n\n${existsSync(payments) ? readFileSync(payments, "utf8") : "nothing\n"}`);
} finally {
  rmSync(folder, { recursive: true });
}

function run(...args) {
  console.log(`$ node ${args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)).join(" ")}`);
  const { status, signal } = spawnSync(process.execPath, args, { cwd: here, env, stdio: "inherit" });
  if (status !== 0) throw new Error(`\`node ${args.join(" ")}\` ended with ${signal ?? `exit code ${status}`}.`);
}
