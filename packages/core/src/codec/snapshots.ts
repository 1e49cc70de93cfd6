import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { deflateRaw, deflateRawSync, inflateRaw, inflateRawSync } from "node:zlib";
import { decodeValue, encodeValue, type TextForm } from "./values.ts";

/**
 * States as bytes: text, length, digest and compression.
 *
 * What is stored names its own encoding in words: the form of the text (`json`, `tagged`), and `+deflate` if it is
 * compressed. The digest names the content, so it does not depend on the compression: of a `json` text it is the SHA-256 of
 * its UTF-8, of any other form that of the form's name, a NUL, and the text (in `tagged` the same text is another value).
 */

/** A state's text as bytes, before compression. Made at once, so that it is a snapshot. */
export interface Snapshot {
  readonly form: TextForm;
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

export interface StoredState {
  readonly encoding: string;
  readonly state: Uint8Array;
  readonly stateBytes: number;
  readonly digest: Uint8Array;
}

/** What is stored cannot be read back as what was stored once. */
export class DamagedState extends Error {}

/** A newer version has written it. */
export class UnknownEncoding extends Error {}

/** Below this, compression gains less than it costs. */
const COMPRESS_FROM_BYTES = 128;
/** Above this, compression would hold up the event loop: another thread does it. */
const COMPRESS_ASIDE_FROM_BYTES = 32 * 1024;
/** Speed: the user waits for the store. Level 6 makes conversations 15% smaller and takes three times as long. */
const DEFLATE = { level: 1 };

const deflateAside = promisify<Uint8Array, typeof DEFLATE, Buffer>(deflateRaw);
const inflateAside = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflateRaw);

/** @throws UnsupportedValue, or a `RangeError` if the text is longer than the longest string. */
export function takeSnapshot(state: unknown): Snapshot {
  const { form, text } = encodeValue(state);
  const bytes = Buffer.from(text, "utf8");
  return { form, bytes, digest: digestOf(form, bytes) };
}

export async function packSnapshot({ form, bytes, digest }: Snapshot): Promise<StoredState> {
  const whole = { encoding: form, state: bytes, stateBytes: bytes.byteLength, digest };
  if (bytes.byteLength < COMPRESS_FROM_BYTES) return whole;
  const aside = bytes.byteLength >= COMPRESS_ASIDE_FROM_BYTES;
  const compressed = aside ? await deflateAside(bytes, DEFLATE) : deflateRawSync(bytes, DEFLATE);
  if (compressed.byteLength >= bytes.byteLength) return whole;
  return { ...whole, encoding: `${form}+deflate`, state: compressed };
}

/** @throws DamagedState, UnknownEncoding */
export async function unpackState({ encoding, state, stateBytes, digest }: StoredState): Promise<unknown> {
  const parsed = /^(json|tagged)(\+deflate)?$/.exec(encoding);
  if (parsed === null) throw new UnknownEncoding(`the encoding ${JSON.stringify(encoding.slice(0, 64))} is not known`);
  const bytes = parsed[2] === undefined ? state : await inflate(state, stateBytes);
  if (bytes.byteLength !== stateBytes) {
    throw new DamagedState(`the state has ${bytes.byteLength} bytes, and should have ${stateBytes}`);
  }
  const form = parsed[1] as TextForm;
  if (!digestOf(form, bytes).equals(digest)) throw new DamagedState("the state does not match its digest");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return decodeValue({ form, text });
}

async function inflate(state: Uint8Array, stateBytes: number): Promise<Uint8Array> {
  try {
    // One byte more than there should be, so that a longer one is told from a damaged one.
    const options = { maxOutputLength: Math.max(1, stateBytes + 1) };
    return stateBytes >= COMPRESS_ASIDE_FROM_BYTES
      ? await inflateAside(state, options)
      : inflateRawSync(state, options);
  } catch {
    throw new DamagedState("the compressed state is damaged");
  }
}

function digestOf(form: TextForm, bytes: Uint8Array): Buffer {
  const hash = createHash("sha256");
  if (form !== "json") hash.update(`${form}\0`);
  return hash.update(bytes).digest();
}
