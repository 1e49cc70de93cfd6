import type { CheckpointWrite } from "@waymark/core";
import type { Line } from "./checkpoint-id.ts";

/** Which checkpoint writes belong to. */
export interface Target extends Line {
  readonly checkpointId: string;
}

export function keyOf({ threadId, namespace, checkpointId }: Target): string {
  return JSON.stringify([threadId, namespace, checkpointId]);
}

/**
 * Writes of one checkpoint, earlier ones first, without those that gave way: of a task's ordinary writes with the same index the
 * first stays, of its special ones (below 0: error, interrupt, …) the last.
 */
export function mergeWrites(writes: Iterable<CheckpointWrite>): CheckpointWrite[] {
  const merged = new Map<string, CheckpointWrite>();
  for (const write of writes) {
    const key = `${write.index} ${write.taskId}`;
    if (write.index < 0 || !merged.has(key)) merged.set(key, write);
  }
  return [...merged.values()];
}

/**
 * The order in which LangGraph applies the writes of a step. (It exports a comparator of its own, but only in later versions
 * than the earliest that we work with.)
 */
export function byTask(a: CheckpointWrite, b: CheckpointWrite): number {
  return (
    compareCodePoints(a.taskPath ?? "", b.taskPath ?? "") || compareCodePoints(a.taskId, b.taskId) || a.index - b.index
  );
}

/** JavaScript's `<` compares UTF-16 code units; the two of a character above U+FFFF are below other characters' single ones. */
function compareCodePoints(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  const inMidst =
    at > 0 && isSurrogate(a, at - 1, 0xd800) && (isSurrogate(a, at, 0xdc00) || isSurrogate(b, at, 0xdc00));
  const from = inMidst ? at - 1 : at;
  return (a.codePointAt(from) ?? -1) - (b.codePointAt(from) ?? -1);
}

/** `first`: of the 1,024 high surrogates, or of the low ones. */
function isSurrogate(text: string, at: number, first: 0xd800 | 0xdc00): boolean {
  return (text.charCodeAt(at) & 0xfc00) === first;
}
