import { hash } from "node:crypto";
import { type Chunk, joinLists, makeChunk, type TextOrChunk } from "./chunk.ts";
import {
  type ChunkedArray,
  elementMemo,
  isObject,
  type Memo,
  memoOf,
  rememberArray,
  rememberOnSecondSight,
  type UnchangedPrefix,
} from "./memo.ts";
import { MAX_CONTAINER_CHUNK, MIN_OWN_CHUNK, sizeOf } from "./size.ts";

/**
 * Splits a state's text into chunks at the boundaries of its structure: an element of a long array, a member of a large
 * object. So what did not change from one turn to the next is a chunk that did not change. Long text without structure
 * (strings, lists of numbers, byte arrays) is split by content (content-defined chunking).
 *
 * A state's digest is made of the names of its chunks: with another rule for boundaries the same state has another digest.
 */

/** Depth down to which objects and arrays are split by structure; below it they are split by content. */
const MAX_SPLIT_DEPTH = 12;
/** A state with more levels is split by content alone: `JSON.stringify` needs all of the stack. */
const MAX_SPLIT_LEVELS = 200;
/** Bounds of a chunk split by content, in characters; only the last may be shorter. Text without structure: 3,000 on average. */
const MIN_TEXT_CHUNK = 1_024;
const MAX_TEXT_CHUNK = 8_192;
/** One position in 2,048 is a boundary. */
const BOUNDARY_MASK = 0xffe0_0000;
/** Characters before a position that its hash is made of. */
const WINDOW_CHARACTERS = 32;
/** Shorter lists of chunks are copied one by one. */
const OWN_LIST_FROM = 32;
/** Shorter arrays are chunked again each time. */
const REMEMBERED_FROM_ELEMENTS = 16;

/** A state as plain JSON data. */
export interface ChunkerInput {
  readonly tree: unknown;
  /** Long arrays in it that begin as they did in the last state. */
  readonly prefixes: ReadonlyMap<object, UnchangedPrefix>;
  /** Number of levels. */
  readonly levels: number;
}

export interface ChunkedText {
  readonly parts: readonly TextOrChunk[];
  /** Updates of memos, to be called with the chunks of all parts once these are made. */
  readonly memoUpdates: readonly MemoUpdate[];
}

type MemoUpdate = (chunks: readonly Chunk[]) => void;

/** Splits the text of plain JSON data. */
export function chunkTree({ tree, prefixes, levels }: ChunkerInput): ChunkedText {
  const chunker = new Chunker(prefixes, levels > MAX_SPLIT_LEVELS ? MAX_SPLIT_DEPTH : 0);
  const memo = isObject(tree) ? memoOf(tree) : undefined;
  if (memo === undefined || !chunker.addRemembered(tree as object, memo)) chunker.addValue(tree, sizeOf(tree, memo));
  return chunker;
}

class Chunker implements ChunkedText {
  readonly memoUpdates: MemoUpdate[] = [];
  readonly #prefixes: ReadonlyMap<object, UnchangedPrefix>;
  /** Number of objects and arrays around the value at hand. */
  #depth: number;
  /** Set where text becomes chunks at once: a frozen value keeps its chunks. */
  readonly #frozen: boolean;
  /** Finished parts in lists, so that long ones are not copied one by one; `#last` has those that follow. */
  readonly #lists: (readonly TextOrChunk[])[] = [];
  #inLists = 0;
  #last: TextOrChunk[] = [];

  constructor(prefixes: ReadonlyMap<object, UnchangedPrefix>, depth: number, frozen = false) {
    this.#prefixes = prefixes;
    this.#depth = depth;
    this.#frozen = frozen;
  }

  get parts(): readonly TextOrChunk[] {
    return joinLists<TextOrChunk>([...this.#lists, this.#last]);
  }

  /** Adds a value. Returns whether nothing in it is a chunk of its own. */
  addValue(value: unknown, size: number): boolean {
    if (size <= MAX_CONTAINER_CHUNK || !isObject(value) || this.#depth >= MAX_SPLIT_DEPTH) {
      this.#addText(textOf(value));
      return true;
    }
    this.#depth += 1;
    const flat = Array.isArray(value)
      ? this.#addArray(value)
      : this.#addObject(value as Readonly<Record<string, unknown>>);
    this.#depth -= 1;
    return flat;
  }

  /** Adds the remembered chunks of a value. `false`: there are none. */
  addRemembered(value: object, memo: Memo): boolean {
    if (memo.chunks === null) {
      if (memo.shadow !== null) return false;
      const chunker = new Chunker(this.#prefixes, this.#depth, true);
      chunker.addValue(value, sizeOf(value, memo));
      memo.chunks = chunker.parts as readonly Chunk[];
      for (const update of chunker.memoUpdates) update(memo.chunks);
    }
    this.#addChunks(memo.chunks);
    return true;
  }

  get #count(): number {
    return this.#inLists + this.#last.length;
  }

  #addChunks(chunks: readonly Chunk[]): void {
    if (chunks.length < OWN_LIST_FROM) {
      for (const chunk of chunks) this.#last.push(chunk);
      return;
    }
    this.#lists.push(this.#last, chunks);
    this.#inLists += this.#last.length + chunks.length;
    this.#last = [];
  }

  #addElement(value: unknown, size: number, memo: Memo | undefined): void {
    if (memo !== undefined && this.addRemembered(value as object, memo)) return;
    const from = this.#count;
    const flat = this.addValue(value, size);
    if (!isObject(value) || !flat) return; // its members have chunks and copies of their own
    const remembered = memo ?? rememberOnSecondSight(value);
    if (remembered === undefined) return;
    const to = this.#count;
    this.memoUpdates.push((chunks) => {
      remembered.chunks = chunks.slice(from, to);
    });
  }

  /** Adds an array: each element is a chunk, and each run of small ones. */
  #addArray(array: readonly unknown[]): boolean {
    const start = this.#count;
    const found = this.#prefixes.get(array);
    const prefix = found?.chunked.chunks === found?.chunks ? found : undefined;
    const ends: number[] = prefix?.chunked.ends ?? [];
    if (prefix !== undefined) {
      prefix.chunked.chunks = null; // it is being updated from here on
      ends.length = prefix.length;
    }
    while (ends.length > 0 && ends.at(-1) === -1) ends.pop();
    let from = ends.length;
    if (prefix !== undefined) {
      const { first } = prefix.chunked;
      this.#addChunks(prefix.chunks.slice(first, first + (ends.at(-1) ?? 0)));
    }
    let pending = from === 0 ? "[" : from < array.length ? "," : "";
    // Unchanged elements after the last one that is a chunk are small.
    while (ends.length < (prefix?.length ?? 0)) ends.push(-1);
    for (let at = ends.length; at < array.length; at++) {
      const element = array[at];
      const memo = isObject(element) ? memoOf(element) : undefined;
      const size = sizeOf(element, memo);
      ends.push(-1);
      if (size < MIN_OWN_CHUNK) continue;
      if (from < at) pending += `${textBetween(array, from, at)},`;
      this.#addText(pending);
      this.#addElement(element, size, memo);
      ends[at] = this.#count - start;
      pending = at + 1 < array.length ? "," : "";
      from = at + 1;
    }
    this.#addText(`${pending}${textBetween(array, from, array.length)}]`);
    if (array.length >= REMEMBERED_FROM_ELEMENTS && from > 0) this.#rememberArray(array, ends, start, prefix);
    return from === 0;
  }

  #rememberArray(array: readonly unknown[], ends: number[], start: number, prefix: UnchangedPrefix | undefined): void {
    const memos = prefix?.chunked.memos ?? [];
    memos.length = prefix?.length ?? 0;
    const mixed = array.length <= 4 * (this.#count - start); // else copies of small elements take more than they save
    for (let at = memos.length; at < array.length; at++) {
      const element = array[at];
      const small = mixed && ends[at] === -1 && isObject(element) && memoOf(element) === undefined;
      memos.push(small ? rememberOnSecondSight(element) : elementMemo(element));
    }
    const chunked: ChunkedArray = prefix?.chunked ?? { elements: [], memos, ends, chunks: null, first: 0 };
    chunked.elements.length = prefix?.length ?? 0;
    for (let at = chunked.elements.length; at < array.length; at++) chunked.elements.push(array[at]);
    rememberArray(array, chunked);
    this.memoUpdates.push((chunks) => {
      chunked.chunks = chunks;
      chunked.first = start;
    });
  }

  /** Adds an object: each member that is not small is a chunk; the keys and small members between two of them are one. */
  #addObject(object: Readonly<Record<string, unknown>>): boolean {
    let flat = true;
    let pending = "{";
    let separator = "";
    for (const key of Object.keys(object)) {
      const member = object[key];
      const memo = isObject(member) ? memoOf(member) : undefined;
      const size = sizeOf(member, memo);
      pending += `${separator}${JSON.stringify(key)}:`;
      separator = ",";
      if (size < MIN_OWN_CHUNK) {
        pending += textOf(member);
        continue;
      }
      this.#addText(pending);
      this.#addElement(member, size, memo);
      pending = "";
      flat = false;
    }
    this.#addText(`${pending}}`);
    return flat;
  }

  #addText(text: string): void {
    if (text === "") return;
    if (text.length <= MAX_TEXT_CHUNK) {
      this.#last.push(this.#frozen ? makeChunk(text) : text);
      return;
    }
    for (let from = 0; from < text.length; ) {
      const to = endOfTextChunk(text, from);
      const part = text.slice(from, to);
      this.#last.push(this.#frozen ? makeChunk(part) : part);
      from = to;
    }
  }
}

function textBetween(array: readonly unknown[], from: number, to: number): string {
  return from === to ? "" : textOf(array.slice(from, to)).slice(1, -1);
}

/** Writes a value that was found to be JSON. A getter or proxy may give something else this time: then it throws. */
function textOf(value: unknown): string {
  const text: unknown = stringify(value);
  if (typeof text !== "string") throw new TypeError("a value that has changed");
  return text;
}

function stringify(value: unknown): unknown {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // At some 2,700 levels it may need more stack than there is; the same in JavaScript does not.
    if (error instanceof RangeError && /call stack/i.test(error.message)) return deepText(value);
    throw error;
  }
}

function deepText(value: unknown): string {
  if (!isObject(value)) return textOf(value);
  let text = "";
  if (Array.isArray(value)) {
    for (const element of value) text += `${text === "" ? "" : ","}${deepText(element)}`;
    return `[${text}]`;
  }
  for (const key of Object.keys(value)) {
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${deepText((value as Record<string, unknown>)[key])}`;
  }
  return `{${text}}`;
}

/**
 * Finds the end of the chunk that begins at `from`: behind a position whose hash has eleven zeros. The hash is of the
 * characters just before the position, so after an insertion the same positions are found again (gear hash, as in FastCDC:
 * Xia et al., USENIX ATC 2016).
 */
function endOfTextChunk(text: string, from: number): number {
  const latest = from + MAX_TEXT_CHUNK;
  if (text.length - from <= MIN_TEXT_CHUNK) return text.length;
  let hashed = 0;
  const end = Math.min(latest, text.length);
  for (let at = from + MIN_TEXT_CHUNK - WINDOW_CHARACTERS; at < end; at++) {
    hashed = ((hashed << 1) + (GEAR[text.charCodeAt(at) & 0xff] as number)) | 0;
    if ((hashed & BOUNDARY_MASK) === 0 && at >= from + MIN_TEXT_CHUNK) return afterSurrogatePair(text, at + 1);
  }
  return afterSurrogatePair(text, end);
}

/** Moves a boundary out of a surrogate pair: each chunk is UTF-8 by itself. */
function afterSurrogatePair(text: string, at: number): number {
  return at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00 ? at + 1 : at;
}

/** A fixed random number for each byte. It decides where texts are split, so it never changes. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  hash("sha256", `waymark gear ${byte}`, "buffer").readInt32LE(),
);
