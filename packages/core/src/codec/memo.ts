import { isDate, isProxy } from "node:util/types";
import type { Chunk } from "./chunk.ts";

/**
 * A memo (memoization) of an object or array that an earlier state held: how it was encoded and chunked. Memos are kept in
 * a WeakMap by object identity, so an object that comes again unchanged is not encoded again.
 *
 * A deeply frozen value cannot change: its identity is enough. Any other value is compared with a shadow copy, member by
 * member. (A frozen Date, Map, Set or byte array can still change, and a getter may return anything: a value that holds one
 * never counts as frozen.)
 */
export class Memo {
  /** Bits such as {@link NOT_JSON}. */
  readonly traits: number;
  /** Levels below the value. */
  readonly height: number;
  /** Copy to compare the value with; `null`: the value is deeply frozen. */
  readonly shadow: ShadowCopy | null;
  /** The value in the tagged form; `null`: it was not tagged yet, or the tagged form is the value itself. */
  tagged: object | null = null;
  /** Size as `sizeOf` estimates it; -1: not estimated yet. */
  size = -1;
  chunks: readonly Chunk[] | null = null;

  constructor(traits: number, height: number, shadow: ShadowCopy | null) {
    this.traits = traits;
    this.height = height;
    this.shadow = shadow;
  }
}

/** Trait: the value, or a part of it, is no JSON. */
export const NOT_JSON = 1;
/** Trait: a key starts with `$`, which the tagged form escapes. */
export const DOLLAR_KEY = 2;
/** Trait: the value can still change. */
export const MUTABLE = 4;

const memos = new WeakMap<object, Memo>();

/** Returns the value's memo if the value is unchanged; drops the memo if it is not. */
export function validMemo(value: object): Memo | undefined {
  const found = memos.get(value);
  if (found === undefined || found === SEEN_ONCE) return undefined;
  if (found.shadow === null || isUnchanged(value, found.shadow)) return found;
  memos.delete(value);
  return undefined;
}

/** Returns the memo of a value that {@link validMemo} has just checked: does not compare again. */
export function memoOf(value: object): Memo | undefined {
  const found = memos.get(value);
  return found === SEEN_ONCE ? undefined : found;
}

/**
 * Remembers a frozen value whose members are primitives or remembered too. Returns `false`, and remembers nothing, if
 * reading it may give something else next time (a proxy, a getter).
 */
export function rememberFrozen(value: object, traits: number, height: number): boolean {
  if (isProxy(value) || hasAccessor(value)) return false;
  memos.set(value, new Memo(traits, height, null));
  return true;
}

/** Remembers plain JSON that this codec has made itself and keeps to itself. */
export function rememberOwn(value: object): void {
  memos.set(value, new Memo(0, 0, null));
}

/**
 * Remembers any other value with a shadow copy, from the second time on that it is seen: a state that is parsed anew for
 * every turn never has the same objects twice, so copies of it would be waste. `undefined`: there is no copy.
 */
export function rememberOnSecondSight(value: object): Memo | undefined {
  if (!memos.has(value)) {
    memos.set(value, SEEN_ONCE);
    return undefined;
  }
  const copier = new ShadowCopier();
  if (!copier.add(value, 0)) return undefined;
  const memo = new Memo(copier.traits, copier.deepest, copier.shadow);
  memos.set(value, memo);
  return memo;
}

/** Marks values that were seen once. */
const SEEN_ONCE = new Memo(MUTABLE, 0, null);

/**
 * The chunks of a long array (a message history), which the array of the next state most often continues. Updated in
 * place: new lists for each state would be more garbage than all else.
 */
export interface ChunkedArray {
  readonly elements: unknown[];
  /** Memo of each element; `null`: a primitive that is the same in both text forms; `undefined`: nothing is remembered. */
  readonly memos: (Memo | null | undefined)[];
  /** Number of chunks up to and with each element; -1: the element does not end a chunk. */
  readonly ends: number[];
  /** A list of chunks that has the array's, from index `first` on. `null`: an update is under way. */
  chunks: readonly Chunk[] | null;
  first: number;
}

/** The elements at the beginning of an array that are as they were when it was chunked, and their traits and levels. */
export interface UnchangedPrefix {
  readonly chunked: ChunkedArray;
  /** The value of `chunked.chunks` when this was made. If it differs later, another array has updated it: this is void. */
  readonly chunks: readonly Chunk[];
  readonly length: number;
  readonly traits: number;
  readonly height: number;
}

/**
 * Chunked arrays by the array, and by its second element: a copy that was added to is found by that. (The first element is
 * often the same for many agents: a system prompt.)
 */
const chunkedArrays = new WeakMap<object, ChunkedArray>();

function chunkedArrayOf(array: readonly unknown[]): ChunkedArray | undefined {
  const [, second] = array;
  return chunkedArrays.get(array) ?? (isObject(second) ? chunkedArrays.get(second) : undefined);
}

export function rememberArray(array: readonly unknown[], chunked: ChunkedArray): void {
  const [, second] = array;
  chunkedArrays.set(array, chunked);
  if (isObject(second)) chunkedArrays.set(second, chunked);
}

/** Finds how much of an array is as it was when it, or the array that it continues, was chunked. `null`: nothing. */
export function unchangedPrefix(array: readonly unknown[], frozenOnly: boolean): UnchangedPrefix | null {
  const chunked = chunkedArrayOf(array);
  if (chunked === undefined || array[0] !== chunked.elements[0] || !hasElementsOnly(array)) return null;
  const { chunks } = chunked;
  if (chunks === null) return null;
  const most = Math.min(array.length, chunked.elements.length);
  let traits = 0;
  let height = 0;
  let length = 0;
  for (; length < most; length++) {
    const element = array[length];
    const memo = chunked.memos[length];
    if (element !== chunked.elements[length] || memo === undefined) break;
    if (memo === null) continue;
    if (memo.shadow !== null && (frozenOnly || !isUnchanged(element as object, memo.shadow))) break;
    traits |= memo.traits;
    if (memo.height >= height) height = memo.height + 1;
  }
  return length === 0 ? null : { chunked, chunks, length, traits, height };
}

/** The entry of {@link ChunkedArray.memos} for an element that was just checked or remembered. */
export function elementMemo(element: unknown): Memo | null | undefined {
  if (isObject(element)) return memoOf(element);
  return isJson(element) ? null : undefined;
}

/** Longer arrays are not checked for members that cannot be enumerated. */
const MAX_LISTED = 64;

/**
 * Returns whether an array has neither holes nor members beside its elements. Of a long array, members that cannot be
 * enumerated are overlooked: listing all of its names takes longer than all else.
 */
function hasElementsOnly(array: readonly unknown[]): boolean {
  const keys = Object.keys(array);
  if (keys.length !== array.length || Object.getOwnPropertySymbols(array).length > 0) return false;
  if (array.length <= MAX_LISTED && Object.getOwnPropertyNames(array).length !== array.length + 1) return false;
  return array.length === 0 || keys.at(-1) === String(array.length - 1);
}

function hasAccessor(value: object): boolean {
  return Object.keys(value).some((key) => {
    const property = Object.getOwnPropertyDescriptor(value, key);
    return property === undefined || !("value" in property);
  });
}

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/**
 * A flat copy of a value: a primitive is itself, an object or array is its shape and then its members. Strings are shared
 * with the value and shapes between copies, so a copy is small; and a comparison reads memory in order.
 */
type ShadowCopy = readonly unknown[];

/** Prototype and keys that several objects have in common (the "shape" of JavaScript engines). */
class Shape {
  readonly prototype: object | null;
  /** `null`: it is an array or a date. */
  readonly keys: readonly string[] | null;
  /** Number of members that follow in the copy; a date's time counts as one. */
  readonly members: number;
  readonly isDate: boolean;

  constructor(value: object, keys: readonly string[] | null, members: number, isDate = false) {
    this.prototype = Object.getPrototypeOf(value) as object | null;
    this.keys = keys;
    this.members = members;
    this.isDate = isDate;
  }
}

/** Limits of the shapes that are shared: how many, of how many members, with names of how many characters in all. */
const MAX_SHAPES = 4_096;
const MAX_SHARED_MEMBERS = 32;
const MAX_SHARED_CHARACTERS = 512;
const shapes = new Map<string, Shape>();

function shapeOf(value: object, keys: readonly string[] | null, members: number): Shape {
  const shape = new Shape(value, keys, members);
  const common = shape.prototype === Object.prototype || shape.prototype === Array.prototype;
  if (members > MAX_SHARED_MEMBERS || !common) return shape;
  const name = keys === null ? `${members}` : JSON.stringify(keys);
  if (name.length > MAX_SHARED_CHARACTERS) return shape;
  const shared = shapes.get(name);
  if (shared === undefined && shapes.size < MAX_SHAPES) shapes.set(name, shape);
  return shared ?? shape;
}

/** Copies a value that was found to be data, and notes its traits. */
class ShadowCopier {
  readonly shadow: unknown[] = [];
  traits = MUTABLE;
  deepest = 0;

  /** Adds a value to the copy. `false`: it cannot be copied (byte arrays, maps, sets, proxies). */
  add(value: unknown, depth: number): boolean {
    if (!isObject(value)) {
      if (!(typeof value === "number" ? isJsonNumber(value) : isJson(value))) this.traits |= NOT_JSON;
      this.shadow.push(value);
      return true;
    }
    if (isProxy(value)) return false;
    this.deepest = Math.max(this.deepest, depth);
    if (isDate(value)) {
      this.traits |= NOT_JSON;
      this.shadow.push(new Shape(value, null, 1, true), value.getTime());
      return true;
    }
    if (Array.isArray(value)) {
      if (!hasElementsOnly(value)) return false;
      this.shadow.push(shapeOf(value, null, value.length));
      return value.every((element) => this.add(element, depth + 1));
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return false;
    const keys = Object.keys(value);
    if (prototype === null) this.traits |= NOT_JSON;
    if (keys.some((key) => key.startsWith("$"))) this.traits |= DOLLAR_KEY;
    this.shadow.push(shapeOf(value, keys, keys.length));
    return keys.every((key) => this.add((value as Record<string, unknown>)[key], depth + 1));
  }
}

function isJson(value: unknown): boolean {
  return typeof value === "string" || typeof value === "boolean" || value === null;
}

export function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0);
}

/** Returns whether the value is what the copy was made of, in every detail that is stored or refused. */
function isUnchanged(value: object, copy: ShadowCopy): boolean {
  return endOfMatch(value, copy, 0) === copy.length;
}

/** Returns where in the copy the members of the container at `at` end; -1 if the value differs. */
function endOfMatch(value: object, copy: ShadowCopy, at: number): number {
  const shape = copy[at] as Shape;
  if (Object.getPrototypeOf(value) !== shape.prototype) return -1;
  let next = at + 1;
  if (shape.isDate) {
    const same = isDate(value) && Object.is(value.getTime(), copy[next]) && hasOnly(value, 0);
    return same ? next + 1 : -1;
  }
  if (shape.keys === null) {
    if (!Array.isArray(value) || value.length !== shape.members || !hasElementsOnly(value)) return -1;
    for (let index = 0; index < value.length; index++) {
      next = endOfMemberMatch(value[index], copy, next);
      if (next < 0) return -1;
    }
    return next;
  }
  // Values before the list of keys: they differ most often, and no list is made then.
  let member = 0;
  for (const key in value) {
    if (key !== shape.keys[member]) return -1;
    next = endOfMemberMatch((value as Record<string, unknown>)[key], copy, next);
    if (next < 0) return -1;
    member += 1;
  }
  return member === shape.members && hasOnly(value, member) && !Array.isArray(value) ? next : -1;
}

function endOfMemberMatch(value: unknown, copy: ShadowCopy, at: number): number {
  const copied = copy[at];
  if (value === copied) return value !== 0 || Object.is(value, copied) ? at + 1 : -1;
  if (copied instanceof Shape) return isObject(value) ? endOfMatch(value, copy, at) : -1;
  return Object.is(value, copied) ? at + 1 : -1;
}

/** Returns whether an object has just so many members, hidden ones included. */
function hasOnly(value: object, members: number): boolean {
  return Object.getOwnPropertyNames(value).length === members && Object.getOwnPropertySymbols(value).length === 0;
}
