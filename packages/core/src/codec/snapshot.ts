import { constants } from "node:buffer";
import { hash } from "node:crypto";
import { type Chunk, joinLists, type TextOrChunk, textOfChunks, toChunk, utf8OfChunks } from "./chunk.ts";
import { chunkTree } from "./chunker.ts";
import { alignChunks, type Run } from "./delta.ts";
import { decodeValue, encodeValue, type TextForm } from "./values.ts";

/**
 * A state as it was at one moment: its chunks, its length and its digest.
 *
 * The digest is of the content, not of the encoding. For a state of one chunk it is the SHA-256 of the text (`json`), or
 * of `tagged`, a NUL and the text. For a state of several chunks it is the SHA-256 of the form, `+pieces`, a NUL, and for
 * every 64 chunks the SHA-256 of their names in base64. So a store hashes what is new, and little more.
 */

/** Chunks that share one hash in the digest. */
const BLOCK = 64;

/** An immutable copy of a state: later changes by the caller do not reach it. */
export interface Snapshot {
  readonly form: TextForm;
  readonly chunks: readonly Chunk[];
  /** The chunks by blocks of 64; the last block may have fewer. */
  readonly blocks: readonly Block[];
  /** Length of the text as UTF-8. */
  readonly stateBytes: number;
  readonly digest: Uint8Array;
  /** Estimate of its memory, if it shares no chunks. */
  readonly memoryBytes: number;
}

/** Chunks that follow each other. */
interface Block {
  readonly bytes: number;
  readonly memoryBytes: number;
  /** SHA-256 of the chunks' names, in base64; "" for a state of one chunk. */
  readonly name: string;
}

export interface SnapshotOptions {
  /** A similar state, such as the one before: equal chunks are shared with it, and cost neither time nor memory. */
  readonly base?: Snapshot | undefined;
  /** See `CommonStorageOptions.freeze`. */
  readonly freeze?: boolean;
  /** The value's name in messages. Default `state`. */
  readonly name?: string;
}

/** Encodes a state. @throws UnsupportedValue, or a `RangeError` if a text is longer than the longest string. */
export function takeSnapshot(value: unknown, { base, freeze, name }: SnapshotOptions = {}): Snapshot {
  const { form, ...tree } = encodeValue(value, freeze, name);
  const { parts, memoUpdates } = chunkTree(tree);
  const baseChunks = base?.chunks ?? [];
  const runs = alignChunks(parts, baseChunks);
  const chunks = shareChunks(parts, baseChunks, runs);
  for (const update of memoUpdates) update(chunks);
  return buildSnapshot(form, chunks, sharedBlocks(base?.blocks ?? [], runs));
}

/** Makes chunks of the parts, reusing those of `base` where the runs say so. */
function shareChunks(parts: readonly TextOrChunk[], base: readonly Chunk[], runs: readonly Run[]): Chunk[] {
  const lists: (readonly Chunk[])[] = [];
  let done = 0;
  for (const { at, from, count } of runs) {
    if (at > done) lists.push(parts.slice(done, at).map(toChunk));
    lists.push(base.slice(from, from + count));
    done = at + count;
  }
  lists.push(parts.slice(done).map(toChunk));
  return joinLists(lists);
}

/** Returns the blocks that are at the same position in both, by that position. */
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

/** Makes a snapshot of chunks. `shared`: blocks that are known already, by their position. */
export function buildSnapshot(form: TextForm, chunks: readonly Chunk[], shared: readonly Block[]): Snapshot {
  const count = Math.ceil(chunks.length / BLOCK);
  const blocks = Array.from({ length: count }, (_, block) => {
    return shared[block] ?? blockOf(chunks.slice(block * BLOCK, (block + 1) * BLOCK), chunks.length > 1);
  });
  const stateBytes = blocks.reduce((sum, { bytes }) => sum + bytes, 0);
  if (stateBytes > constants.MAX_STRING_LENGTH) checkLength(chunks);
  const memoryBytes = blocks.reduce((sum, block) => sum + block.memoryBytes, 0);
  return { form, chunks, blocks, stateBytes, digest: digestOf(form, chunks, blocks), memoryBytes };
}

/** Refuses a text that is longer than a string can be: it could be stored in chunks, but never read back as one. */
function checkLength(chunks: readonly Chunk[]): void {
  const length = chunks.reduce((sum, { text }) => sum + text.length, 0);
  if (length > constants.MAX_STRING_LENGTH) throw new RangeError("Invalid string length");
}

function blockOf(chunks: readonly Chunk[], named: boolean): Block {
  let bytes = 0;
  let memoryBytes = 0;
  for (const chunk of chunks) {
    bytes += chunk.bytes;
    memoryBytes += chunk.memoryBytes;
  }
  const names = named ? chunks.map(({ name }) => name).join("") : "";
  return { bytes, memoryBytes, name: named ? hash("sha256", names, "base64") : "" };
}

export function textOf({ chunks }: Snapshot): string {
  return textOfChunks(chunks);
}

/** Decodes a state. `text`: its text, if that is at hand. @throws MalformedText */
export function decodeSnapshot(snapshot: Snapshot, text = textOf(snapshot)): unknown {
  return decodeValue({ form: snapshot.form, text });
}

/** Returns whether two snapshots are of the same state, however it was split into chunks. */
export function sameContent(one: Snapshot, other: Snapshot): boolean {
  return one.form === other.form && textOfChunks(one.chunks) === textOfChunks(other.chunks);
}

function digestOf(form: TextForm, chunks: readonly Chunk[], blocks: readonly Block[]): Buffer {
  const [only] = chunks;
  if (chunks.length === 1) {
    if (form === "json" && only?.hash) return Buffer.from(only.hash, "base64"); // it is of the same bytes
    const utf8 = utf8OfChunks(chunks);
    return sha256(form === "json" ? utf8 : Buffer.concat([Buffer.from(`${form}\0`), utf8]));
  }
  return sha256(`${form}+pieces\0${blocks.map(({ name }) => name).join("")}`);
}

function sha256(content: string | Buffer): Buffer {
  return hash("sha256", content, "buffer");
}
