import { createHash } from "node:crypto";
import type { Timeline } from "./address.ts";

/**
 * Ids of checkpoints. LangGraph's id is a UUIDv6, unique only within a thread and a namespace. Waymark's id is a UUIDv7,
 * unique in the whole store. One is derived from the other: the order of time stays, and every process derives the same id,
 * so a checkpoint is found by its primary key.
 *
 * | bits of the UUIDv7 | |
 * |---|---|
 * | 48 | time of the UUIDv6, in milliseconds since 1970 |
 * | 14 | rest of its time, in units of 100 ns |
 * | 15 | its clock sequence and half of its variant: LangGraph puts the step there, which may be -1 |
 * | 35 | SHA-256 of thread, namespace and UUIDv6, truncated |
 * | 10 | revision: LangGraph may put an id again with other content, and a Waymark checkpoint never changes |
 */

/** A UUIDv6 with any variant whose first bit is set: in LangGraph, large and negative steps overflow into the variant. */
const UUID_V6 = /^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89a-f][0-9a-f]{3}-[0-9a-f]{12}$/;

/** From 1582-10-15, where the time of a UUIDv6 begins, to 1970, in units of 100 ns. */
const GREGORIAN_OFFSET = 0x01b2_1dd2_1381_4000n;

const REVISION_BITS = 0x3ff;

/** The highest revision; the lowest is 1. Revision 0 and the one above this are never stored, so they can bound a list. */
export const MAX_REVISION = REVISION_BITS - 1;

/** A range of ids, neither end of which is ever stored. */
export interface IdRange {
  readonly since: string;
  readonly before: string;
}

/** Returns the range of a checkpoint's revisions; `null` if LangGraph makes no such id. */
export function revisionRange({ threadId, namespace }: Timeline, checkpointId: string): IdRange | null {
  const time = parseTime(checkpointId);
  if (time === null) return null;
  const name = JSON.stringify([threadId, namespace, checkpointId]);
  const hash = BigInt(`0x${createHash("sha256").update(name).digest("hex").slice(0, 9)}`) >> 1n;
  const since = format(time, hash << 10n);
  return { since, before: withRevision(since, REVISION_BITS) };
}

/** Returns the range of all checkpoints with this id, in any thread and namespace; `null` if LangGraph makes no such id. */
export function rangeInAllTimelines(checkpointId: string): IdRange | null {
  const time = parseTime(checkpointId);
  return time === null ? null : { since: format(time, 0n), before: format(time, (1n << 45n) - 1n) };
}

/** Returns the id of another revision of the same checkpoint. */
export function withRevision(id: string, revision: number): string {
  const end = Number.parseInt(id.slice(-3), 16) & ~REVISION_BITS;
  return id.slice(0, -3) + (end | revision).toString(16).padStart(3, "0");
}

export function revisionOf(id: string): number {
  return Number.parseInt(id.slice(-3), 16) & REVISION_BITS;
}

/** The 60 bits of time as Waymark's id has them (milliseconds, and the rest), and the clock sequence. */
interface Time {
  readonly ms: bigint;
  readonly rest: bigint;
  readonly clock: bigint;
}

/** Reads the time of a UUIDv6; `null` if the text is none, or is of a time before 1970. */
function parseTime(checkpointId: string): Time | null {
  if (!UUID_V6.test(checkpointId)) return null;
  const [high, middle, low, clock] = checkpointId.split("-") as [string, string, string, string];
  const ticks = BigInt(`0x${high}${middle}${low.slice(1)}`) - GREGORIAN_OFFSET;
  if (ticks < 0n) return null;
  return { ms: ticks / 10_000n, rest: ticks % 10_000n, clock: BigInt(`0x${clock}`) & 0x7fffn };
}

/** Formats a UUIDv7 of a time and the 45 bits behind it. */
function format({ ms, rest, clock }: Time, tail: bigint): string {
  const random = (rest << 60n) | (clock << 45n) | tail; // 74 bits, 12 of which stand before the variant
  const hex = ms.toString(16).padStart(12, "0");
  const a = (0x7000n | (random >> 62n)).toString(16);
  const b = ((0b10n << 62n) | (random & ((1n << 62n) - 1n))).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8)}-${a}-${b.slice(0, 4)}-${b.slice(4)}`;
}
