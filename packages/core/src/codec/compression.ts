import { promisify } from "node:util";
import { deflateRaw, deflateRawSync, inflateRaw, inflateRawSync, type ZlibOptions } from "node:zlib";
import { DamagedState } from "./damage.ts";

/** The window of deflate: more of a dictionary is never used. */
export const MAX_DICTIONARY_BYTES = 32 * 1024;
/** Below this, compression gains less than it costs. */
const COMPRESS_FROM_BYTES = 256;
/** From this size on, compression would block the event loop for over two milliseconds: a worker thread does it. */
const ASIDE_FROM_BYTES = 128 * 1024;
/** The same for the rows of a chain, which several threads decompress at once. */
const AHEAD_FROM_BYTES = 16 * 1024;

const deflateAside = promisify<Uint8Array, ZlibOptions, Buffer>(deflateRaw);
const inflateAside = promisify<Uint8Array, ZlibOptions, Buffer>(inflateRaw);

/**
 * Compresses with raw deflate. Returns `null` if that would gain nothing. At the lowest level: the user waits for the store,
 * and higher levels take three times as long for a seventh less. With a window no larger than needed: setting up a large one
 * takes longer than compressing a small state.
 */
export async function compress(bytes: Uint8Array, dictionary: Uint8Array | null): Promise<Uint8Array | null> {
  if (bytes.byteLength < COMPRESS_FROM_BYTES) return null;
  const size = bytes.byteLength + (dictionary?.byteLength ?? 0);
  const windowBits = Math.min(15, Math.max(9, Math.ceil(Math.log2(size))));
  const options: ZlibOptions = {
    level: 1,
    windowBits,
    memLevel: Math.min(8, windowBits - 6),
    ...dictionaryOf(dictionary),
  };
  const compressed =
    bytes.byteLength >= ASIDE_FROM_BYTES ? await deflateAside(bytes, options) : deflateRawSync(bytes, options);
  return compressed.byteLength < bytes.byteLength ? compressed : null;
}

/** Decompresses to `length` bytes. @throws DamagedState if it is not exactly so many */
export function decompress(bytes: Uint8Array, length: number, dictionary: Uint8Array | null): Promise<Uint8Array> {
  return inflate(bytes, length, dictionary, ASIDE_FROM_BYTES);
}

/** Decompresses one row of a chain, beside the others. It needs no dictionary. @throws DamagedState as `decompress` */
export function decompressAhead(bytes: Uint8Array, length: number): Promise<Uint8Array> {
  return inflate(bytes, length, null, AHEAD_FROM_BYTES);
}

async function inflate(
  bytes: Uint8Array,
  length: number,
  dictionary: Uint8Array | null,
  asideFromBytes: number,
): Promise<Uint8Array> {
  let inflated: Uint8Array;
  try {
    // One byte more than expected, so that text that is too long is told from damaged bytes.
    const options = { maxOutputLength: Math.max(1, length + 1), ...dictionaryOf(dictionary) };
    inflated = length >= asideFromBytes ? await inflateAside(bytes, options) : inflateRawSync(bytes, options);
  } catch {
    throw new DamagedState("the compressed state is damaged");
  }
  if (inflated.byteLength === length) return inflated;
  throw new DamagedState(`expected a state of ${length} bytes, got ${inflated.byteLength}`);
}

function dictionaryOf(dictionary: Uint8Array | null): ZlibOptions {
  return dictionary === null || dictionary.byteLength === 0 ? {} : { dictionary };
}
