import { constants } from "node:buffer";
import { hash } from "node:crypto";
import { promisify } from "node:util";
import { crc32, deflateRaw, deflateRawSync, inflateRaw, inflateRawSync, type ZlibOptions } from "node:zlib";
import { asPiece, cutTree, joinLists, type Part, type Piece, pieceOf, textOfPieces, utf8OfPieces } from "./chunker.ts";
import { alignPieces, type Copy, difference, isCopy, notCopied, PieceList, type Run, type Step } from "./delta.ts";
import { decodeValue, encodeValue, type TextForm } from "./values.ts";
import { DamagedBytes, readVarint, writeVarint } from "./varint.ts";

/**
 * States as bytes: their pieces, length and digest, and how they are written, whole or as the difference to a base.
 *
 * What is stored names its own encoding in words:
 *
 * - the form of the text, `json` or `tagged`. Nothing more: the bytes are the text.
 * - `+pieces`: the bytes are steps, which copy pieces of the base and insert others (see `writeBody`), and a checksum.
 * - `+deflate`: what is inserted is compressed; or, without `+pieces`, as version 0.1 wrote it, the text is.
 * - `+anchor`: at the end, see `chains.ts`. It is compressed without a dictionary, so that it can be read ahead.
 *
 * The digest names the content, not the encoding. Of a state in one piece it is the SHA-256 of the text (`json`), or of
 * `tagged`, a NUL and the text; of one in several pieces that of the form, `+pieces`, a NUL, and for every 64 pieces the
 * SHA-256 of their names in base64. So a store hashes what is new, and not much more.
 */

/** A state as it was when taken: nothing that the caller changes later changes it. */
export interface Snapshot {
  readonly form: TextForm;
  readonly pieces: readonly Piece[];
  /** The first 64 pieces, the next 64, and so on; the last ones may be fewer. */
  readonly blocks: readonly Block[];
  /** The length of the text as UTF-8. */
  readonly stateBytes: number;
  readonly digest: Uint8Array;
  /** What it takes in memory, about, if it shares no pieces. */
  readonly memoryBytes: number;
}

/** Pieces that follow each other. */
interface Block {
  readonly bytes: number;
  readonly memoryBytes: number;
  /** The SHA-256 of the pieces' names, in base64; "" of a state that is one piece. */
  readonly name: string;
}

export interface PackedState {
  readonly encoding: string;
  readonly state: Uint8Array;
}

export interface StoredState extends PackedState {
  readonly stateBytes: number;
  readonly digest: Uint8Array;
  /** Why it cannot be read, where that has shown already: when it was to be decrypted, see `sealing/`. */
  readonly unreadable?: DamagedState | UnknownEncoding;
}

/** What is stored cannot be read back as what was stored once. */
export class DamagedState extends Error {}

/** It is encrypted and should not be, or the other way round, or with a key that is not here. */
export class EncryptionMismatch extends DamagedState {}

/** A newer version has written it. */
export class UnknownEncoding extends Error {}

/** How the encoding of an anchor ends. */
export const ANCHOR = "+anchor";
/** How that of an encrypted state ends, whatever it is when it is decrypted. */
export const SEALED = "+sealed";
/** Below this, compression gains less than it costs: a difference has something like it to be compressed with. */
const COMPRESS_WHOLE_FROM_BYTES = 1_024;
const COMPRESS_DIFFERENCE_FROM_BYTES = 256;
/** Above this, compression would hold up the event loop for more than two milliseconds: another thread does it. */
const COMPRESS_ASIDE_FROM_BYTES = 128 * 1024;
/** Of the rows of a chain, which several threads decompress at once. */
const INFLATE_AHEAD_FROM_BYTES = 16 * 1024;
/** All that deflate can look back. */
const MAX_DICTIONARY_BYTES = 32 * 1024;
const CHECKSUM_BYTES = 4;
/** Pieces that are named together in the digest. */
const BLOCK = 64;

const deflateAside = promisify<Uint8Array, ZlibOptions, Buffer>(deflateRaw);
const inflateAside = promisify<Uint8Array, ZlibOptions, Buffer>(inflateRaw);

export interface SnapshotOptions {
  /** A state that is like this one: pieces that are the same are shared with it, and cost no time and no memory. */
  readonly like?: Snapshot | undefined;
  /** See `CommonStorageOptions.freeze`. */
  readonly freeze?: boolean;
}

/** @throws UnsupportedValue, or a `RangeError` if a text is longer than the longest string. */
export function takeSnapshot(value: unknown, { like, freeze = false }: SnapshotOptions = {}): Snapshot {
  const { form, ...tree } = encodeValue(value, freeze);
  const { parts, claims } = cutTree(tree);
  const base = like?.pieces ?? [];
  const runs = alignPieces(parts, base);
  const pieces = sharePieces(parts, base, runs);
  for (const claim of claims) claim(pieces);
  return snapshotOf(form, pieces, sharedBlocks(like?.blocks ?? [], runs));
}

/** The parts as pieces: those of `base` where the runs say so. */
function sharePieces(parts: readonly Part[], base: readonly Piece[], runs: readonly Run[]): Piece[] {
  const lists: (readonly Piece[])[] = [];
  let done = 0;
  for (const { at, from, count } of runs) {
    if (at > done) lists.push(parts.slice(done, at).map(asPiece));
    lists.push(base.slice(from, from + count));
    done = at + count;
  }
  lists.push(parts.slice(done).map(asPiece));
  return joinLists(lists);
}

/** The blocks that are at the same place in both, by their position. */
function sharedBlocks(blocks: readonly Block[], runs: readonly Run[]): Block[] {
  const shared: Block[] = [];
  for (const { at, from, count } of runs) {
    if (at !== from) continue;
    for (let block = Math.ceil(at / BLOCK); (block + 1) * BLOCK <= at + count; block++) {
      shared[block] = blocks[block] as Block;
    }
  }
  return shared;
}

function snapshotOf(form: TextForm, pieces: readonly Piece[], shared: readonly Block[]): Snapshot {
  const count = Math.ceil(pieces.length / BLOCK);
  const blocks = Array.from({ length: count }, (_, block) => {
    return shared[block] ?? blockOf(pieces.slice(block * BLOCK, (block + 1) * BLOCK), pieces.length > 1);
  });
  const stateBytes = blocks.reduce((sum, { bytes }) => sum + bytes, 0);
  if (stateBytes > constants.MAX_STRING_LENGTH) checkLength(pieces);
  const memoryBytes = blocks.reduce((sum, block) => sum + block.memoryBytes, 0);
  return { form, pieces, blocks, stateBytes, digest: digestOf(form, pieces, blocks), memoryBytes };
}

/** No text is longer than a string can be: it could be stored in pieces, but never read as one. */
function checkLength(pieces: readonly Piece[]): void {
  const length = pieces.reduce((sum, { text }) => sum + text.length, 0);
  if (length > constants.MAX_STRING_LENGTH) throw new RangeError("Invalid string length");
}

function blockOf(pieces: readonly Piece[], named: boolean): Block {
  let bytes = 0;
  let memoryBytes = 0;
  for (const piece of pieces) {
    bytes += piece.bytes;
    memoryBytes += piece.memoryBytes;
  }
  const names = named ? pieces.map(({ name }) => name).join("") : "";
  return { bytes, memoryBytes, name: named ? hash("sha256", names, "base64") : "" };
}

/** Writes a state, as the difference to `base` if there is one. `anchor` marks the row, see `chains.ts`. */
export async function packSnapshot(
  { form, pieces, stateBytes }: Snapshot,
  base: Snapshot | null,
  anchor = false,
): Promise<PackedState> {
  const [only] = pieces;
  if (base === null && pieces.length === 1 && stateBytes < COMPRESS_WHOLE_FROM_BYTES) {
    return { encoding: form, state: Buffer.from((only as Piece).text, "utf8") };
  }
  const steps = base === null ? [{ pieces }] : difference(pieces, base.pieces);
  const inserted = insertedBytes(steps);
  const dictionary = base === null || anchor ? null : notCopied(steps, PieceList.of(base.pieces), MAX_DICTIONARY_BYTES);
  const deflated = inserted.byteLength < COMPRESS_DIFFERENCE_FROM_BYTES ? null : await deflate(inserted, dictionary);
  const compressed = deflated !== null && deflated.byteLength < inserted.byteLength;
  const encoding = `${form}+pieces${compressed ? "+deflate" : ""}${anchor ? ANCHOR : ""}`;
  return { encoding, state: writeBody(steps, inserted.byteLength, compressed ? deflated : inserted) };
}

/**
 * All numbers are varints. The number of steps; each step: twice its count of pieces and where they begin in the base
 * (copy), or twice their count and one (insert); the length of what is inserted; that, maybe compressed: the lengths of
 * all inserted pieces and their texts as UTF-8. And the CRC-32 of all this in four bytes, little-endian.
 */
function writeBody(steps: readonly Step[], insertedLength: number, inserted: Uint8Array): Buffer {
  const header: number[] = [];
  writeVarint(header, steps.length);
  for (const step of steps) {
    if (isCopy(step)) {
      writeVarint(header, step.count * 2);
      writeVarint(header, step.from);
    } else {
      writeVarint(header, step.pieces.length * 2 + 1);
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
  const pieces = steps.flatMap((step) => (isCopy(step) ? [] : step.pieces));
  for (const { bytes } of pieces) writeVarint(lengths, bytes);
  return Buffer.concat([Uint8Array.from(lengths), utf8OfPieces(pieces)]);
}

/** A stored state, as far as it can be read without its base. */
export interface OpenedState {
  /** Its pieces. Not compared with its digest yet. `base`: the pieces of its base; `null`: it has none. */
  on(base: PieceList | null): Promise<PieceList>;
}

/**
 * Begins to read a state. What needs no dictionary is decompressed right away, by other threads if it is long, so that a
 * chain is opened before it is put together. @throws DamagedState, UnknownEncoding
 */
export async function openState(stored: StoredState, whole: boolean): Promise<OpenedState> {
  const { encoding, state, stateBytes, unreadable } = stored;
  if (unreadable !== undefined) throw unreadable;
  const { pieces, deflated, anchor } = parseEncoding(encoding);
  try {
    if (pieces) return await openBody(asBuffer(state), deflated, whole || anchor);
    const utf8 = asBuffer(deflated ? await inflate(state, stateBytes, null) : state);
    const text = PieceList.of([pieceOf(utf8)]);
    return {
      async on(base) {
        if (base !== null) throw new DamagedState("the state is whole, and should be a difference");
        return text;
      },
    };
  } catch (error) {
    throw damaged(error);
  }
}

async function openBody(body: Buffer, deflated: boolean, independent: boolean): Promise<OpenedState> {
  const { counts, length, written } = readHeader(body);
  const ahead = deflated && independent ? await inflate(written, length, null, INFLATE_AHEAD_FROM_BYTES) : null;
  return {
    async on(base) {
      try {
        const copies = counts.filter((step) => typeof step !== "number");
        const dictionary = base === null || ahead !== null ? null : notCopied(copies, base, MAX_DICTIONARY_BYTES);
        const inserted = ahead ?? (deflated ? await inflate(written, length, dictionary) : written);
        return (base ?? PieceList.of([])).apply(readSteps(counts, asBuffer(inserted)));
      } catch (error) {
        throw damaged(error);
      }
    },
  };
}

function damaged(error: unknown): unknown {
  const malformed = error instanceof DamagedBytes || error instanceof RangeError;
  return malformed ? new DamagedState("the state is damaged") : error;
}

/** Copies, and how many pieces are inserted between them. */
type StepCounts = readonly (Copy | number)[];

function readHeader(body: Buffer): { counts: StepCounts; length: number; written: Buffer } {
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

/** How many follow, none of which takes less than a byte. */
function countIn(bytes: Buffer, at: { position: number }): number {
  const count = readVarint(bytes, at);
  if (count > bytes.byteLength) throw new DamagedBytes("more than there is");
  return count;
}

function readSteps(counts: StepCounts, inserted: Buffer): Step[] {
  const pieces = readInserted(
    inserted,
    counts.reduce<number>((sum, step) => sum + (typeof step === "number" ? step : 0), 0),
  );
  let taken = 0;
  return counts.map((step) => {
    if (typeof step !== "number") return step;
    taken += step;
    return { pieces: pieces.slice(taken - step, taken) };
  });
}

function readInserted(bytes: Buffer, count: number): Piece[] {
  const at = { position: 0 };
  if (count > bytes.byteLength) throw new DamagedBytes("more than there is");
  const lengths = Array.from({ length: count }, () => readVarint(bytes, at));
  let from = at.position;
  return lengths.map((length) => {
    from += length;
    if (from > bytes.byteLength) throw new DamagedBytes("a piece beyond the end");
    return pieceOf(bytes.subarray(from - length, from));
  });
}

/** @throws DamagedState if the pieces are not what was stored */
export function verifySnapshot(pieces: PieceList, { encoding, stateBytes, digest }: StoredState): Snapshot {
  const snapshot = snapshotOf(parseEncoding(encoding).form, pieces.slice(0, pieces.length), []);
  if (snapshot.stateBytes !== stateBytes) {
    throw new DamagedState(`the state has ${snapshot.stateBytes} bytes, and should have ${stateBytes}`);
  }
  if (Buffer.compare(snapshot.digest, digest) !== 0) throw new DamagedState("the state does not match its digest");
  return snapshot;
}

/** @throws MalformedText */
export function stateOf({ form, pieces }: Snapshot): unknown {
  return decodeValue({ form, text: textOfPieces(pieces) });
}

/** Whether two states are the same, however they are cut. */
export function sameState(one: Snapshot, other: Snapshot): boolean {
  return one.form === other.form && textOfPieces(one.pieces) === textOfPieces(other.pieces);
}

/** @throws UnknownEncoding, or EncryptionMismatch if it is encrypted */
export function parseEncoding(encoding: string): {
  readonly form: TextForm;
  readonly pieces: boolean;
  readonly deflated: boolean;
  readonly anchor: boolean;
} {
  if (encoding.endsWith(SEALED)) throw new EncryptionMismatch("it is encrypted, and this storage has no keys");
  const parsed = /^(json|tagged)(\+pieces)?(\+deflate)?(\+anchor)?$/.exec(encoding);
  if (parsed === null) throw new UnknownEncoding(`the encoding ${JSON.stringify(encoding.slice(0, 64))} is not known`);
  const [, form, pieces, deflated, anchor] = parsed;
  return {
    form: form as TextForm,
    pieces: pieces !== undefined,
    deflated: deflated !== undefined,
    anchor: anchor !== undefined,
  };
}

/**
 * At the lowest level: the user waits for the store, and higher ones take three times as long for a seventh less. A window
 * no larger than needed, since setting up a large one takes longer than compressing a small state.
 */
async function deflate(bytes: Uint8Array, dictionary: Uint8Array | null): Promise<Uint8Array> {
  const size = bytes.byteLength + (dictionary?.byteLength ?? 0);
  const windowBits = Math.min(15, Math.max(9, Math.ceil(Math.log2(size))));
  const options: ZlibOptions = {
    level: 1,
    windowBits,
    memLevel: Math.min(8, windowBits - 6),
    ...dictionaryOf(dictionary),
  };
  return bytes.byteLength >= COMPRESS_ASIDE_FROM_BYTES
    ? await deflateAside(bytes, options)
    : deflateRawSync(bytes, options);
}

async function inflate(
  bytes: Uint8Array,
  length: number,
  dictionary: Uint8Array | null,
  asideFromBytes = COMPRESS_ASIDE_FROM_BYTES,
): Promise<Uint8Array> {
  let inflated: Uint8Array;
  try {
    // One byte more than there should be, so that a longer one is told from a damaged one.
    const options = { maxOutputLength: Math.max(1, length + 1), ...dictionaryOf(dictionary) };
    inflated = length >= asideFromBytes ? await inflateAside(bytes, options) : inflateRawSync(bytes, options);
  } catch {
    throw new DamagedState("the compressed state is damaged");
  }
  if (inflated.byteLength === length) return inflated;
  throw new DamagedState(`the state has ${inflated.byteLength} bytes, and should have ${length}`);
}

function dictionaryOf(dictionary: Uint8Array | null): ZlibOptions {
  return dictionary === null || dictionary.byteLength === 0 ? {} : { dictionary };
}

function digestOf(form: TextForm, pieces: readonly Piece[], blocks: readonly Block[]): Buffer {
  const [only] = pieces;
  if (pieces.length === 1) {
    if (form === "json" && only?.hash) return Buffer.from(only.hash, "base64"); // of the same bytes
    const utf8 = utf8OfPieces(pieces);
    return sha256(form === "json" ? utf8 : Buffer.concat([Buffer.from(`${form}\0`), utf8]));
  }
  return sha256(`${form}+pieces\0${blocks.map(({ name }) => name).join("")}`);
}

function sha256(content: string | Buffer): Buffer {
  return hash("sha256", content, "buffer");
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
