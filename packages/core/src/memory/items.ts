import { hash } from "node:crypto";
import { damageError, snapshotOf } from "../codec/failures.ts";
import { packSnapshot, unpackState, verifySnapshot } from "../codec/format.ts";
import { decodeMetadata } from "../codec/metadata.ts";
import { decodeSnapshot, type Snapshot } from "../codec/snapshot.ts";
import type { Item, NewItem } from "./contract.ts";
import { type ItemRow, NEVER, type SpaceRow } from "./tables.ts";

/** Items as rows, and back. */

/** A text as columns hold it. */
export type StoredText = Pick<ItemRow, "text" | "rawText">;

/**
 * Splits a text that a text column cannot hold, since it has NUL or lone surrogates, or begins with a byte order mark, which drivers
 * may drop, into one that it can, with U+FFFD instead of them, and the text as UTF-16.
 */
export function storeText(text: string): StoredText {
  if (!text.includes("\0") && !text.startsWith("\ufeff") && text.isWellFormed()) return { text, rawText: null };
  const replaced = text.replaceAll("\0", "\ufffd").replace(/^\ufeff/, "\ufffd");
  return { text: replaced.toWellFormed(), rawText: Buffer.from(text, "utf16le") };
}

export function readText({ text, rawText }: StoredText): string {
  return rawText === null ? text : Buffer.from(rawText).toString("utf16le");
}

/** A value as columns hold it. */
export type StoredValue = Pick<ItemRow, "encoding" | "valueBytes" | "valueDigest" | "value">;

const NO_VALUE: StoredValue = { encoding: null, valueBytes: null, valueDigest: null, value: null };

/** Takes a snapshot of a value, synchronously: later changes are not stored. `null`: there is none. */
export function snapshotOfValue(
  operation: string,
  field: string,
  holder: Pick<NewItem, "value">,
  hasValue: boolean,
): Snapshot | null {
  return hasValue ? snapshotOf(operation, field, holder.value) : null;
}

export async function packValue(snapshot: Snapshot | null): Promise<StoredValue> {
  if (snapshot === null) return NO_VALUE;
  const { encoding, state } = await packSnapshot(snapshot, null);
  return { encoding, valueBytes: snapshot.stateBytes, valueDigest: snapshot.digest, value: state };
}

/** Unpacks a value. @throws CheckpointError if it is damaged */
async function unpackValue(operation: string, { id, ...row }: StoredValue & { readonly id: string }): Promise<unknown> {
  const { encoding, valueBytes, valueDigest, value } = row;
  if (encoding === null) return undefined;
  try {
    const stored = {
      encoding,
      stateBytes: valueBytes as number,
      digest: valueDigest as Uint8Array,
      state: value as Uint8Array,
    };
    const chunks = await (await unpackState(stored, true)).applyTo(null);
    return decodeSnapshot(verifySnapshot(chunks, stored));
  } catch (error) {
    throw damageError(operation, id, error);
  }
}

/** Digest of a text, for items of which the same text is one. */
export function textDigest(text: string): Uint8Array {
  return hash("sha256", Buffer.from(text, "utf16le"), "buffer");
}

/** Decodes an item. @throws CheckpointError if its value or labels are damaged */
export async function itemOf(operation: string, space: SpaceRow, row: ItemRow): Promise<Item> {
  const { id, thread, role, key, importance, metadata, createdAt, expiresAt, checkpointId, revision } = row;
  const value = await unpackValue(operation, row);
  return {
    owner: space.owner,
    collection: space.collection,
    id,
    position: row.number,
    text: readText(row),
    ...(row.encoding !== null && { value }),
    ...(thread !== null && { threadId: thread }),
    ...(role !== null && { role }),
    ...(key !== null && { key }),
    importance,
    ...(metadata !== null && { metadata: decodeLabels(operation, id, metadata) }),
    createdAt,
    ...(expiresAt !== NEVER && { expiresAt }),
    ...(checkpointId !== null && { checkpointId }),
    revision,
  };
}

export function decodeLabels(operation: string, id: string, metadata: string): NonNullable<Item["metadata"]> {
  try {
    return decodeMetadata(metadata);
  } catch (error) {
    throw damageError(operation, id, error);
  }
}
