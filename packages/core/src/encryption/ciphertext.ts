import { createCipheriv, createDecipheriv, randomBytes, timingSafeEqual, webcrypto } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";
import type { Row, RowHead, WriteRow } from "../checkpoints/dialect.ts";
import {
  DamagedState,
  ENCRYPTED_SUFFIX,
  EncryptionMismatch,
  type PackedState,
  type StoredState,
  UnknownEncoding,
} from "../codec/format.ts";
import { CHECK_BYTES, CRC_BYTES, type SealingKey, type SealingRing, VERSION } from "./key-ring.ts";

/**
 * A state as bytes that only who has the key can read or make: AES-256-GCM (NIST SP 800-38D).
 *
 * - the header: a version byte, the length of the key's id, the id, four bytes that tell the key, and the CRC-32 of these
 * - a nonce of 12 random bytes
 * - encrypted: the content's digest (32 bytes), and the state as it would stand in the database otherwise
 * - the tag: 16 bytes
 *
 * Authenticated with it: the header; and, each with its length before it, the id, the agent, the namespace and the
 * encoding of the row; of a write its checkpoint, task, index, channel and path instead of these three. So what is sealed
 * for one row opens in no other.
 */

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DIGEST_BYTES = 32;
/** How much longer a state may get. */
export const MAX_OVERHEAD_BYTES = 2 + 64 + CHECK_BYTES + CRC_BYTES + NONCE_BYTES + DIGEST_BYTES + TAG_BYTES;
/** Above this, it would hold up the event loop for a good part of a millisecond: another thread does it. */
const ASIDE_FROM_BYTES = 512 * 1024;

/** A row that was read; if it cannot be decrypted, as it stands in the database, with the reason. */
export type OpenedRow = Row & Pick<StoredState, "unreadable">;

/** A write that was read, in the same way. */
export type OpenedWrite = WriteRow & Pick<StoredState, "unreadable">;

/** What a sealed state belongs to: two owners have different parts, or another number of them. */
type Owner = readonly string[];

export function ownerOf({ id, agentId, namespace }: Pick<RowHead, "id" | "agentId" | "namespace">): Owner {
  return [id, agentId, namespace];
}

export function ownerOfWrite({ checkpointId, taskId, index, channel, taskPath }: WriteRow): Owner {
  return [checkpointId, taskId, String(index), channel, taskPath];
}

interface Unsealed extends PackedState {
  /** The content's own. */
  readonly digest: Uint8Array;
}

/** One after the other, and lets others have their turn in between where that would take long. */
export async function inTurns<Item extends Pick<Row, "state">, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    bytes += item.state.byteLength;
    if (bytes > ASIDE_FROM_BYTES) {
      if (index > 0) await setImmediate();
      bytes = item.state.byteLength;
    }
    results.push(await work(item, index));
  }
  return results;
}

export function isSealed({ encoding }: Pick<RowHead, "encoding">): boolean {
  return encoding.endsWith(ENCRYPTED_SUFFIX);
}

export async function sealState(
  key: SealingKey,
  owner: Owner,
  { encoding, digest, state }: Unsealed,
): Promise<PackedState> {
  const sealed = `${encoding}${ENCRYPTED_SUFFIX}`;
  const aad = authenticated(key.header, owner, sealed);
  const nonce = randomBytes(NONCE_BYTES);
  if (state.byteLength >= ASIDE_FROM_BYTES) {
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: TAG_BYTES * 8 };
    const written = await webcrypto.subtle.encrypt(algorithm, await key.webKey(), Buffer.concat([digest, state]));
    return { encoding: sealed, state: Buffer.concat([key.header, nonce, new Uint8Array(written)]) };
  }
  const cipher = createCipheriv("aes-256-gcm", key.secret, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  const written = [cipher.update(digest), cipher.update(state), cipher.final()];
  return { encoding: sealed, state: Buffer.concat([key.header, nonce, ...written, cipher.getAuthTag()]) };
}

/**
 * @param digest as it stands in the database
 * @throws DamagedState, EncryptionMismatch, UnknownEncoding
 */
export async function openSealed(ring: SealingRing, owner: Owner, row: Unsealed): Promise<Unsealed> {
  const { encoding, digest: column } = row;
  const key = keyOf(ring, row);
  const body = asBuffer(row).subarray(key.header.byteLength);
  const plain = await decrypt(key, body, authenticated(key.header, owner, encoding));
  const digest = plain.subarray(0, DIGEST_BYTES);
  const expected = ring.digestOf(digest);
  if (column.byteLength !== expected.byteLength || !timingSafeEqual(column, expected)) {
    throw new DamagedState("the digest is not that of the encrypted state");
  }
  return { encoding: encoding.slice(0, -ENCRYPTED_SUFFIX.length), digest, state: plain.subarray(DIGEST_BYTES) };
}

/**
 * The key that a state was sealed with, by its header.
 * @throws DamagedState, EncryptionMismatch, UnknownEncoding
 */
export function keyOf(ring: SealingRing, row: Pick<Row, "state">): SealingKey {
  const state = asBuffer(row);
  const { keyId, length } = readHeader(state);
  const key = ring.keys.get(keyId);
  if (key === undefined) throw new EncryptionMismatch(`it is encrypted with the key ${keyId}, which is not here`);
  if (Buffer.compare(key.header, state.subarray(0, length)) !== 0) {
    throw new EncryptionMismatch(
      `another key, or another digest key, was there under the name ${keyId} when it was stored`,
    );
  }
  return key;
}

/** Whether a row needs no other key than this one, by its header. */
export function isSealedWith({ header }: SealingKey, row: Pick<Row, "encoding" | "state">): boolean {
  return isSealed(row) && Buffer.compare(header, row.state.subarray(0, header.byteLength)) === 0;
}

/** The id of the key that a state is sealed with; `null`: it is damaged. */
export function keyIdOf(row: Pick<Row, "state">): string | null {
  try {
    return readHeader(asBuffer(row)).keyId;
  } catch {
    return null;
  }
}

function asBuffer({ state }: Pick<Row, "state">): Buffer {
  return Buffer.from(state.buffer, state.byteOffset, state.byteLength);
}

function readHeader(state: Buffer): { keyId: string; length: number } {
  const end = 2 + (state[1] ?? 0) + CHECK_BYTES;
  const length = end + CRC_BYTES;
  // Of a damaged name nothing is made: no other key is asked for, and it is not shown.
  if (state.byteLength < length || crc32(state.subarray(0, end)) !== state.readUInt32LE(end)) throw damaged();
  if (state[0] !== VERSION) throw new UnknownEncoding("the version of its encryption is not known");
  const keyId = state.toString("latin1", 2, end - CHECK_BYTES);
  if (!/^[\x21-\x7e]+$/.test(keyId)) throw damaged();
  return { keyId, length };
}

async function decrypt(key: SealingKey, body: Buffer, aad: Uint8Array): Promise<Buffer> {
  const end = body.byteLength - TAG_BYTES;
  if (end < NONCE_BYTES + DIGEST_BYTES) throw damaged();
  const nonce = body.subarray(0, NONCE_BYTES);
  try {
    if (body.byteLength >= ASIDE_FROM_BYTES) {
      const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: TAG_BYTES * 8 };
      return Buffer.from(await webcrypto.subtle.decrypt(algorithm, await key.webKey(), body.subarray(NONCE_BYTES)));
    }
    const decipher = createDecipheriv("aes-256-gcm", key.secret, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(aad);
    decipher.setAuthTag(body.subarray(end));
    const plain = decipher.update(body.subarray(NONCE_BYTES, end));
    decipher.final(); // throws unless every byte is as it was written, for this row
    return plain;
  } catch {
    throw damaged();
  }
}

function damaged(): DamagedState {
  return new DamagedState("the encrypted state was changed, or is another checkpoint's");
}

function authenticated(header: Buffer, owner: Owner, encoding: string): Buffer {
  const parts = [...owner, encoding].flatMap((text) => {
    const bytes = Buffer.from(text, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    return [length, bytes];
  });
  return Buffer.concat([header, ...parts]);
}
