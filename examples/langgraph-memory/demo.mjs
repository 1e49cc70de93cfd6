// Runs the whole example, each step in a process that exits before the next one starts.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "waymark-memory-"));
const env = { WAYMARK_URL: `sqlite:${join(folder, "agents.db")}`, ...process.env };

try {
  run("chat.mjs", "ada", "I am allergic to peanuts.");
  run("chat.mjs", "ada", "I live in Vienna.");
  run("chat.mjs", "bob", "I eat peanuts all day.");
  console.log("\nThe processes have ended. Other ones, in other conversations:\n");
  run("chat.mjs", "ada", "Can I eat peanuts?");
  run("chat.mjs", "ada", "Where do I live?");
  run("chat.mjs", "bob", "Where do I live?");
  run("chat.mjs", "ada", "I moved to Graz.");
  run("memories.mjs");
  run("memories.mjs", "--forget", "bob");
} finally {
  rmSync(folder, { recursive: true });
}

function run(...args) {
  console.log(`$ node ${args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)).join(" ")}`);
  const { status, signal } = spawnSync(process.execPath, args, { cwd: here, env, stdio: "inherit" });
  if (status !== 0) throw new Error(`\`node ${args.join(" ")}\` ended with ${signal ?? `exit code ${status}`}.`);
}
