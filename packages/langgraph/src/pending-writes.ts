import {
  type CheckpointPendingWrite,
  ERROR,
  INTERRUPT,
  type PendingWrite,
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

/**
 * Returns those writes that have no counterpart in `stored`: no write of the same task to the same control channel, or none
 * with the same place among the task's other writes. (Two savers may have numbered them differently.)
 */
export function missingIn(stored: readonly CheckpointWrite[], writes: readonly CheckpointWrite[]): CheckpointWrite[] {
  const taken = new Set(slotsOf(stored));
  const slots = slotsOf(writes);
  return writes.filter((_, at) => !taken.has(slots[at] as string));
}

function slotsOf(writes: readonly CheckpointWrite[]): string[] {
  const places = new Map<string, number>();
  return writes.map(({ taskId, index }) => {
    if (index < 0) return `${index} ${taskId}`;
    const place = places.get(taskId) ?? 0;
    places.set(taskId, place + 1);
    return `${place} ${taskId}`;
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
