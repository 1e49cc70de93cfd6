// `npm test`: installs and builds if needed, checks the sources, starts the database servers, and runs every test.
//
//   npm test                           every test once: tests that depend on the database on each of them, all others on SQLite
//   npm run test:all                   every test on every database; tests without a server also on other versions of Node
//   npm test -- --only sqlite,core     some packages, examples or tests, by folder; `mysql` and `mariadb` are one folder
//   npm test -- --only sqlite/dialect  of those some files, by the beginning of their path below `test/`
//
// The last line is "N passed, N failed, N skipped". A check such as the linter counts as one test, and a required server that
// does not start as one failed test.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { DIALECTS, SERVERS, VECTOR_SERVERS } from "./dialects.mjs";
import { appendToTally, readResults } from "./results.mjs";
import { install, root, runQuietly, setUp } from "./setup.mjs";
import { testOnNode } from "./test-on-node.mjs";

/** Versions of Node on which `--all` runs tests, besides the current one. */
const OTHER_NODES = ["22", "24", "26"];

/** Display names of servers. */
const TITLES = { ...SERVERS, ...VECTOR_SERVERS };

/** Number of slowest test files that the report lists. */
const SLOWEST = 10;

/** Tasks of turbo.json, each over the whole repository. */
const CHECKS = {
  typecheck: "types",
  "lint:style": "style (biome)",
  "lint:unused": "unused files, exports and dependencies (knip)",
  "lint:seams": "seams between the modules",
  lint: "packages as published (publint, are the types wrong)",
};

const ci = Boolean(process.env.CI) && process.env.CI !== "false";
const tally = { passed: 0, failed: 0, skipped: 0 };
/** Failures, a line each. They are printed at the end, after the thousands of lines about tests that passed. */
const failures = [];
/** Durations of test files, in milliseconds, with their numbers of tests. */
const durations = [];
const suites = findSuites();
const { all, chosen } = parseOptions();

await setUp();

// The servers must stop however the run ends. On a second signal this process exits at once, and the servers end with it.
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // `on`, not `once`: signal-exit, a dependency of testcontainers, ends the process if it finds no other listener.
  process.on(signal, () => (interruption.signal.aborted ? process.exit(130) : interruption.abort(signal)));
}

const servers = [];
try {
  const [found] = await Promise.all([startServers(), chosen ? undefined : check()]);
  if (found && !interruption.signal.aborted) await runTests(found);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
if (all) for (const version of OTHER_NODES) runOnNode(version);
report();

/** Lists the suites that `--only` can name: the folders of the workspace, with the servers that their tests need. */
function findSuites() {
  const every = Object.keys(SERVERS);
  const needs = {
    // A kind of server whose name is not its dialect's becomes a suite of its own, see below.
    ...Object.fromEntries(
      Object.entries(DIALECTS).map(([name, { servers: kinds }]) => [name, kinds.filter((kind) => kind === name)]),
    ),
    ...{
      langgraph: every,
      "openai-agents": every,
      elizaos: every,
      compatibility: every,
      release: every,
      servers: every,
    },
  };
  const others = Object.entries(DIALECTS).flatMap(([name, { servers: kinds }]) =>
    kinds.filter((kind) => kind !== name).map((kind) => [kind, { folder: `packages/${name}`, servers: [kind] }]),
  );
  const folders = ["packages", "examples", "test"].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => [name, { folder: `${parent}/${name}`, servers: needs[name] ?? [] }]),
  );
  const found = {
    ...Object.fromEntries(folders),
    ...Object.fromEntries(others),
    scripts: { folder: "scripts", servers: [] },
    benchmarks: { folder: "benchmarks", servers: [] },
  };
  for (const suite of Object.values(found)) suite.servers = [...suite.servers, ...vectorServers(suite.folder)];
  return found;
}

/** Lists the servers with vectors that a folder's vitest.config.ts names. Reads the text, since Node 20 cannot import it. */
function vectorServers(folder) {
  const file = join(root, folder, "vitest.config.ts");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return Object.keys(VECTOR_SERVERS).filter((kind) => text.includes(`"${kind}"`));
}

function parseOptions() {
  const { values } = parseArgs({ options: { all: { type: "boolean" }, only: { type: "string", multiple: true } } });
  if (!values.only) return { all: values.all ?? false, chosen: undefined };
  if (values.all) {
    console.error("Expected either `--all` or `--only`, got both.");
    process.exit(2);
  }
  const names = values.only.flatMap((list) => list.split(",")).map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(suites, suiteOf(name)));
  if (unknown === undefined) return { all: false, chosen: [...new Set(names)] };
  console.error(`Expected \`--only\` to name some of ${Object.keys(suites).sort().join(", ")}, got \`${unknown}\`.`);
  process.exit(2);
}

/** Returns the suite of a name in `--only`, which may go on with the beginning of a file's path. */
function suiteOf(name) {
  return name.split("/")[0];
}

/** Checks types and runs the linters, with turbo, which skips what has passed before and has not changed. */
async function check() {
  const env = await install();
  for (const [task, title] of Object.entries(CHECKS)) {
    if (interruption.signal.aborted) return;
    const turbo = join(root, "node_modules/.bin/turbo");
    const args = ["run", task, "--continue", "--output-logs=errors-only", "--log-prefix=none"];
    const { ok, output } = await runQuietly(turbo, args, { env });
    console.log(`${ok ? "✓" : "✗"} ${title}`);
    if (!ok) {
      console.error(output.trim());
      failures.push(title);
    }
    tally[ok ? "passed" : "failed"] += 1;
  }
}

/**
 * Starts the servers that the chosen tests need, all at once. Without `--only`, PostgreSQL and one of MySQL and MariaDB are
 * required; with it, and in CI, all that they need are. Returns the kinds that started, or undefined if a required one did not.
 */
async function startServers() {
  const kinds = [...new Set((chosen ?? Object.keys(suites)).flatMap((name) => suites[suiteOf(name)].servers))];
  const { startServer } = await importServers();
  const missing = new Map();
  await Promise.all(
    kinds.map(async (kind) => {
      try {
        const server = await startServer(kind);
        servers.push(server);
        console.log(`✓ ${TITLES[kind]} ${server.version} (${server.origin})`);
      } catch (error) {
        missing.set(kind, error);
      }
    }),
  );

  const required = new Set(kinds);
  if (!ci && !chosen) {
    for (const kind of Object.keys(VECTOR_SERVERS)) required.delete(kind);
    const alternatives = ["mysql", "mariadb"];
    if (alternatives.some((kind) => !missing.has(kind))) for (const kind of alternatives) required.delete(kind);
  }
  let complete = true;
  for (const [kind, error] of missing) {
    if (required.has(kind)) {
      console.error(`✗ ${TITLES[kind]} is required: ${error.message}`);
      failures.push(`${TITLES[kind]} is required`);
      tally.failed += 1;
      complete = false;
    } else {
      console.warn(`! No ${TITLES[kind]}: its tests are skipped: ${error.message}`);
    }
  }
  return complete ? kinds.filter((kind) => !missing.has(kind)) : undefined;
}

/** Imports the built package of servers, which exists only after `setUp`. */
function importServers() {
  return import(pathToFileURL(join(root, "test/servers/dist/index.js")).href);
}

/** Runs one vitest for all projects. Its tests find the servers by the URLs in the environment. */
async function runTests(kinds) {
  const folder = mkdtempSync(join(tmpdir(), "waymark-test-"));
  const results = join(folder, "results.json");
  const env = { ...(await install()), WAYMARK_TEST_SERVERS: kinds.join(","), WAYMARK_TEST_BUILT: "1" };
  if (all) env.WAYMARK_TEST_ALL = "1";
  const { urlVariable } = await importServers();
  for (const server of servers) env[urlVariable(server)] = server.url;

  const filters = new Set(
    chosen?.map((name) => {
      const [suite, ...files] = name.split("/");
      return join(root, suites[suite].folder, files.length > 0 ? join("test", ...files) : "/");
    }),
  );
  const args = ["run", ...filters, "--reporter=default", "--reporter=json", `--outputFile.json=${results}`];
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, ...args], { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
  const stop = () => child.kill("SIGTERM");
  interruption.signal.addEventListener("abort", stop);
  const code = await new Promise((resolve) => child.on("close", resolve));
  interruption.signal.removeEventListener("abort", stop);

  const found = readResults(results, code === 0);
  failures.push(...found.failures);
  durations.push(...found.durations);
  for (const key of Object.keys(tally)) tally[key] += found[key];
  rmSync(folder, { recursive: true });
}

/** Runs the tests that need no server on another version of Node, and adds their counts. */
function runOnNode(version) {
  if (interruption.signal.aborted) return;
  const { WAYMARK_TEST_TALLY: _, ...env } = process.env; // the results are added below: a tally would count them twice
  const result = testOnNode(version, { env: { ...env, WAYMARK_TEST_ALL: "1" } });
  for (const key of Object.keys(tally)) tally[key] += result[key];
  failures.push(...result.failures.map((failure) => `Node ${version}: ${failure}`));
}

function reportSlowest() {
  const slowest = durations.toSorted((one, other) => other.ms - one.ms).slice(0, SLOWEST);
  if (slowest.length === 0) return;
  console.log(`\nThe ${slowest.length} slowest files:`);
  for (const { file, ms, cases } of slowest) {
    console.log(`${(ms / 1_000).toFixed(0).padStart(6)} s ${String(cases).padStart(6)} cases  ${file}`);
  }
}

function report() {
  const { passed, failed, skipped } = tally;
  const { aborted, reason } = interruption.signal;
  if (aborted) console.error(`\nInterrupted by ${reason}: some tests were not run.`);
  reportSlowest();
  if (chosen) console.log(`\nThis run was limited with --only to ${chosen.join(", ")}, without typecheck and lint.`);
  for (const failure of failures) console.log(`✗ ${failure}`);
  appendToTally({ ...tally, failures });
  // The script that set WAYMARK_TEST_TALLY adds up several runs, and prints the last line itself.
  console.log(
    process.env.WAYMARK_TEST_TALLY
      ? `\n${passed} + ${failed} + ${skipped} (passed, failed, skipped)`
      : `\n${passed} passed, ${failed} failed, ${skipped} skipped`,
  );
  process.exitCode = aborted ? 130 : failed > 0 || passed === 0 ? 1 : 0;
}
