import { crc32 } from "node:zlib";
import { type Chunk, chunkOfUtf8, utf8OfChunks } from "./chunk.ts";
import { compress, decompress, decompressAhead, MAX_DICTIONARY_BYTES } from "./compression.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "./damage.ts";
import { ChunkList, type CopyStep, deltaSteps, dictionarySource, isCopy, type Step } from "./delta.ts";
import { buildSnapshot, type Snapshot } from "./snapshot.ts";
import type { TextForm } from "./values.ts";
import { DamagedBytes, readVarint, writeVarint } from "./varint.ts";

/**
 * The bytes of a state in the database: full, or a delta to a base.
 *
 * The column `encoding` has the words for how to read them:
 *
 * - `json` or `tagged`: the form of the text. Alone: the bytes are the text.
 * - `+pieces`: the bytes are delta steps, which copy chunks of the base and insert others (see `writeBody`), and a checksum.
 * - `+deflate`: the inserted chunks are compressed; or, without `+pieces`, as version 0.1 wrote it, the text is.
 * - `+anchor`: the last word of a skip delta, see `checkpoints/chain.ts`. It is compressed without a dictionary, so that it
 *   can be decompressed ahead of its base.
 *
 * The digest is of the content, whatever the encoding: see `snapshot.ts`. The compression itself is in `compression.ts`.
 */

export interface PackedState {
  readonly encoding: string;
  readonly state: Uint8Array;
}

export interface StoredState extends PackedState {
  readonly stateBytes: number;
  readonly digest: Uint8Array;
  /** Reason why it could not be decrypted, see `encryption/`. Absent: it could, or is not encrypted. */
  readonly unreadable?: DamagedState | UnknownEncoding;
}

/** The end of a skip delta's encoding. */
export const SKIP_DELTA_SUFFIX = "+anchor";
/** The end of an encrypted state's encoding; before it stands the encoding of the plain state. */
export const ENCRYPTED_SUFFIX = "+sealed";
/** Below this, a full state of one chunk is stored as its text alone: compressing it gains less than it costs. */
const PLAIN_TEXT_BELOW_BYTES = 1_024;
const CHECKSUM_BYTES = 4;

/** Packs a state: as a delta to `base`, or full if that is `null`. `isSkip`: the delta is a skip delta. */
export async function packSnapshot(
  { form, chunks, stateBytes }: Snapshot,
  base: Snapshot | null,
  isSkip = false,
): Promise<PackedState> {
  const [only] = chunks;
  if (base === null && chunks.length === 1 && stateBytes < PLAIN_TEXT_BELOW_BYTES) {
    return { encoding: form, state: Buffer.from((only as Chunk).text, "utf8") };
  }
  const steps = base === null ? [{ chunks }] : deltaSteps(chunks, base.chunks);
  const inserted = insertedBytes(steps);
  const dictionary =
    base === null || isSkip ? null : dictionarySource(steps, ChunkList.of(base.chunks), MAX_DICTIONARY_BYTES);
  const compressed = await compress(inserted, dictionary);
  const encoding = `${form}+pieces${compressed === null ? "" : "+deflate"}${isSkip ? SKIP_DELTA_SUFFIX : ""}`;
  return { encoding, state: writeBody(steps, inserted.byteLength, compressed ?? inserted) };
}

/**
 * Writes the body of a packed state. All numbers are varints:
 *
 * 1. the number of steps;
 * 2. for each step: twice its count of chunks, and their position in the base (copy); or twice its count plus one (insert);
 * 3. the length of the inserted part before compression;
 * 4. the inserted part, maybe compressed: the lengths of all inserted chunks, then their texts as UTF-8;
 * 5. the CRC-32 of all this, in four bytes, little-endian.
 */
function writeBody(steps: readonly Step[], insertedLength: number, inserted: Uint8Array): Buffer {
  const header: number[] = [];
  writeVarint(header, steps.length);
  for (const step of steps) {
    if (isCopy(step)) {
      writeVarint(header, step.count * 2);
      writeVarint(header, step.from);
    } else {
      writeVarint(header, step.chunks.length * 2 + 1);
    }
  }
  writeVarint(header, insertedLength);
  const body = Buffer.allocUnsafe(header.length + inserted.byteLength + CHECKSUM_BYTES);
  body.set(header);
  body.set(inserted, header.length);
  const end = header.length + inserted.byteLength;
  body.writeUInt32LE(crc32(body.subarray(0, end)), end);
  return body;
}

function insertedBytes(steps: readonly Step[]): Buffer {
  const lengths: number[] = [];
  const chunks = steps.flatMap((step) => (isCopy(step) ? [] : step.chunks));
  for (const { bytes } of chunks) writeVarint(lengths, bytes);
  return Buffer.concat([Uint8Array.from(lengths), utf8OfChunks(chunks)]);
}

/** A stored state, read as far as that goes without its base. */
export interface UnpackedState {
  /** Returns its chunks, not compared with its digest yet. `base`: the chunks of its base; `null`: it is full. */
  applyTo(base: ChunkList | null): Promise<ChunkList>;
}

/**
 * Unpacks a state. What needs no dictionary is decompressed at once, in worker threads if it is long: so all rows of a
 * chain are decompressed side by side before their deltas are applied. @throws DamagedState, UnknownEncoding
 */
export async function unpackState(stored: StoredState, isFull: boolean): Promise<UnpackedState> {
  const { encoding, state, stateBytes, unreadable } = stored;
  if (unreadable !== undefined) throw unreadable;
  const { hasSteps, isDeflated, isSkip } = parseEncoding(encoding);
  try {
    if (hasSteps) return await unpackBody(asBuffer(state), isDeflated, isFull || isSkip);
    const utf8 = asBuffer(isDeflated ? await decompress(state, stateBytes, null) : state);
    const text = ChunkList.of([chunkOfUtf8(utf8)]);
    return {
      async applyTo(base) {
        if (base !== null) throw new DamagedState("expected a delta, got a full state");
        return text;
      },
    };
  } catch (error) {
    throw toDamagedState(error);
  }
}

async function unpackBody(body: Buffer, isDeflated: boolean, isIndependent: boolean): Promise<UnpackedState> {
  const { counts, length, written } = readStepHeader(body);
  const ahead = isDeflated && isIndependent ? await decompressAhead(written, length) : null;
  return {
    async applyTo(base) {
      try {
        const copies = counts.filter((step) => typeof step !== "number");
        const dictionary =
          base === null || ahead !== null ? null : dictionarySource(copies, base, MAX_DICTIONARY_BYTES);
        const inserted = ahead ?? (isDeflated ? await decompress(written, length, dictionary) : written);
        return (base ?? ChunkList.of([])).apply(readSteps(counts, asBuffer(inserted)));
      } catch (error) {
        throw toDamagedState(error);
      }
    },
  };
}

function toDamagedState(error: unknown): unknown {
  const malformed = error instanceof DamagedBytes || error instanceof RangeError;
  return malformed ? new DamagedState("the state is damaged") : error;
}

/** Steps before their chunks are read: a copy, or the number of inserted chunks. */
type StepCounts = readonly (CopyStep | number)[];

function readStepHeader(body: Buffer): { counts: StepCounts; length: number; written: Buffer } {
  const end = body.byteLength - CHECKSUM_BYTES;
  if (end < 0 || crc32(body.subarray(0, end)) !== body.readUInt32LE(end)) throw new DamagedBytes("checksum");
  const at = { position: 0 };
  const counts = Array.from({ length: countIn(body, at) }, () => {
    const kind = readVarint(body, at);
    const count = Math.floor(kind / 2);
    return kind % 2 === 1 ? count : { from: readVarint(body, at), count };
  });
  const length = readVarint(body, at);
  return { counts, length, written: body.subarray(at.position, end) };
}

/** Reads a number of items, each of which takes a byte at least. */
function countIn(bytes: Buffer, at: { position: number }): number {
  const count = readVarint(bytes, at);
  if (count > bytes.byteLength) throw new DamagedBytes("more than there is");
  return count;
}

function readSteps(counts: StepCounts, inserted: Buffer): Step[] {
  const chunks = readChunks(
    inserted,
    counts.reduce<number>((sum, step) => sum + (typeof step === "number" ? step : 0), 0),
  );
  let taken = 0;
  return counts.map((step) => {
    if (typeof step !== "number") return step;
    taken += step;
    return { chunks: chunks.slice(taken - step, taken) };
  });
}

function readChunks(bytes: Buffer, count: number): Chunk[] {
  const at = { position: 0 };
  if (count > bytes.byteLength) throw new DamagedBytes("more than there is");
  const lengths = Array.from({ length: count }, () => readVarint(bytes, at));
  let from = at.position;
  return lengths.map((length) => {
    from += length;
    if (from > bytes.byteLength) throw new DamagedBytes("a chunk beyond the end");
    return chunkOfUtf8(bytes.subarray(from - length, from));
  });
}

/** Compares the chunks with the length and digest that were stored. @throws DamagedState */
export function verifySnapshot(chunks: ChunkList, { encoding, stateBytes, digest }: StoredState): Snapshot {
  const snapshot = buildSnapshot(parseEncoding(encoding).form, chunks.slice(0, chunks.length), []);
  if (snapshot.stateBytes !== stateBytes) {
    throw new DamagedState(`expected a state of ${stateBytes} bytes, got ${snapshot.stateBytes}`);
  }
  if (Buffer.compare(snapshot.digest, digest) !== 0) throw new DamagedState("the state does not match its digest");
  return snapshot;
}

/** Parses the words of an encoding. @throws UnknownEncoding, or EncryptionMismatch if it is encrypted */
export function parseEncoding(encoding: string): {
  readonly form: TextForm;
  readonly hasSteps: boolean;
  readonly isDeflated: boolean;
  readonly isSkip: boolean;
} {
  if (encoding.endsWith(ENCRYPTED_SUFFIX))
    throw new EncryptionMismatch("it is encrypted, and this storage has no keys");
  const parsed = /^(json|tagged)(\+pieces)?(\+deflate)?(\+anchor)?$/.exec(encoding);
  if (parsed === null) throw new UnknownEncoding(`the encoding ${JSON.stringify(encoding.slice(0, 64))} is not known`);
  const [, form, steps, deflate, skip] = parsed;
  return {
    form: form as TextForm,
    hasSteps: steps !== undefined,
    isDeflated: deflate !== undefined,
    isSkip: skip !== undefined,
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
