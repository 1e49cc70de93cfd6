import { isDeepStrictEqual } from "node:util";
import {
  type CheckpointPendingWrite,
  ERROR,
  INTERRUPT,
  type PendingWrite,
  RESUME,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import type { CheckpointWrite } from "@waymark/core";
import { property } from "@waymark/core/kit";

/**
 * Writes of a task. Those to LangGraph's control channels (an error, an interrupt, its answer) have fixed indexes below 0, and
 * the last one stays; all others are numbered, and the first one stays.
 */

/** A control channel that LangGraph numbers like others: the node whose error a handler is to get. */
const ERROR_SOURCE_NODE = "__error_source_node__";

/** Returns the writes that a task hands over, with their indexes. `taskPath`: place of the task among others. */
export function writesOf(
  writes: readonly PendingWrite[],
  taskId: string,
  taskPath: string | undefined,
): CheckpointWrite[] {
  return writes.map(([channel, value], at): CheckpointWrite => {
    const index = Object.hasOwn(WRITES_IDX_MAP, channel) ? (WRITES_IDX_MAP[channel] as number) : at;
    return { taskId, index, channel, value, ...(taskPath ? { taskPath } : {}) };
  });
}

/** Returns the pending writes of a checkpoint by their tasks, which keep their order. */
export function groupByTask(pendingWrites: readonly CheckpointPendingWrite[]): ReadonlyMap<string, PendingWrite[]> {
  const tasks = new Map<string, PendingWrite[]>();
  for (const [task, channel, value] of pendingWrites) {
    const writes = tasks.get(task);
    if (writes === undefined) tasks.set(task, [[channel, value]]);
    else writes.push([channel, value]);
  }
  return tasks;
}

/** Pending writes of a checkpoint in a copied thread, and those of its original. Their values are as the copy reads them. */
export interface CopiedWrites {
  readonly stored: readonly CheckpointWrite[];
  readonly original: readonly CheckpointWrite[];
}

/** Relation of a write of the original to the one in the same slot of the copy. */
type Relation = "equal" | "added" | "later" | "other question" | "conflict";

/**
 * Returns for each checkpoint of a thread the writes that bring the copy to the state of its original; undefined if the copy
 * has gone on by itself. It has not if each of its writes is the original's, or an earlier one of the original: answers that
 * the original has too, with more after them. A question may be another one if the original has more answers or results than
 * the copy: the original has asked it later. Without more of them, nothing tells which of the two is the later one.
 */
export function changesOf(checkpoints: readonly CopiedWrites[]): CheckpointWrite[][] | undefined {
  const originals = checkpoints.flatMap(({ original }) => original);
  const answers = originals.filter(({ channel }) => channel === RESUME).flatMap(({ value }) => value);
  const relations = checkpoints.map((writes) => relationsOf(writes, answers));
  const found = new Set(relations.flat());
  const hasGoneOn = checkpoints.some(({ stored, original }) => hasMore(stored, original));
  if (hasGoneOn || found.has("conflict") || (found.has("other question") && !found.has("later"))) return undefined;
  return checkpoints.map(({ original }, place) => original.filter((_, at) => relations[place]?.[at] !== "equal"));
}

/** Returns whether some write has no counterpart in `others`. */
function hasMore(writes: readonly CheckpointWrite[], others: readonly CheckpointWrite[]): boolean {
  const slots = new Set(slotsOf(others));
  return slotsOf(writes).some((slot) => !slots.has(slot));
}

function relationsOf({ stored, original }: CopiedWrites, answers: readonly unknown[]): Relation[] {
  const storedSlots = slotsOf(stored);
  const values = new Map(stored.map(({ value }, at) => [storedSlots[at], value]));
  // Answers as they were given, which a task takes over: LangGraph keeps the last one only, without a question beside it.
  const asking = new Set(original.filter(({ channel }) => channel !== RESUME).map(({ taskId }) => taskId));
  return slotsOf(original).map((slot, at): Relation => {
    const { taskId, channel, index, value } = original[at] as CheckpointWrite;
    if (!values.has(slot)) return index >= 0 || channel === RESUME ? "later" : "added";
    const before = values.get(slot);
    if (isDeepStrictEqual(before, value)) return "equal";
    if (channel === INTERRUPT) return "other question";
    if (channel === ERROR) return "added"; // an error is nobody's progress
    if (channel !== RESUME) return "conflict";
    if (asking.has(taskId)) return isPrefix(before, value) ? "later" : "conflict";
    const isKnown =
      includes(answers, before) || (Array.isArray(before) && before.every((one) => includes(answers, one)));
    return isKnown ? "later" : "conflict";
  });
}

function isPrefix(list: unknown, longer: unknown): boolean {
  return Array.isArray(list) && Array.isArray(longer) && isDeepStrictEqual(list, longer.slice(0, list.length));
}

function includes(items: readonly unknown[], value: unknown): boolean {
  return items.some((item) => isDeepStrictEqual(item, value));
}

/**
 * Returns the slots of writes: the control channel of a task, or the place among the task's other writes to the channel. (Two
 * savers may have numbered them differently, or return the channels in another order.)
 */
function slotsOf(writes: readonly CheckpointWrite[]): string[] {
  const places = new Map<string, number>();
  return writes.map(({ taskId, index, channel }) => {
    const slot = JSON.stringify([taskId, channel]);
    const place = places.get(slot) ?? 0;
    if (index >= 0) places.set(slot, place + 1);
    return `${place} ${slot}`;
  });
}

/**
 * Returns the interrupts and errors of tasks that have no result. A task that was answered, or has succeeded when it was tried
 * again, keeps them beside its result until the next checkpoint. (LangGraph tells by the same rule which interrupts wait.)
 */
export function stopsOf(writes: readonly CheckpointWrite[]): CheckpointWrite[] {
  const results = writes.filter(({ index, channel }) => index >= 0 && channel !== ERROR_SOURCE_NODE);
  const ended = new Set(results.map(({ taskId }) => taskId));
  return writes.filter(({ taskId, channel }) => [INTERRUPT, ERROR].includes(channel) && !ended.has(taskId));
}

/** Drops interrupts whose id an earlier one has: an interrupt within a `task` is also one of the task that has called it. */
export function dropRepeatedQuestions(interrupts: readonly unknown[]): unknown[] {
  const ids = interrupts.map((one) => property(one, "id"));
  return interrupts.filter((_, at) => ids[at] === undefined || ids.indexOf(ids[at]) === at);
}

/**
 * Compares writes in the order in which LangGraph applies them. (LangGraph exports a comparator, but only in versions later
 * than the earliest one that is supported.)
 */
export function byTask(a: CheckpointWrite, b: CheckpointWrite): number {
  return (
    compareCodePoints(a.taskPath ?? "", b.taskPath ?? "") || compareCodePoints(a.taskId, b.taskId) || a.index - b.index
  );
}

/**
 * Compares by code points. JavaScript's `<` compares UTF-16 code units, and the surrogates of a character above U+FFFF are
 * lower than some single units.
 */
function compareCodePoints(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  const splitsPair =
    at > 0 && isSurrogate(a, at - 1, 0xd800) && (isSurrogate(a, at, 0xdc00) || isSurrogate(b, at, 0xdc00));
  const from = splitsPair ? at - 1 : at;
  return (a.codePointAt(from) ?? -1) - (b.codePointAt(from) ?? -1);
}

/** `first`: the lowest of the 1,024 high surrogates, or of the low ones. */
function isSurrogate(text: string, at: number, first: 0xd800 | 0xdc00): boolean {
  return (text.charCodeAt(at) & 0xfc00) === first;
}
