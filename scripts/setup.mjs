// Prepares a fresh clone for `npm test` and `npm run demo`, with only Node and npm: installs packages, compiles native code, and
// builds. Imports only Node's own modules, since no package is installed yet.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const stampPath = join(root, "node_modules/.waymark-setup.json");

/** Installs and builds what is missing. If nothing is, it only hashes the manifests and lets turbo check its cache. */
export async function setUp() {
  checkNode();
  const env = await install();
  const turbo = join(root, "node_modules/.bin/turbo");
  const args = ["run", "build", "--output-logs=errors-only", "--log-prefix=none"];
  await run("Building the packages", turbo, args, env, { announceAfterMs: 1_000 });
}

/** Installs what is missing, and returns the environment of {@link pinnedPnpm}. */
export async function install() {
  const key = installationKey();
  const stamp = readStamp();
  if (stamp?.key === key && existsSync(stamp.pnpm)) return environment(stamp.pnpm);

  const pnpm = await fetchPnpm();
  const env = environment(pnpm);
  await run(`Installing the packages with ${manifest.packageManager}`, "pnpm", ["install", "--frozen-lockfile"], env, {
    advice: "If a package.json has changed, bring the lockfile up to date with: node scripts/pnpm.mjs install",
  });
  if (!(await loadsSQLite(env))) {
    // pnpm does not compile again what it once compiled for another version of Node.
    await run(`Compiling SQLite for Node ${process.versions.node}`, "pnpm", ["rebuild", "better-sqlite3"], env);
    if (!(await loadsSQLite(env))) fail("The native code of better-sqlite3 was compiled, but does not load.");
  }
  writeFileSync(stampPath, JSON.stringify({ key, pnpm }));
  return env;
}

/** Returns an environment in which `pnpm` on the PATH is the pinned one, and compiles for this version of Node. */
export async function pinnedPnpm() {
  return environment(await fetchPnpm());
}

/** Runs a command without printing its output. Resolves with `ok` (its exit code is 0) and with the output. */
export function runQuietly(command, args, options) {
  const shell = process.platform === "win32"; // npm's commands are batch files there
  const child = spawn(command, args, { cwd: root, shell, stdio: ["ignore", "pipe", "pipe"], ...options });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

async function run(title, command, args, env, { announceAfterMs = 0, advice } = {}) {
  const timer = setTimeout(() => console.log(`${title} …`), announceAfterMs);
  const { ok, output } = await runQuietly(command, args, { env });
  clearTimeout(timer);
  if (!ok) fail(`${output.trimEnd()}\n\n${title} failed.${advice ? ` ${advice}` : ""}`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const supported = major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
  if (!supported) fail(`Waymark needs Node ${manifest.engines.node}, this is ${process.versions.node}.`);
}

/** Returns a hash of all that an installation depends on: manifests, lockfile, and the Node that native code is compiled for. */
function installationKey() {
  const members = ["packages", "examples", "test"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}/package.json`))
    .concat("benchmarks/package.json");
  const hash = createHash("sha256");
  hash.update(JSON.stringify([process.versions.modules, process.platform, process.arch]));
  for (const file of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ...members.sort()]) {
    if (existsSync(join(root, file))) hash.update(`\n${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampPath, "utf8"));
  } catch {
    return undefined; // missing, or only half written: install again
  }
}

/** Returns the path of the pinned pnpm in npm's cache, and downloads it first if it is not there. */
async function fetchPnpm() {
  const args = ["--yes", `--package=${manifest.packageManager}`, "--", "node", "-p", "process.env.PATH"];
  const { ok, output } = await runQuietly("npx", args);
  const folder = output
    .split(/[\r\n]+/)
    .flatMap((line) => line.split(delimiter))
    .find(isPnpmsFolder);
  if (!ok || !folder) fail(`${output.trimEnd()}\n\nFetching ${manifest.packageManager} with npx failed.`);
  return join(folder, process.platform === "win32" ? "pnpm.cmd" : "pnpm");
}

/** True if npx has added this entry to the PATH: a folder of its cache, not one with a pnpm of the user's. */
function isPnpmsFolder(entry) {
  return existsSync(join(entry, "../pnpm/package.json")) && existsSync(join(entry, "pnpm"));
}

function environment(pnpm) {
  const path = [dirname(pnpm), dirname(process.execPath), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: "1", TURBO_NO_UPDATE_NOTIFIER: "1" };
  delete env.npm_config_nodedir; // it may be set for another version of Node
  const prefix = headersPrefix();
  return prefix ? { ...env, npm_config_nodedir: prefix } : env;
}

/** Returns the folder with this Node's headers, if they are installed: compiling then needs no download. */
function headersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include/node/node.h")) ? prefix : undefined;
}

async function loadsSQLite(env) {
  const script = 'new (require("better-sqlite3"))(":memory:").close()';
  const { ok } = await runQuietly(process.execPath, ["--eval", script], { env, cwd: join(root, "packages/sqlite") });
  return ok;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
