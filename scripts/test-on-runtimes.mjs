// Runs the tests of SQLite's drivers on other runtimes, in this checkout, which is installed and built:
//
//   node scripts/test-on-runtimes.mjs            all of them
//   node scripts/test-on-runtimes.mjs bun        some of them
//
// Node comes first and last, with better-sqlite3. All write to one file, and each reads what the others have written. The
// runtimes come from npm. `WAYMARK_TEST_TALLY` gets the counts, as in scripts/test-on-node.mjs.

import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./setup.mjs";

const VITEST = "node_modules/vitest/vitest.mjs";
const TESTS = ["run", "packages/sqlite/test/drivers.test.ts", "--reporter=dot"];

const platform = process.platform === "win32" ? "win" : process.platform;
const RUNTIMES = {
  node: { command: process.execPath, args: [VITEST], drivers: "better-sqlite3" },
  "node 24": {
    package: `node-${platform}-${process.arch}@24.21.0`,
    bin: "node",
    args: [VITEST],
    drivers: "node:sqlite",
  },
  bun: { package: "bun@1.4.5", bin: "bun", args: ["--bun", VITEST], drivers: "bun:sqlite" },
  deno: {
    package: "deno@2.9.6",
    bin: "deno",
    args: ["run", "-A", "--node-modules-dir=manual", VITEST],
    drivers: "node:sqlite",
  },
};

const chosen = process.argv.slice(2);
const names = ["node", ...(chosen.length > 0 ? chosen : ["node 24", "bun", "deno"]), "node"];
const folder = mkdtempSync(join(tmpdir(), "waymark-runtimes-"));
try {
  for (const name of names) {
    const { command, package: from, bin, args, drivers } = RUNTIMES[name];
    console.log(`\n${name}: ${drivers}`);
    const start = performance.now();
    const [program, before] = command ? [command, []] : ["npx", ["--yes", `--package=${from}`, "--", bin]];
    const { status } = spawnSync(program, [...before, ...args, ...TESTS], {
      cwd: root,
      env: { ...process.env, WAYMARK_TEST_DRIVERS: drivers, WAYMARK_TEST_FILE: join(folder, "shared.db") },
      stdio: ["ignore", "inherit", "inherit"],
      shell: process.platform === "win32",
    });
    console.log(
      `${name}: ${status === 0 ? "passed" : "failed"} in ${Math.round((performance.now() - start) / 1_000)} s`,
    );
    if (status !== 0) process.exitCode = 1;
    const tally = process.env.WAYMARK_TEST_TALLY;
    if (tally) appendFileSync(tally, status === 0 ? "1 0 0\n" : `0 1 0\n✗ SQLite's drivers on ${name}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
