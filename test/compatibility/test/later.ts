import { encrypted, pair, plain, storeTurns } from "../src/contents.mjs";
import { aside, conversation, longLog, longTexts, tagged, taggedHistory } from "../src/states.mjs";
import { chapter } from "../src/steps.mjs";

// Steps on the stores after they were loaded: first by today's packages, then by those of 793ce5e, which must work with the rows
// that today's have written.

/** Steps of each kind, on the plain store. */
export const plainByOurs = plainSteps(1, plain.turns, [34, 50, 65, 70]);
export const plainByOld = plainSteps(2, plainByOurs.turns, [1, 22, 51, 92]);
export const plainByOursAgain = plainSteps(3, plainByOld.turns, [2, 35, 90, 94]);

/** `turns`: ids of the turns that are stored so far. `deletedTurns`: turns to delete, in the middle of the timeline. */
function plainSteps(round: number, turns: readonly string[], deletedTurns: readonly number[]) {
  const next = chapter(10_000 + round * 1_000);
  const [begun = ""] = plain.worker;
  next.resume("historian");
  const range = { from: turns.length + 1, to: turns.length + 3, parentId: turns.at(-1) };
  const stored = storeTurns(next, "historian", range);
  const branch = conversation("historian", 30, aside("branch", 5 + round));
  next.store({ agentId: "historian", name: "branch", state: branch, parentId: plain.branch.at(-1) as string });
  next.resume("collector");
  next.store({ agentId: "collector", state: taggedHistory(3 + round) });
  next.store({ agentId: "collector", namespace: "small", state: tagged(3 + round) });
  next.store({ agentId: "archivist", state: longLog(1 + round) });
  next.resume("writer");
  next.store({ agentId: "writer", state: longTexts(3 + round) });
  next.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: "the first one still stays" },
    { taskId: "task a", index: 2 + round, channel: "messages", value: tagged(round) },
    { taskId: "task a", index: -1, channel: "__error__", value: `the last error, ${round}` },
  );
  next.append(stored[0] as string, { taskId: "task b", index: 0, channel: "files", value: conversation("worker", 3) });
  for (const turn of deletedTurns) next.delete(turns[turn - 1] as string);
  next.prune({ agentId: "pruned", keepLast: 8 - round * 2 });
  next.prune({ agentId: "editor", keepLast: 8 - round });
  next.deleteAgent(["agent", "Agent", "agent "][round - 1] as string);
  return { steps: next.steps, turns: [...turns, ...stored] };
}

/** A few more turns, and task writes, on the encrypted store. */
export const encryptedByOurs = encryptedSteps(1, encrypted.turns);
export const encryptedByOld = encryptedSteps(2, encryptedByOurs.turns);

function encryptedSteps(round: number, turns: readonly string[]) {
  const next = chapter(20_000 + round * 1_000);
  const [begun = ""] = encrypted.worker;
  next.resume("historian");
  const range = { from: turns.length + 1, to: turns.length + 3, parentId: turns.at(-1) };
  const stored = storeTurns(next, "historian", range);
  next.append(
    begun,
    { taskId: "task a", index: 0, channel: "messages", value: "the first one still stays" },
    { taskId: "task a", index: round, channel: "messages", value: tagged(round) },
    { taskId: "task a", index: -1, channel: "__error__", value: `the last error, ${round}` },
  );
  next.delete(turns[round * 10] as string);
  return { steps: next.steps, turns: [...turns, ...stored] };
}

/** Steps on main while the backup is unreachable, and on the backup while main is. */
export const pairByOurs = pairSteps(1, pair.turns);
export const pairByOld = pairSteps(2, pair.turns);

function pairSteps(round: number, turns: readonly string[]) {
  const [first = "", , third = ""] = pair.worker;
  const withoutBackup = chapter(30_000 + round * 2_000);
  withoutBackup.resume("historian");
  const parentId = pair.inMain.at(-1);
  storeTurns(withoutBackup, "historian", { from: 44 + round * 3, to: 46 + round * 3, parentId });
  withoutBackup.append(
    first,
    { taskId: "task a", index: 5 + round, channel: "messages", value: "of main: the first one stays" },
    { taskId: "task a", index: -1, channel: "__error__", value: `of main, ${round}` },
  );
  withoutBackup.delete(turns[20 + round] as string);
  withoutBackup.delete(pair.inBackup[round] as string);

  const withoutMain = chapter(31_000 + round * 2_000);
  withoutMain.resume("night");
  const night = storeTurns(withoutMain, "night", { from: 3 * round + 1, to: 3 * round + 3 });
  withoutMain.append(
    first,
    { taskId: "task a", index: 5 + round, channel: "messages", value: "of the backup: too late" },
    { taskId: "task a", index: -1, channel: "__error__", value: `of the backup, ${round}` },
  );
  withoutMain.append(third, { taskId: "task a", index: round, channel: "messages", value: tagged(round) });
  withoutMain.append(night[0] as string, { taskId: "task n", index: 0, channel: "messages", value: round });
  return { withoutBackup: withoutBackup.steps, withoutMain: withoutMain.steps };
}
