// Counts and failures of test runs. `.ci/run` adds them up: it names a file, the tally, in `WAYMARK_TEST_TALLY`.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { root } from "./setup.mjs";

/** Reads the file of vitest's JSON reporter. `ok`: vitest's exit code was 0. Returns counts, a line for each failure, and durations. */
export function readResults(path, ok) {
  const result = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  const counts = result ? count(result) : { passed: 0, failed: 0, skipped: 0 };
  const files = result?.testResults ?? [];
  const failures = files.flatMap(failuresOf);
  if (!ok && counts.failed === 0) {
    failures.push("an error outside of all tests: vitest has failed");
    counts.failed = 1;
  }
  return { ...counts, failures, durations: files.map(durationOf) };
}

/** Appends to the tally, if there is one: a line of counts, then the failures. */
export function appendToTally({ passed, failed, skipped, failures }) {
  const tally = process.env.WAYMARK_TEST_TALLY;
  if (tally) {
    appendFileSync(tally, `${passed} ${failed} ${skipped}\n${failures.map((line) => `✗ ${line}\n`).join("")}`);
  }
}

function count({ numTotalTests, numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults }) {
  // A file that does not load has failed without a failed test. The tests of a process that died have no result at all.
  const broken = testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  );
  const skipped = numPendingTests + numTodoTests;
  const lost = Math.max(0, numTotalTests - numPassedTests - numFailedTests - skipped);
  return { passed: numPassedTests, failed: numFailedTests + broken.length + lost, skipped };
}

/** Lists the failures of a test file: its path, the test, and the first line of the error. */
function failuresOf({ name, status, message, assertionResults }) {
  if (status !== "failed") return [];
  const file = relative(root, name);
  const failed = assertionResults.filter((test) => test.status === "failed");
  const reasons = failed.map((test) => [`${file} > ${test.fullName}`, test.failureMessages?.[0]]);
  return (reasons.length > 0 ? reasons : [[file, message]]).map(
    ([where, reason]) => `${where}: ${(reason ?? "").split("\n")[0]}`,
  );
}

function durationOf({ name, startTime, endTime, assertionResults }) {
  return { file: relative(root, name), ms: endTime - startTime, cases: assertionResults.length };
}
