import { hash } from "node:crypto";
import {
  type Beginning,
  type CutArray,
  isObject,
  type Known,
  knownElement,
  learnHistory,
  learnOnSecondSight,
  recognised,
} from "./memo.ts";
import type { EncodedValue } from "./values.ts";

/**
 * A state's text in pieces, which joined are exactly the text. It is cut where its structure is, so that what did not
 * change from one turn to the next is a piece that did not change: an element of a long array, a member of a large object.
 * What is long and has no structure (strings, lists of numbers, byte arrays) is cut by its content.
 */
export class Piece {
  /** The length as UTF-8. */
  readonly bytes: number;
  /** Stands for the content: the same for the same text, and for no other. */
  readonly name: string;
  /** What was read is decoded when somebody asks for it: most of a state never is, piece by piece. */
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

  /** The SHA-256 of the UTF-8, in base64; `null` of a short one. */
  get hash(): string | null {
    return this.name.startsWith("#") ? this.name.slice(1) : null;
  }

  /** `null`: it was not read, or was decoded. */
  get utf8(): Buffer | null {
    return this.#utf8;
  }

  /** What it takes in memory, about: ASCII text is one byte a character, else two; and this object, and its name. */
  get memoryBytes(): number {
    if (this === COMMA) return 0;
    const wide = this.#text !== null && this.#text.length < this.bytes;
    return (wide ? 2 * (this.#text as string).length : this.bytes) + PIECE_MEMORY_BYTES;
  }
}

/** Containers up to this size are one piece, in characters as {@link sizeOf} estimates them. */
const OPEN_ABOVE = 4_096;
/** How deep containers are opened: what is below has pieces cut by content. */
const MAX_OPEN = 12;
/** A state with more levels is not opened at all: `JSON.stringify` needs all of the stack. */
const MAX_LEVELS = 200;
/** Smaller neighbours are put together. */
const SMALL_BELOW = 128;
/** Pieces cut by content: none is shorter but the last, none longer. Without structure 3,000 characters on average. */
const CUT_FROM = 1_024;
const CUT_AT_LATEST = 8_192;
/** One in 2,048 places is a cut. */
const CUT_MASK = 0xffe0_0000;
/** The hash of a place is made of this many characters before it. */
const WINDOW = 32;
/** Shorter texts are their own name: a hash would be longer. */
const NAMED_BY_HASH_FROM = 32;
const PIECE_MEMORY_BYTES = 120;

/** `text` may be a part of a longer one: the piece does not hold on to that. */
export function makePiece(text: string): Piece {
  if (text === ",") return COMMA;
  if (text.length < NAMED_BY_HASH_FROM) {
    return new Piece(`${text.length}:${text}`, Buffer.byteLength(text), text, null);
  }
  const utf8 = Buffer.from(text, "utf8");
  return new Piece(hashName(utf8), utf8.byteLength, utf8.toString("utf8"), null);
}

/** Between any two elements: one object for all of them. */
const COMMA = new Piece("1:,", 1, ",", null);

/** A piece that was read. Bytes that are no UTF-8 have another name than the text that they become. */
export function pieceOf(utf8: Buffer): Piece {
  // Of so many bytes there are characters enough, whatever they are.
  if (utf8.byteLength >= NAMED_BY_HASH_FROM * 3) return new Piece(hashName(utf8), utf8.byteLength, null, utf8);
  const text = utf8.toString("utf8");
  if (text.length < NAMED_BY_HASH_FROM) return makePiece(text);
  return new Piece(hashName(utf8), utf8.byteLength, text, utf8);
}

function hashName(utf8: Buffer): string {
  return `#${hash("sha256", utf8, "base64")}`;
}

export function textOfPieces(pieces: readonly Piece[]): string {
  return utf8Known(pieces)?.toString("utf8") ?? pieces.map(({ text }) => text).join("");
}

export function utf8OfPieces(pieces: readonly Piece[]): Buffer {
  return utf8Known(pieces) ?? Buffer.from(pieces.map(({ text }) => text).join(""), "utf8");
}

function utf8Known(pieces: readonly Piece[]): Buffer | null {
  const parts: Buffer[] = [];
  for (const { utf8 } of pieces) {
    if (utf8 === null) return null;
    parts.push(utf8);
  }
  return Buffer.concat(parts);
}

/** Fresh text, or pieces that are known already. */
export type Part = string | Piece;

export interface CutText {
  readonly parts: readonly Part[];
  /** What is to be known by these parts, once they are pieces. */
  readonly claims: readonly Claim[];
}

/** Told the pieces of all parts. */
type Claim = (pieces: readonly Piece[]) => void;

/** The text of plain JSON data in parts. */
export function cutTree({ tree, beginnings, levels }: Omit<EncodedValue, "form">): CutText {
  const cutter = new Cutter(beginnings, levels > MAX_LEVELS ? MAX_OPEN : 0);
  const known = isObject(tree) ? recognised(tree) : undefined;
  if (known === undefined || !cutter.known(tree as object, known)) cutter.fresh(tree, sizeOf(tree, known));
  return cutter;
}

export function asPiece(part: Part): Piece {
  return typeof part === "string" ? makePiece(part) : part;
}

/** Whether the value, as an element or member of a larger one, is a piece of its own. */
export function isOnePiece(value: unknown): boolean {
  const size = sizeOf(value);
  return size >= SMALL_BELOW && size <= OPEN_ABOVE;
}

const MAX_ARGUMENTS = 4_096;
/** Shorter lists of parts are copied one by one. */
const LIST_FROM_PARTS = 32;
/** Arrays of fewer elements are cut again each time. */
const HISTORY_FROM_ELEMENTS = 16;

class Cutter implements CutText {
  readonly claims: Claim[] = [];
  readonly #beginnings: ReadonlyMap<object, Beginning>;
  /** How many containers are open. */
  #depth: number;
  /** Whether texts are made pieces at once: what is frozen keeps them. */
  readonly #frozen: boolean;
  /** Finished parts in lists, so that long ones are not copied one by one; and those after them. */
  readonly #lists: (readonly Part[])[] = [];
  #inLists = 0;
  #last: Part[] = [];

  constructor(beginnings: ReadonlyMap<object, Beginning>, depth: number, frozen = false) {
    this.#beginnings = beginnings;
    this.#depth = depth;
    this.#frozen = frozen;
  }

  get parts(): readonly Part[] {
    return joinLists<Part>([...this.#lists, this.#last]);
  }

  /** Returns whether nothing in the value is a piece of its own. */
  fresh(value: unknown, size: number): boolean {
    if (size <= OPEN_ABOVE || !isObject(value) || this.#depth >= MAX_OPEN) {
      this.#text(textOf(value));
      return true;
    }
    this.#depth += 1;
    const flat = Array.isArray(value) ? this.#array(value) : this.#object(value as Readonly<Record<string, unknown>>);
    this.#depth -= 1;
    return flat;
  }

  /** `false`: its pieces are not known. */
  known(value: object, known: Known): boolean {
    if (known.pieces === null) {
      if (known.copy !== null) return false;
      const cutter = new Cutter(this.#beginnings, this.#depth, true);
      cutter.fresh(value, sizeOf(value, known));
      known.pieces = cutter.parts as readonly Piece[];
      for (const claim of cutter.claims) claim(known.pieces);
    }
    this.#add(known.pieces);
    return true;
  }

  get #count(): number {
    return this.#inLists + this.#last.length;
  }

  #add(pieces: readonly Piece[]): void {
    if (pieces.length < LIST_FROM_PARTS) {
      for (const piece of pieces) this.#last.push(piece);
      return;
    }
    this.#lists.push(this.#last, pieces);
    this.#inLists += this.#last.length + pieces.length;
    this.#last = [];
  }

  #value(value: unknown, size: number, known: Known | undefined): void {
    if (known !== undefined && this.known(value as object, known)) return;
    const from = this.#count;
    const flat = this.fresh(value, size);
    if (!isObject(value) || !flat) return; // a copy of one that has pieces inside would be a copy of them too
    const learned = known ?? learnOnSecondSight(value);
    if (learned === undefined) return;
    const to = this.#count;
    this.claims.push((pieces) => {
      learned.pieces = pieces.slice(from, to);
    });
  }

  /** Each element is a piece, and each run of small ones. */
  #array(array: readonly unknown[]): boolean {
    const start = this.#count;
    const found = this.#beginnings.get(array);
    const beginning = found?.cut.pieces === found?.pieces ? found : undefined;
    const ends: number[] = beginning?.cut.ends ?? [];
    if (beginning !== undefined) {
      beginning.cut.pieces = null; // from here on it is changed
      ends.length = beginning.length;
    }
    while (ends.length > 0 && ends.at(-1) === -1) ends.pop();
    let from = ends.length;
    if (beginning !== undefined) {
      const { first } = beginning.cut;
      this.#add(beginning.pieces.slice(first, first + (ends.at(-1) ?? 0)));
    }
    let pending = from === 0 ? "[" : from < array.length ? "," : "";
    // What is as it was, after the last one that is a piece, is small.
    while (ends.length < (beginning?.length ?? 0)) ends.push(-1);
    for (let at = ends.length; at < array.length; at++) {
      const element = array[at];
      const known = isObject(element) ? recognised(element) : undefined;
      const size = sizeOf(element, known);
      ends.push(-1);
      if (size < SMALL_BELOW) continue;
      if (from < at) pending += `${textBetween(array, from, at)},`;
      this.#text(pending);
      this.#value(element, size, known);
      ends[at] = this.#count - start;
      pending = at + 1 < array.length ? "," : "";
      from = at + 1;
    }
    this.#text(`${pending}${textBetween(array, from, array.length)}]`);
    if (array.length >= HISTORY_FROM_ELEMENTS && from > 0) this.#learn(array, ends, start, beginning);
    return from === 0;
  }

  #learn(array: readonly unknown[], ends: number[], start: number, beginning: Beginning | undefined): void {
    const known = beginning?.cut.known ?? [];
    known.length = beginning?.length ?? 0;
    const mixed = array.length <= 4 * (this.#count - start); // else copies of small ones take more than they save
    for (let at = known.length; at < array.length; at++) {
      const element = array[at];
      const small = mixed && ends[at] === -1 && isObject(element) && recognised(element) === undefined;
      known.push(small ? learnOnSecondSight(element) : knownElement(element));
    }
    const cut: CutArray = beginning?.cut ?? { elements: [], known, ends, pieces: null, first: 0 };
    cut.elements.length = beginning?.length ?? 0;
    for (let at = cut.elements.length; at < array.length; at++) cut.elements.push(array[at]);
    learnHistory(array, cut);
    this.claims.push((pieces) => {
      cut.pieces = pieces;
      cut.first = start;
    });
  }

  /** Each member that is not small is a piece; the keys and small members between two of them are one. */
  #object(object: Readonly<Record<string, unknown>>): boolean {
    let flat = true;
    let pending = "{";
    let separator = "";
    for (const key of Object.keys(object)) {
      const member = object[key];
      const known = isObject(member) ? recognised(member) : undefined;
      const size = sizeOf(member, known);
      pending += `${separator}${JSON.stringify(key)}:`;
      separator = ",";
      if (size < SMALL_BELOW) {
        pending += textOf(member);
        continue;
      }
      this.#text(pending);
      this.#value(member, size, known);
      pending = "";
      flat = false;
    }
    this.#text(`${pending}}`);
    return flat;
  }

  #text(text: string): void {
    if (text === "") return;
    if (text.length <= CUT_AT_LATEST) {
      this.#last.push(this.#frozen ? makePiece(text) : text);
      return;
    }
    for (let from = 0; from < text.length; ) {
      const to = cutAfter(text, from);
      const part = text.slice(from, to);
      this.#last.push(this.#frozen ? makePiece(part) : part);
      from = to;
    }
  }
}

function textBetween(array: readonly unknown[], from: number, to: number): string {
  return from === to ? "" : textOf(array.slice(from, to)).slice(1, -1);
}

/** Lists one after the other. Copies memory, in parts, since a call takes only so many arguments. */
export function joinLists<Item>(lists: readonly (readonly Item[])[]): Item[] {
  let joined: Item[] = [];
  for (let at = 0; at < lists.length; at += MAX_ARGUMENTS)
    joined = joined.concat(...lists.slice(at, at + MAX_ARGUMENTS));
  return joined;
}

/** A getter or proxy may turn into something else after it was looked at. */
function textOf(value: unknown): string {
  const text: unknown = stringify(value);
  if (typeof text !== "string") throw new TypeError("a value that has changed");
  return text;
}

function stringify(value: unknown): unknown {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // At some 2,700 levels it may take more stack than there is, where the same written in JavaScript does not.
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

/** How long the text is, about, and more than {@link OPEN_ABOVE} if it is longer than that. */
function sizeOf(value: unknown, known?: Known): number {
  if (known !== undefined && known.size >= 0) return known.size;
  const size = OPEN_ABOVE + 1 - rest(value, OPEN_ABOVE + 1);
  if (known !== undefined) known.size = size;
  return size;
}

/** What is left of `room` characters after the value's text: exact enough where it matters, the same for the same value. */
function rest(value: unknown, room: number): number {
  if (typeof value === "string") return room - value.length - 2;
  if (typeof value !== "object") return room - 8;
  if (value === null) return room - 4;
  let left = room - 2;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && left > 0; at++) left = rest(value[at], left) - 1;
    return left;
  }
  for (const key of Object.keys(value)) {
    left = rest((value as Record<string, unknown>)[key], left - key.length - 4);
    if (left <= 0) return left;
  }
  return left;
}

/**
 * Where the piece that begins at `from` ends: behind a place whose hash has eleven zeros. The hash is of the characters just
 * before the place, so after an insertion the same places are found again (gear hash, as in FastCDC: Xia et al., USENIX ATC
 * 2016).
 */
function cutAfter(text: string, from: number): number {
  const latest = from + CUT_AT_LATEST;
  if (text.length - from <= CUT_FROM) return text.length;
  let hashed = 0;
  const end = Math.min(latest, text.length);
  for (let at = from + CUT_FROM - WINDOW; at < end; at++) {
    hashed = ((hashed << 1) + (GEAR[text.charCodeAt(at) & 0xff] as number)) | 0;
    if ((hashed & CUT_MASK) === 0 && at >= from + CUT_FROM) return afterCharacter(text, at + 1);
  }
  return afterCharacter(text, end);
}

/** Not between the halves of a character: each piece is UTF-8 by itself. */
function afterCharacter(text: string, at: number): number {
  return at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00 ? at + 1 : at;
}

/** A fixed random number for each byte: it decides where texts are cut, so it never changes. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  hash("sha256", `waymark gear ${byte}`, "buffer").readInt32LE(),
);
