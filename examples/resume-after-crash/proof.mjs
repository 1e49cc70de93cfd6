// Checks of the demo's claims, on the contents of the two files.

import { createHash } from "node:crypto";
import { createSQLiteStorage } from "@waymark/sqlite";

/**
 * Reads all checkpoints of the agent, oldest first, and the last state as JSON text.
 *
 * @param {string} databasePath
 */
export async function readRun(databasePath) {
  const storage = createSQLiteStorage({ type: "sqlite", databasePath });
  try {
    const checkpoints = [];
    let finalState = "";
    for (const { id } of (await storage.listCheckpoints({ agentId: "papagena-ops", limit: 10_000 })).reverse()) {
      const { name, parentId, metadata, state } = await storage.retrieveCheckpoint(id);
      finalState = JSON.stringify(state);
      checkpoints.push({ id, name, parentId: parentId ?? null, pid: metadata.pid, sha256: sha256(finalState) });
    }
    return { checkpoints, finalState };
  } finally {
    await storage.close();
  }
}

/**
 * Compares a run that was killed and resumed with an uninterrupted one. Each proof describes the result, expected or not.
 *
 * @param {object} runs
 * @param {number} runs.turns number of turns of the recording
 * @param {number} runs.killedIn the turn in which the first process was killed
 * @param {number[]} runs.pids the killed process and the one that resumed
 * @param {Awaited<ReturnType<typeof readRun>>} runs.reference checkpoints of the uninterrupted run
 * @param {Awaited<ReturnType<typeof readRun>>} runs.resumed checkpoints of the killed and the resumed process
 * @param {string[]} runs.inMemory the final states in the memory of the finished processes, as JSON text
 * @returns {{ ok: boolean, text: string }[]}
 */
export function prove({ turns, killedIn, pids, reference, resumed, inMemory }) {
  const { checkpoints } = resumed;
  const count = (turn) => checkpoints.filter(({ name }) => name === `turn ${turn}`).length;
  const all = Array.from({ length: turns }, (_, index) => index + 1);
  const lost = all.filter((turn) => count(turn) === 0);
  const twice = all.filter((turn) => count(turn) > 1);
  const inOrder = checkpoints.length === turns && checkpoints.every(({ name }, index) => name === `turn ${index + 1}`);
  const linked = checkpoints.every(({ parentId }, index) => parentId === (checkpoints[index - 1]?.id ?? null));
  const byTheRightProcess = checkpoints.every(({ pid }, index) => pid === pids[index + 1 < killedIn ? 0 : 1]);
  const different = all.filter((turn) => checkpoints[turn - 1]?.sha256 !== reference.checkpoints[turn - 1]?.sha256);
  const bytes = Buffer.from(resumed.finalState);
  const sameEnd = [reference.finalState, ...inMemory].every((text) => bytes.equals(Buffer.from(text)));

  return [
    fact(
      lost.length === 0 && twice.length === 0 && inOrder,
      `turns 1 to ${turns} are stored once each and in order`,
      `${checkpoints.length} checkpoints are not turns 1 to ${turns}: ${list(lost)} lost, ${list(twice)} stored more than once`,
    ),
    fact(
      linked,
      "each checkpoint names the one before as its parent",
      "the parents of the checkpoints are not one line",
    ),
    fact(
      byTheRightProcess,
      `the killed process stored ${range(1, killedIn - 1)}; the one that resumed, ${range(killedIn, turns)}`,
      `not every turn before ${killedIn} was stored by the killed process and every other by the one that resumed`,
    ),
    fact(
      different.length === 0,
      `all ${turns} stored states equal those of the uninterrupted run`,
      `stored states that differ from those of the uninterrupted run: ${list(different)}`,
    ),
    fact(
      sameEnd,
      `the final state is the same ${number(bytes.length)} bytes, on disk and in memory`,
      `the final state differs: ${describe(resumed.finalState)} resumed, ${describe(reference.finalState)} uninterrupted, ${inMemory.map(describe).join(" and ")} in memory`,
    ),
  ];
}

const fact = (ok, text, otherwise) => ({ ok, text: ok ? text : otherwise });

export const sha256 = (text) => createHash("sha256").update(text).digest("hex");
export const number = (value) => value.toLocaleString("en-US");

const describe = (text) => `${number(Buffer.byteLength(text))} bytes (sha256 ${sha256(text).slice(0, 12)}…)`;
const list = (turns) => (turns.length ? `turn ${turns.join(", ")}` : "none");
const range = (from, to) => (to < from ? "no turn" : from === to ? `turn ${from}` : `turns ${from} to ${to}`);
