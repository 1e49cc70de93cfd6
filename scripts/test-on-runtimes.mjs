// Tests SQLite's other drivers on other runtimes, in this checkout, which is installed and built:
//
//   node scripts/test-on-runtimes.mjs            on all of them
//   node scripts/test-on-runtimes.mjs bun        on some of them
//
// First all write to one file, and each reads what the others have written: Node with better-sqlite3 first and last. Then each runs
// the suites of dialects, storages and memory's dialect, and the demo. The runtimes come from npm. `WAYMARK_TEST_TALLY` gets the
// counts, as in scripts/test-on-node.mjs.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendToTally, readResults } from "./results.mjs";
import { runQuietly } from "./setup.mjs";

const platform = process.platform === "win32" ? "win" : process.platform;
/** Commands that run a program of Node's on a runtime, and the driver that it is tested with. */
const RUNTIMES = {
  "Node 24": { command: node("24.21.0"), driver: "node:sqlite" },
  "Node 26": { command: node("26.12.1"), driver: "node:sqlite" },
  Bun: { command: npx("bun@1.4.5", "bun", "--bun"), driver: "bun:sqlite" },
  Deno: { command: npx("deno@2.9.6", "deno", "run", "-A", "--node-modules-dir=manual"), driver: "node:sqlite" },
};
const NODE = { command: [process.execPath], driver: "better-sqlite3" };

const named = process.argv.slice(2).map((name) => name.toLowerCase());
const runtimes = Object.entries(RUNTIMES).filter(([name]) => named.length === 0 || named.includes(name.toLowerCase()));
if (runtimes.length < named.length) {
  console.error(`Expected some of ${Object.keys(RUNTIMES).join(", ")}, got ${process.argv.slice(2).join(", ")}.`);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "waymark-runtimes-"));
try {
  for (const [name, runtime] of [["Node", NODE], ...runtimes, ["Node once more", NODE]]) {
    await runTests(name, runtime, "drivers.test.ts");
  }
  await Promise.all(
    runtimes.map(async ([name, runtime]) => {
      await runTests(name, runtime, "conformance-drivers.test.ts");
      await runTests(name, runtime, "memory-conformance.test.ts");
      await runDemo(name, runtime);
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function node(version) {
  return npx(`node-${platform}-${process.arch}@${version}`, "node");
}

function npx(from, ...command) {
  return ["npx", "--yes", `--package=${from}`, "--", ...command];
}

async function runTests(name, { command, driver }, file) {
  const results = join(folder, `${name} ${file}.json`);
  const reporters = ["--reporter=dot", "--reporter=json", `--outputFile.json=${results}`];
  const vitest = ["node_modules/vitest/vitest.mjs", "run", join("packages/sqlite/test", file), ...reporters];
  const env = {
    ...process.env,
    WAYMARK_TEST_DRIVERS: driver,
    WAYMARK_TEST_FILE: join(folder, "shared.db"),
    NO_COLOR: "1",
  };
  await run(`${name}, ${driver}, ${file}`, [...command, ...vitest], env, (ok) => readResults(results, ok));
}

async function runDemo(name, { command }) {
  const demo = ["examples/resume-after-crash/demo.mjs", "--folder", join(folder, name)];
  await run(`${name}, the demo`, [...command, ...demo], process.env, (ok) => {
    return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0, failures: ok ? [] : ["it failed"] };
  });
}

/** Runs a command, and reports what it comes to; its output only if it fails. */
async function run(title, [program, ...args], env, countTests) {
  const start = performance.now();
  const { ok, output } = await runQuietly(program, args, { env });
  const { passed, failed, skipped, failures } = countTests(ok);
  const seconds = Math.round((performance.now() - start) / 1_000);
  console.log(
    `${ok ? "✓" : "✗"} ${title}: ${passed} + ${failed} + ${skipped} (passed, failed, skipped) in ${seconds} s`,
  );
  if (!ok) console.error(output.trim());
  if (failed > 0) process.exitCode = 1;
  appendToTally({ passed, failed, skipped, failures: failures.map((failure) => `${title}: ${failure}`) });
}
