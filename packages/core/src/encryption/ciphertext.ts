import { createCipheriv, createDecipheriv, randomBytes, timingSafeEqual, webcrypto } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { crc32 } from "node:zlib";
import type { Row, RowHead, TaskWriteRow } from "../checkpoints/dialect.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "../codec/damage.ts";
import { ENCRYPTED_SUFFIX, type PackedState, type StoredState } from "../codec/format.ts";
import { CHECK_BYTES, CRC_BYTES, type DerivedKeys, type EncryptionKey, VERSION } from "./key-ring.ts";

/**
 * The bytes of an encrypted state: AES-256-GCM (NIST SP 800-38D).
 *
 * - header: a version byte, the length of the key's id, the id, four check bytes of the key, and the CRC-32 of these
 * - nonce: 12 random bytes
 * - ciphertext of the content's digest (32 bytes) and the packed state
 * - tag: 16 bytes
 *
 * Authenticated with it are the header and, each preceded by its length: the row's id, agent, namespace and encoding; for a
 * write its checkpoint, task, index, channel, path and encoding. So the ciphertext of one row does not decrypt in another.
 */

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DIGEST_BYTES = 32;
/** Bytes that a state grows by at most. */
export const MAX_OVERHEAD_BYTES = 2 + 64 + CHECK_BYTES + CRC_BYTES + NONCE_BYTES + DIGEST_BYTES + TAG_BYTES;
/** From this size on, encryption would block the event loop for a good part of a millisecond: another thread does it. */
const ASIDE_FROM_BYTES = 512 * 1024;

/** A row that was read and decrypted; one that cannot be decrypted is as it is stored, with the reason in `unreadable`. */
export type DecryptedRow = Row & Pick<StoredState, "unreadable">;

/** A write that was read and decrypted, in the same way. */
export type DecryptedWrite = TaskWriteRow & Pick<StoredState, "unreadable">;

/** Identity of the row that a state belongs to. A row and a write differ in the number of parts. */
type Owner = readonly string[];

export function ownerOf({ id, agentId, namespace }: Pick<RowHead, "id" | "agentId" | "namespace">): Owner {
  return [id, agentId, namespace];
}

export function ownerOfWrite({ checkpointId, taskId, index, channel, taskPath }: TaskWriteRow): Owner {
  return [checkpointId, taskId, String(index), channel, taskPath];
}

interface PlainState extends PackedState {
  /** The content's own digest. */
  readonly digest: Uint8Array;
}

/** Maps items one after the other, and yields to the event loop in between if there is much to do. */
export async function sequentially<Item extends Pick<Row, "state">, Result>(
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

export function isEncrypted({ encoding }: Pick<RowHead, "encoding">): boolean {
  return encoding.endsWith(ENCRYPTED_SUFFIX);
}

export async function encryptState(
  key: EncryptionKey,
  owner: Owner,
  { encoding, digest, state }: PlainState,
): Promise<PackedState> {
  const encrypted = `${encoding}${ENCRYPTED_SUFFIX}`;
  const aad = authenticatedData(key.header, owner, encrypted);
  const nonce = randomBytes(NONCE_BYTES);
  if (state.byteLength >= ASIDE_FROM_BYTES) {
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: TAG_BYTES * 8 };
    const written = await webcrypto.subtle.encrypt(algorithm, await key.webKey(), Buffer.concat([digest, state]));
    return { encoding: encrypted, state: Buffer.concat([key.header, nonce, new Uint8Array(written)]) };
  }
  const cipher = createCipheriv("aes-256-gcm", key.key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  const written = [cipher.update(digest), cipher.update(state), cipher.final()];
  return { encoding: encrypted, state: Buffer.concat([key.header, nonce, ...written, cipher.getAuthTag()]) };
}

/**
 * Decrypts a state. The digest of `row` is the stored one, that of the result the content's own.
 * @throws DamagedState, EncryptionMismatch, UnknownEncoding
 */
export async function decryptState(derived: DerivedKeys, owner: Owner, row: PlainState): Promise<PlainState> {
  const { encoding, digest: column } = row;
  const key = keyOf(derived, row);
  const body = stateBuffer(row).subarray(key.header.byteLength);
  const plain = await decrypt(key, body, authenticatedData(key.header, owner, encoding));
  const digest = plain.subarray(0, DIGEST_BYTES);
  const expected = derived.keyedDigest(digest);
  if (column.byteLength !== expected.byteLength || !timingSafeEqual(column, expected)) {
    throw new DamagedState("the digest is not that of the encrypted state");
  }
  return { encoding: encoding.slice(0, -ENCRYPTED_SUFFIX.length), digest, state: plain.subarray(DIGEST_BYTES) };
}

/**
 * Returns the key that a state was encrypted with, by its header.
 * @throws DamagedState, EncryptionMismatch, UnknownEncoding
 */
export function keyOf(derived: DerivedKeys, row: Pick<Row, "state">): EncryptionKey {
  const state = stateBuffer(row);
  const { keyId, length } = readKeyHeader(state);
  const key = derived.keys.get(keyId);
  if (key === undefined) throw new EncryptionMismatch(`it is encrypted with the key ${keyId}, which is not here`);
  if (Buffer.compare(key.header, state.subarray(0, length)) !== 0) {
    throw new EncryptionMismatch(`it was encrypted with another key of the name ${keyId}, or with another digest key`);
  }
  return key;
}

/** Returns whether a row is encrypted with this key, by its header. */
export function isEncryptedWith({ header }: EncryptionKey, row: Pick<Row, "encoding" | "state">): boolean {
  return isEncrypted(row) && Buffer.compare(header, row.state.subarray(0, header.byteLength)) === 0;
}

/** Returns the id of the key that a state is encrypted with; `null`: the header is damaged. */
export function keyIdOf(row: Pick<Row, "state">): string | null {
  try {
    return readKeyHeader(stateBuffer(row)).keyId;
  } catch {
    return null;
  }
}

function stateBuffer({ state }: Pick<Row, "state">): Buffer {
  return Buffer.from(state.buffer, state.byteOffset, state.byteLength);
}

function readKeyHeader(state: Buffer): { keyId: string; length: number } {
  const end = 2 + (state[1] ?? 0) + CHECK_BYTES;
  const length = end + CRC_BYTES;
  // A damaged name is not used: no key is fetched for it, and it is not shown.
  if (state.byteLength < length || crc32(state.subarray(0, end)) !== state.readUInt32LE(end)) throw damagedState();
  if (state[0] !== VERSION) throw new UnknownEncoding("the version of its encryption is not known");
  const keyId = state.toString("latin1", 2, end - CHECK_BYTES);
  if (!/^[\x21-\x7e]+$/.test(keyId)) throw damagedState();
  return { keyId, length };
}

async function decrypt(key: EncryptionKey, body: Buffer, aad: Uint8Array): Promise<Buffer> {
  const end = body.byteLength - TAG_BYTES;
  if (end < NONCE_BYTES + DIGEST_BYTES) throw damagedState();
  const nonce = body.subarray(0, NONCE_BYTES);
  try {
    if (body.byteLength >= ASIDE_FROM_BYTES) {
      const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: TAG_BYTES * 8 };
      return Buffer.from(await webcrypto.subtle.decrypt(algorithm, await key.webKey(), body.subarray(NONCE_BYTES)));
    }
    const decipher = createDecipheriv("aes-256-gcm", key.key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(aad);
    decipher.setAuthTag(body.subarray(end));
    const plain = decipher.update(body.subarray(NONCE_BYTES, end));
    decipher.final(); // throws unless every byte is as it was written, for this row
    return plain;
  } catch {
    throw damagedState();
  }
}

function damagedState(): DamagedState {
  return new DamagedState("the encrypted state was changed, or belongs to another checkpoint");
}

function authenticatedData(header: Buffer, owner: Owner, encoding: string): Buffer {
  const parts = [...owner, encoding].flatMap((text) => {
    const bytes = Buffer.from(text, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    return [length, bytes];
  });
  return Buffer.concat([header, ...parts]);
}
