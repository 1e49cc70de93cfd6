// Runs the agent twice, once undisturbed and once killed in the middle and started again, and proves that both end in the
// same state.
//
//   node demo.mjs [--kill-in-turn 38] [--folder .] [--agent agent.mjs]

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { number, prove, readRun, sha256 } from "./proof.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: options } = parseArgs({
  options: {
    "kill-in-turn": { type: "string", default: "38" },
    folder: { type: "string", default: here },
    agent: { type: "string", default: join(here, "agent.mjs") },
  },
});
const killIn = Number(options["kill-in-turn"]);
const recording = readFileSync(join(here, "run.jsonl"));
const [, ...turns] = recording
  .toString()
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));
const referencePath = join(resolve(options.folder), "reference.db");
const resumedPath = join(resolve(options.folder), "resumed.db");

if (!turns[killIn - 1]) {
  fail(`Expected \`--kill-in-turn\` to be a turn from 1 to ${turns.length}, got \`${options["kill-in-turn"]}\`.`);
}
mkdirSync(options.folder, { recursive: true });
for (const path of [referencePath, resumedPath]) {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

console.log(
  `A recorded agent run of ${turns.length} turns (${number(recording.length)} bytes). The agent stores its state after every turn.\n`,
);

const whole = await runAgent(referencePath);
say("uninterrupted", `process ${whole.pid} ran turns 1 to ${whole.last.turn}`);

const killed = await runAgent(resumedPath, whereToKill(killIn));
const work = killed.last.tool ? `its tool "${killed.last.tool}" was at work` : "it waited for the model";
say(
  "killed",
  `process ${killed.pid} stored ${killIn > 1 ? `turn ${killIn - 1}` : "nothing"}; SIGKILL in turn ${killIn}, while ${work}`,
);

const resumed = await runAgent(resumedPath);
const found = resumed.first.step === "resumed" ? `turn ${resumed.first.turn} as the latest` : "no checkpoint";
say(
  "resumed",
  `process ${resumed.pid} found ${found} and ran from turn ${resumed.first.turn + 1} to ${resumed.last.turn}`,
);

const reference = await readRun(referencePath);
const stored = await readRun(resumedPath);
const proofs = prove({
  turns: turns.length,
  killedIn: killIn,
  pids: [killed.pid, resumed.pid],
  reference,
  resumed: stored,
  inMemory: [whole, resumed].map(({ last }) => JSON.stringify(last.state)),
});

console.log();
for (const { ok, text } of proofs) console.log(`  ${ok ? "✓" : "✗"} ${text}`);
console.log();
say("sha256", `${sha256(reference.finalState)} uninterrupted`);
say("", `${sha256(stored.finalState)} killed and resumed`);
say("the file", `${relative(process.cwd(), resumedPath)} (${number(statSync(resumedPath).size)} bytes)`);

if (!proofs.every(({ ok }) => ok)) {
  fail("\nThe run that was killed and resumed is not the same as the uninterrupted one.");
}

/**
 * Runs the agent in a child process. The agent waits for an answer to each of its reports; the answer to the one for which
 * `killAt` is true is SIGKILL. So it dies at exactly that point, however fast the machine is.
 */
async function runAgent(databasePath, killAt) {
  // Not as JSON, the default: in that Deno sends U+FFFD in place of half of a surrogate pair.
  const child = fork(resolve(options.agent), [databasePath], { serialization: "advanced" });
  const events = [];
  child.on("message", (event) => {
    events.push(event);
    if (killAt?.(event)) child.kill("SIGKILL");
    else child.send("go on");
  });
  const [code, signal] = await once(child, "exit");
  const asWanted = killAt ? signal === "SIGKILL" : code === 0;
  if (!asWanted) fail(`The agent's process ended with ${signal ?? `exit code ${code}`}.`);
  return { pid: child.pid, first: events[0], last: events.at(-1) };
}

/** Chooses the middle of a turn: its first tool call, or the model's call if it makes none. */
function whereToKill(turn) {
  const step = Object.keys(turns[turn - 1].results).length > 0 ? "tool" : "model";
  return (event) => event.turn === turn && event.step === step;
}

function say(label, text) {
  console.log(`  ${label.padEnd(14)} ${text}`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
