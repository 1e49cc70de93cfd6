import { hash } from "node:crypto";

/** Texts shorter than this, in characters, are their own name: a hash would be longer. */
const NAMED_BY_HASH_FROM = 32;
/** Memory of the object and its name, beside the text. */
const CHUNK_OVERHEAD_BYTES = 120;
/** Arguments of one call of `concat`: an engine takes only so many. */
const MAX_ARGUMENTS = 4_096;

/** A part of a state's text. The chunks of a state, joined, are exactly its text. */
export class Chunk {
  /** Length as UTF-8. */
  readonly bytes: number;
  /** Name of the content: the same for the same text, and for no other. */
  readonly name: string;
  /** Bytes of a chunk that was read, until somebody asks for its text: most of a state's chunks never are. */
  #utf8: Buffer | null;
  #text: string | null;

  constructor(name: string, bytes: number, text: string | null, utf8: Buffer | null) {
    this.name = name;
    this.bytes = bytes;
    this.#text = text;
    this.#utf8 = utf8;
  }

  get text(): string {
    this.#text ??= (this.#utf8 as Buffer).toString("utf8");
    this.#utf8 = null;
    return this.#text;
  }

  /** SHA-256 of the UTF-8, in base64; `null` of a short chunk. */
  get hash(): string | null {
    return this.name.startsWith("#") ? this.name.slice(1) : null;
  }

  /** Bytes as read; `null`: it was not read, or is decoded already. */
  get utf8(): Buffer | null {
    return this.#utf8;
  }

  /** Estimate: ASCII text takes one byte a character, other text two; plus this object and its name. */
  get memoryBytes(): number {
    if (this === COMMA) return 0;
    const isWide = this.#text !== null && this.#text.length < this.bytes;
    return (isWide ? 2 * (this.#text as string).length : this.bytes) + CHUNK_OVERHEAD_BYTES;
  }
}

/** Makes a chunk of a text, which may be a slice of a longer one: the chunk does not keep that one in memory. */
export function makeChunk(text: string): Chunk {
  if (text === ",") return COMMA;
  if (text.length < NAMED_BY_HASH_FROM) {
    return new Chunk(`${text.length}:${text}`, Buffer.byteLength(text), text, null);
  }
  const utf8 = Buffer.from(text, "utf8");
  return new Chunk(hashName(utf8), utf8.byteLength, utf8.toString("utf8"), null);
}

/** The chunk between any two elements: one object for all of them. */
const COMMA = new Chunk("1:,", 1, ",", null);

/** Makes a chunk of bytes that were read. Bytes that are no UTF-8 have another name than the text that they decode to. */
export function chunkOfUtf8(utf8: Buffer): Chunk {
  // Of so many bytes there are characters enough, whatever they are.
  if (utf8.byteLength >= NAMED_BY_HASH_FROM * 3) return new Chunk(hashName(utf8), utf8.byteLength, null, utf8);
  const text = utf8.toString("utf8");
  if (text.length < NAMED_BY_HASH_FROM) return makeChunk(text);
  return new Chunk(hashName(utf8), utf8.byteLength, text, utf8);
}

function hashName(utf8: Buffer): string {
  return `#${hash("sha256", utf8, "base64")}`;
}

export function textOfChunks(chunks: readonly Chunk[]): string {
  return concatUtf8(chunks)?.toString("utf8") ?? chunks.map(({ text }) => text).join("");
}

export function utf8OfChunks(chunks: readonly Chunk[]): Buffer {
  return concatUtf8(chunks) ?? Buffer.from(chunks.map(({ text }) => text).join(""), "utf8");
}

/** `null`: one of them has no bytes at hand. */
function concatUtf8(chunks: readonly Chunk[]): Buffer | null {
  const buffers: Buffer[] = [];
  for (const { utf8 } of chunks) {
    if (utf8 === null) return null;
    buffers.push(utf8);
  }
  return Buffer.concat(buffers);
}

/** Fresh text that is not a chunk yet, or a chunk of an earlier state. */
export type TextOrChunk = string | Chunk;

export function toChunk(part: TextOrChunk): Chunk {
  return typeof part === "string" ? makeChunk(part) : part;
}

/** Concatenates lists. Copies memory in blocks, which is faster than pushing items one by one. */
export function joinLists<Item>(lists: readonly (readonly Item[])[]): Item[] {
  let joined: Item[] = [];
  for (let at = 0; at < lists.length; at += MAX_ARGUMENTS) {
    joined = joined.concat(...lists.slice(at, at + MAX_ARGUMENTS));
  }
  return joined;
}
