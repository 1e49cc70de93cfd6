import { createHash } from "node:crypto";

/**
 * LangGraph names a checkpoint by a UUIDv6, which is its own only within a thread and a namespace. Waymark's ids are UUIDv7, of
 * the whole store. So one is made of the other, in a way that keeps the order of time, and that anyone can repeat: a checkpoint
 * is found by its primary key.
 *
 * | bits of the UUIDv7 | |
 * |---|---|
 * | 48 | the UUIDv6's time, in milliseconds since 1970 |
 * | 14 | the rest of its time, in units of 100 ns |
 * | 15 | its clock sequence, and half of its variant: LangGraph puts the step there, which may be -1 |
 * | 35 | of the SHA-256 of thread, namespace and UUIDv6 |
 * | 10 | which revision: LangGraph may put an id again, with other content, and a Waymark checkpoint never changes |
 */

/** With any variant of which the first bit is set: LangGraph lets large and negative steps run over into it. */
const UUID_V6 = /^[0-9a-f]{8}-[0-9a-f]{4}-6[0-9a-f]{3}-[89a-f][0-9a-f]{3}-[0-9a-f]{12}$/;

/** From 1582-10-15, where the time of a UUIDv6 begins, to 1970, in units of 100 ns. */
const GREGORIAN_OFFSET = 0x01b2_1dd2_1381_4000n;

const REVISION_BITS = 0x3ff;

/** Revisions are 1 to so many: 0 and the one above are never stored, so that they can bound a list. */
export const MAX_REVISION = REVISION_BITS - 1;

/** A thread's checkpoints in one namespace. */
export interface Line {
  readonly threadId: string;
  readonly namespace: string;
}

/** A range of ids, both ends of which are never stored. */
export interface IdRange {
  readonly since: string;
  readonly before: string;
}

/** Where the revisions of a checkpoint are; `null` if its id is none that LangGraph makes. */
export function revisionsOf({ threadId, namespace }: Line, checkpointId: string): IdRange | null {
  const time = timeOf(checkpointId);
  if (time === null) return null;
  const name = JSON.stringify([threadId, namespace, checkpointId]);
  const hash = BigInt(`0x${createHash("sha256").update(name).digest("hex").slice(0, 9)}`) >> 1n;
  const since = format(time, hash << 10n);
  return { since, before: withRevision(since, REVISION_BITS) };
}

/** Where all checkpoints of this id are, whatever their thread and namespace; `null` if it is none that LangGraph makes. */
export function momentOf(checkpointId: string): IdRange | null {
  const time = timeOf(checkpointId);
  return time === null ? null : { since: format(time, 0n), before: format(time, (1n << 45n) - 1n) };
}

/** The id of another revision of the same checkpoint. */
export function withRevision(id: string, revision: number): string {
  const end = Number.parseInt(id.slice(-3), 16) & ~REVISION_BITS;
  return id.slice(0, -3) + (end | revision).toString(16).padStart(3, "0");
}

export function revisionOf(id: string): number {
  return Number.parseInt(id.slice(-3), 16) & REVISION_BITS;
}

/** 60 bits of time as we keep them (milliseconds, and the rest), and the clock sequence; `null`: not of a UUIDv6 since 1970. */
function timeOf(checkpointId: string): { readonly ms: bigint; readonly rest: bigint; readonly clock: bigint } | null {
  if (!UUID_V6.test(checkpointId)) return null;
  const [high, middle, low, clock] = checkpointId.split("-") as [string, string, string, string];
  const ticks = BigInt(`0x${high}${middle}${low.slice(1)}`) - GREGORIAN_OFFSET;
  if (ticks < 0n) return null;
  return { ms: ticks / 10_000n, rest: ticks % 10_000n, clock: BigInt(`0x${clock}`) & 0x7fffn };
}

/** `tail`: 45 bits. */
function format({ ms, rest, clock }: NonNullable<ReturnType<typeof timeOf>>, tail: bigint): string {
  const random = (rest << 60n) | (clock << 45n) | tail; // 74 bits, of which 12 stand before the variant
  const hex = ms.toString(16).padStart(12, "0");
  const a = (0x7000n | (random >> 62n)).toString(16);
  const b = ((0b10n << 62n) | (random & ((1n << 62n) - 1n))).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8)}-${a}-${b.slice(0, 4)}-${b.slice(4)}`;
}
