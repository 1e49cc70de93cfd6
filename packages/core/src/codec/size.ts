import type { Memo } from "./memo.ts";

/** Objects and arrays up to this size are one chunk, in characters as {@link sizeOf} estimates them. */
export const MAX_CONTAINER_CHUNK = 4_096;
/** Values below this size share a chunk with their neighbours. */
export const MIN_OWN_CHUNK = 128;

/** Returns whether the value, as an element or member of a larger one, is one chunk by itself. */
export function isOneChunk(value: unknown): boolean {
  const size = sizeOf(value);
  return size >= MIN_OWN_CHUNK && size <= MAX_CONTAINER_CHUNK;
}

/** Estimates the length of the value's text; some number above {@link MAX_CONTAINER_CHUNK} if it is longer than that. */
export function sizeOf(value: unknown, memo?: Memo): number {
  if (memo !== undefined && memo.size >= 0) return memo.size;
  const size = MAX_CONTAINER_CHUNK + 1 - remainingAfter(value, MAX_CONTAINER_CHUNK + 1);
  if (memo !== undefined) memo.size = size;
  return size;
}

/** Characters of `room` that are left after the value's text: exact where it matters, and the same for the same value. */
function remainingAfter(value: unknown, room: number): number {
  if (typeof value === "string") return room - value.length - 2;
  if (typeof value !== "object") return room - 8;
  if (value === null) return room - 4;
  let left = room - 2;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && left > 0; at++) left = remainingAfter(value[at], left) - 1;
    return left;
  }
  for (const key of Object.keys(value)) {
    left = remainingAfter((value as Record<string, unknown>)[key], left - key.length - 4);
    if (left <= 0) return left;
  }
  return left;
}
