import type { Engine } from "../checkpoints/engine.ts";
import { deletedAmong, isDeleted } from "../checkpoints/tombstones.ts";
import type { AgentCheckpointListItem } from "../contract/checkpoints.ts";
import { CheckpointError, codeOf } from "../contract/errors.ts";
import type { Source } from "../contract/status.ts";
import { bothFailed, isMainUnreachable, type Pair } from "./pair.ts";
import { resultWithin, type Settled, settled } from "./wait.ts";

/** Reading with a backup: main answers; both do while the backup is ahead; the backup alone while main is unreachable. */

/** Longest wait of a read for a backup whose answer may not matter. */
const SECOND_ANSWER_MS = 1_000;

/** A question that either database can answer. */
export interface Question<Result> {
  ask(engine: Engine): Promise<Result>;
  merge(inMain: Result, inBackup: Result): Promise<Result>;
  /** Returns whether a newer checkpoint in the other database might change the answer. */
  mayBeStale(answer: Result): boolean;
  /** `false`: main's answer is complete once it finds something, as for one checkpoint by its id. Default `true`. */
  readonly mayGrow?: boolean;
}

/** Asks main, the backup, or both. `allowStale`: the caller's option; `undefined`: as the policy says. */
export async function readFromPair<Result>(
  pair: Pair,
  operation: string,
  allowStale: boolean | undefined,
  question: Question<Result>,
): Promise<Result> {
  const { main, backup, options, failover } = pair;
  const { ask, merge, mayBeStale, mayGrow = true } = question;
  if (mayGrow) await failover.refresh();
  const isStaleAllowed = allowStale ?? options.staleReads === "allow";
  let backupAnswer = failover.mayBackupBeAhead ? settled(ask(backup)) : null;
  let answer: Result;
  try {
    answer = markSource("main", await ask(main));
    failover.markMainReachable();
    if (mayGrow && !(await failover.verifyMain())) backupAnswer ??= settled(ask(backup));
  } catch (error) {
    if (!isMainUnreachable(pair, error) || options.failover === "off") throw error;
    const second = await (backupAnswer ?? settled(ask(backup)));
    return answerOfBackup(pair, operation, error as CheckpointError, second, question, isStaleAllowed);
  }
  // "There is none" is rare, and would be the worst of wrong answers.
  if (answer === null && failover.isBackupReachable) backupAnswer ??= settled(ask(backup));
  if (backupAnswer === null) return answer;
  const second = failover.isBackupAhead ? await backupAnswer : await resultWithin(backupAnswer, SECOND_ANSWER_MS);
  if (second === null) return answer;
  if (second.ok) return await merge(answer, markSource("backup", second.value));
  if (failover.isBackupAhead && mayBeStale(answer) && !isStaleAllowed) {
    const advice = "allowStale, or staleReads in the config, accepts main's answer";
    const message = `${operation}: the backup has checkpoints that main lacks, and does not answer (${codeOf(second.error)}): ${advice}`;
    throw new CheckpointError("STALE", message, { cause: second.error });
  }
  return answer;
}

/** Returns the backup's answer while main is unreachable, unless it may be stale. */
function answerOfBackup<Result>(
  { failover }: Pair,
  operation: string,
  reason: CheckpointError,
  second: Settled<Result>,
  { mayBeStale }: Question<Result>,
  isStaleAllowed: boolean,
): Result {
  if (!second.ok) throw bothFailed(operation, reason, second.error);
  failover.markMainUnreachable();
  if (mayBeStale(second.value) && !isStaleAllowed) {
    const advice = "allowStale, or staleReads in the config, accepts the backup's answer";
    const message = `${operation}: main is unreachable, and the backup may lack the newest checkpoints: ${advice}`;
    throw new CheckpointError("STALE", message, { cause: reason });
  }
  failover.recordFailover(operation, reason.code);
  return markSource("backup", second.value);
}

/** Returns a checkpoint of the backup, unless main knows that it was deleted: the backup may not have received that yet. */
export async function unlessDeleted<Found>(
  { main }: Pair,
  found: Found | null,
  id: string | null,
): Promise<Found | null> {
  if (found === null || id === null) return null;
  return (await isDeleted(main, id)) ? null : found;
}

/** Merges two lists, newest first. */
export async function mergeLists(
  { main }: Pair,
  inMain: readonly AgentCheckpointListItem[],
  inBackup: readonly AgentCheckpointListItem[],
): Promise<AgentCheckpointListItem[]> {
  const items = new Map(inMain.map((item) => [item.id, item]));
  const onlyInBackup = inBackup.filter(({ id }) => !items.has(id));
  const deleted = await deletedAmong(
    main,
    onlyInBackup.map(({ id }) => id),
  );
  for (const item of onlyInBackup) if (!deleted.has(item.id)) items.set(item.id, item);
  return [...items.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
}

/** Marks an answer, and the items of a list, with their source. Not enumerable, so that copies are what was stored. */
function markSource<Result>(source: Source, answer: Result): Result {
  if (Array.isArray(answer)) for (const item of answer) markSource(source, item);
  if (typeof answer === "object" && answer !== null) {
    Object.defineProperty(answer, "source", { value: source, configurable: true });
  }
  return answer;
}
