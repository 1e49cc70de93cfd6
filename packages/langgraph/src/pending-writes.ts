import { ERROR, INTERRUPT } from "@langchain/langgraph-checkpoint";
import type { CheckpointWrite } from "@waymark/core";

/** A control channel that LangGraph numbers like others: the node whose error a handler is to get. */
const ERROR_SOURCE_NODE = "__error_source_node__";

/**
 * Returns the interrupts and errors of tasks that have no result. A task that was answered, or has succeeded when it was tried
 * again, keeps them beside its result until the next checkpoint. (LangGraph tells by the same rule which interrupts wait.)
 */
export function stopsOf(writes: readonly CheckpointWrite[]): CheckpointWrite[] {
  const results = writes.filter(({ index, channel }) => index >= 0 && channel !== ERROR_SOURCE_NODE);
  const ended = new Set(results.map(({ taskId }) => taskId));
  return writes.filter(({ taskId, channel }) => [INTERRUPT, ERROR].includes(channel) && !ended.has(taskId));
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
