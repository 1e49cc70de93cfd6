// Contents of the databases of v793ce5e/: four stores in each, distinguished by the prefix of their tables. write.mjs took these
// steps with the packages of that commit. They must not be changed, since the databases are not written again.

import {
  aside,
  conversation,
  editedHistories,
  longLog,
  longTexts,
  smallStates,
  tagged,
  taggedHistory,
} from "./states.mjs";
import { chapter } from "./steps.mjs";

/** @import { KeyRing } from "@waymark/core" */

/**
 * Returns the checkpoint of a turn of a growing history.
 * @param {string} agentId
 * @param {number} turn
 * @param {string | undefined} parentId
 */
export function turnOf(agentId, turn, parentId) {
  return {
    agentId,
    name: `turn ${turn}`,
    state: conversation(agentId, turn),
    metadata: {
      turn,
      phase: turn % 3 === 0 ? "review" : "draft",
      cost: turn * 0.25,
      isFinal: turn % 10 === 0,
      note: null,
    },
    ...(parentId === undefined ? {} : { parentId }),
  };
}

/**
 * Adds stores of consecutive turns, each the child of the one before. Returns their ids.
 * @param {ReturnType<typeof chapter>} into
 * @param {string} agentId
 * @param {{ readonly from: number; readonly to: number; readonly parentId?: string | undefined }} turns
 */
export function storeTurns(into, agentId, { from, to, parentId }) {
  /** @type {string[]} */
  const ids = [];
  for (let turn = from; turn <= to; turn++) ids.push(into.store(turnOf(agentId, turn, ids.at(-1) ?? parentId)));
  return ids;
}

export const plain = plainStore();

/** Returns the steps of the plain store: those of two processes, one after the other. */
function plainStore() {
  const first = chapter(0);
  const turns = storeTurns(first, "historian", { from: 1, to: 40 });
  // A branch at turn 30, in the same timeline as the other turns.
  let parentId = turns[29];
  const branch = [];
  for (let length = 1; length <= 5; length++) {
    const state = conversation("historian", 30, aside("branch", length));
    parentId = first.store({ agentId: "historian", name: "branch", state, ...(parentId && { parentId }) });
    branch.push(parentId);
  }
  first.resume("historian");

  for (const [at, state] of editedHistories().entries()) first.store({ agentId: "editor", name: `edit ${at}`, state });
  for (let turn = 1; turn <= 3; turn++) {
    first.store({ agentId: "collector", namespace: "small", state: tagged(turn) });
    first.store({ agentId: "collector", state: taggedHistory(turn) });
  }
  first.store({ agentId: "archivist", state: longLog(0) });
  first.store({ agentId: "archivist", state: longLog(1) });
  for (let version = 1; version <= 3; version++) first.store({ agentId: "writer", state: longTexts(version) });

  const small = [first.store({ agentId: "counter", state: smallStates[0] }, { ifLatest: null })];
  for (const state of smallStates.slice(1)) {
    small.push(first.store({ agentId: "counter", state }, { ifLatest: small.at(-1) ?? null }));
  }

  for (const namespace of ["", "tenant/1", "tenant/1 ", "Mandant ä 😀"]) {
    for (let turn = 1; turn <= 3; turn++) first.store({ agentId: "tenants", namespace, state: { namespace, turn } });
  }
  for (const agentId of ["Agent", "agent", "agent ", "ágent", "a\u0301gent"]) {
    first.store({ agentId, name: `of ${agentId}`, state: { agentId } });
  }
  const labels = [
    { text: "", '"quoted"\\': 'a "value"\\', "line\nbreak": "one\ntwo\r\n", "": "no name" },
    { nul: "\u0000", surrogate: "\ud800", emoji: "😀", ключ: "значение" },
    { zero: 0, minus: -0, small: 1e-7, large: 1e21, fraction: 0.1, negative: -5 },
    { yes: true, no: false, nothing: null, text: "true", number: "1" },
    {},
  ];
  for (const metadata of labels) first.store({ agentId: "labels", name: "näme 😀 \u2028\n'\"\\", state: 1, metadata });

  const worker = [1, 2, 3].map((step) => first.store({ agentId: "worker", name: `step ${step}`, state: { step } }));
  const [begun = "", broken = "", done = ""] = worker;
  first.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: { said: "first" }, taskPath: "~, 0" },
    { taskId: "task a", index: 1, channel: "messages", value: tagged(1) },
    { taskId: "task b", index: 0, channel: "files", value: conversation("worker", 3) },
    { taskId: "täsk", index: 0, channel: "kanal ä", value: undefined, taskPath: "~, 1, ä" },
    { taskId: "task a", index: -1, channel: "__error__", value: "the first error" },
    { taskId: "task a", index: -2, channel: "__interrupt__", value: ["approve?"] },
  );
  first.append(broken, { taskId: "task a", index: 0, channel: "messages", value: 1 });
  first.append(done, { taskId: "task a", index: 2_147_483_647, channel: "messages", value: null });

  storeTurns(first, "pruned", { from: 1, to: 30 });
  storeTurns(first, "gone", { from: 1, to: 10 });

  const second = chapter(1_000);
  second.resume("historian");
  turns.push(...storeTurns(second, "historian", { from: 41, to: 90, parentId: turns.at(-1) }));
  second.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: "the first one stays" },
    { taskId: "task a", index: 2, channel: "messages", value: -0 },
    { taskId: "task a", index: -1, channel: "__error__", value: "the last error" },
  );
  second.delete(broken); // with its writes
  for (const turn of [20, 21, 33, 66]) second.delete(/** @type {string} */ (turns[turn - 1]));
  second.prune({ agentId: "pruned", keepLast: 8 });
  second.deleteAgent("gone");

  return { first: first.steps, second: second.steps, turns, branch, worker, small };
}

/** Keys of 32 bytes, only for tests. @type {Readonly<Record<string, string>>} */
const secrets = {
  "2026-10": "8f2d1f0a6f1d4c55a1f3d0f4c8f1b8a97b3c6c0e2f4d9a1b5e7c8d9f0a1b2c3d",
  "2026-11": "1c9e3b7a5d2f4e6c8b0a9d7f5e3c1b2a4d6f8e0c2b4a6d8f0e1c3b5a7d9f2e4c",
  "2026-12": "5b0c8f3e7a2d6b9c4f1e8a5d2c7b0f3e6a9d4c1b8e5f2a7d0c3b6e9f4a1d8c5b",
};
const digestKey = "d4e5f60718293a4b5c6d7e8f9011a2b3c4d5e6f708192a3b4c5d6e7f80910213";

/**
 * Returns a key ring with these keys. The last one is the current key.
 * @param {...string} names
 * @returns {KeyRing}
 */
export function ringOf(...names) {
  const keys = Object.fromEntries(names.map((name) => [name, /** @type {string} */ (secrets[name])]));
  return { current: /** @type {string} */ (names.at(-1)), keys, digestKey };
}

export const encrypted = encryptedStore();

/** Returns the steps of the encrypted store: the first half with one key, the second half with the next one. */
function encryptedStore() {
  const first = chapter(2_000);
  const turns = storeTurns(first, "historian", { from: 1, to: 36 });
  for (let turn = 1; turn <= 2; turn++) first.store({ agentId: "collector", state: taggedHistory(turn) });
  first.store({ agentId: "archivist", state: longLog(0) });
  const worker = [1, 2].map((step) => first.store({ agentId: "worker", name: `step ${step}`, state: { step } }));
  const [begun = ""] = worker;
  first.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: tagged(1), taskPath: "~, 0" },
    { taskId: "task a", index: -1, channel: "__error__", value: "the first error" },
  );

  const second = chapter(2_500);
  second.resume("historian");
  turns.push(...storeTurns(second, "historian", { from: 37, to: 44, parentId: turns.at(-1) }));
  second.store({ agentId: "collector", state: taggedHistory(3) });
  second.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: "the first one stays" },
    { taskId: "task a", index: -1, channel: "__error__", value: "the last error" },
    { taskId: "task b", index: 0, channel: "messages", value: conversation("worker", 3) },
  );
  // The deltas to these are rewritten, with the new key.
  for (const turn of [12, 34]) second.delete(/** @type {string} */ (turns[turn - 1]));

  return { first: first.steps, second: second.steps, turns, worker };
}

export const pair = mainAndBackup();

/** Returns the steps of main and backup: first with both, then without the backup, then without main. */
function mainAndBackup() {
  const both = chapter(3_000);
  const turns = storeTurns(both, "historian", { from: 1, to: 40 });
  for (let turn = 1; turn <= 2; turn++) both.store({ agentId: "collector", state: taggedHistory(turn) });
  const worker = [1, 2, 3].map((step) => both.store({ agentId: "worker", name: `step ${step}`, state: { step } }));
  const [first = "", second = ""] = worker;
  both.append(
    first,
    { taskId: "task a", index: 0, channel: "messages", value: tagged(1), taskPath: "~, 0" },
    { taskId: "task a", index: -2, channel: "__interrupt__", value: ["approve?"] },
  );
  both.append(second, { taskId: "task a", index: 0, channel: "messages", value: 1 });
  storeTurns(both, "pruned", { from: 1, to: 12 });
  storeTurns(both, "gone", { from: 1, to: 4 });
  // Tombstones that the backup has.
  for (const turn of [10, 11]) both.delete(/** @type {string} */ (turns[turn - 1]));
  both.prune({ agentId: "pruned", keepLast: 4 });
  both.deleteAgent("gone");

  const withoutBackup = chapter(3_500);
  withoutBackup.resume("historian");
  const inMain = storeTurns(withoutBackup, "historian", { from: 41, to: 46, parentId: turns.at(-1) });
  withoutBackup.append(
    first,
    { taskId: "task a", index: 5, channel: "messages", value: "of main: the first one stays" },
    { taskId: "task a", index: -1, channel: "__error__", value: "of main: the first error" },
  );
  const fourth = withoutBackup.store({ agentId: "worker", name: "step 4", state: { step: 4 } });
  withoutBackup.append(fourth, { taskId: "task b", index: 0, channel: "messages", value: conversation("worker", 2) });
  // Tombstones that the backup lacks.
  withoutBackup.delete(/** @type {string} */ (turns[19]));
  withoutBackup.delete(second);
  withoutBackup.prune({ agentId: "pruned", keepLast: 2 });

  const withoutMain = chapter(3_600);
  withoutMain.resume("historian");
  let parentId = turns.at(-1);
  const inBackup = [];
  for (let length = 1; length <= 5; length++) {
    const state = conversation("historian", 40, aside("main was away", length));
    parentId = withoutMain.store({ agentId: "historian", name: "away", state, ...(parentId && { parentId }) });
    inBackup.push(parentId);
  }
  const night = storeTurns(withoutMain, "night", { from: 1, to: 3 });
  withoutMain.append(
    first,
    { taskId: "task a", index: 5, channel: "messages", value: "of the backup: too late" },
    { taskId: "task a", index: -1, channel: "__error__", value: "of the backup: the last error" },
    { taskId: "task z", index: 0, channel: "messages", value: tagged(2) },
  );
  withoutMain.append(second, { taskId: "task a", index: 1, channel: "messages", value: "what main has deleted" });
  withoutMain.append(/** @type {string} */ (night[0]), { taskId: "task n", index: 0, channel: "messages", value: 0 });

  return {
    both: both.steps,
    withoutBackup: withoutBackup.steps,
    withoutMain: withoutMain.steps,
    turns,
    worker,
    inMain,
    inBackup,
  };
}
