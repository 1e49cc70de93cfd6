import { type Snapshot, sameContent } from "../codec/snapshot.ts";
import { readState } from "./chain.ts";
import type { Dialect, RowHead } from "./dialect.ts";

/** Equality of checkpoints, by their heads, their digests and, where digests cannot tell, their states. */

/**
 * Digests in the heads of rows. Where states are encrypted these are keyed digests, which only a holder of the key can
 * compute; rows that are read with their state have the content's own digest, and so has what goes into a change.
 */
export interface HeadDigests {
  /** Returns the digest stored in a row's head for this content digest and encoding. */
  of(digest: Uint8Array, encoding: string): Uint8Array;
  /** Returns the id of the key of a head's digest, by the head's encoding; `""`: it is not keyed. Digests compare within one key. */
  keyId(encoding: string): string;
}

/** Digests of a dialect that does not encrypt. */
export const PLAIN_DIGESTS: HeadDigests = { of: (digest) => digest, keyId: () => "" };

const IDENTITY = ["agentId", "namespace", "name", "parentId", "createdAt", "metadata", "stateBytes"] as const;

/** Returns whether two heads agree in everything but the digest. */
export function sameHead(one: RowHead, other: RowHead): boolean {
  return IDENTITY.every((member) => one[member] === other[member]);
}

/** Returns whether a head is that of a row with this content. */
export function hasContent(
  digests: HeadDigests,
  head: Pick<RowHead, "digest" | "encoding">,
  contentDigest: Uint8Array,
): boolean {
  return sameDigest(head.digest, digests.of(contentDigest, head.encoding));
}

/** Returns whether two rows of the same kind (both heads of one key, or both read with their states) are equal. */
export function sameRow(one: RowHead, other: RowHead): boolean {
  return sameHead(one, other) && sameDigest(one.digest, other.digest);
}

/**
 * Returns whether a stored row is the same checkpoint as another one, by their states: digests may differ for the same
 * content, if another version has split the text into other chunks, or with keys that differ.
 */
export async function sameCheckpoint(
  dialect: Dialect,
  stored: RowHead,
  other: RowHead,
  readOther: () => Snapshot | null | Promise<Snapshot | null>,
  signal: AbortSignal,
): Promise<boolean> {
  if (!sameHead(stored, other)) return false;
  const [state, snapshot] = [await readState(dialect, stored.id, signal), await readOther()];
  return state !== null && snapshot !== null && sameContent(state.snapshot, snapshot);
}

function sameDigest(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
