import { isDate, isProxy } from "node:util/types";
import type { Piece } from "./pieces.ts";

/**
 * What is known of plain objects and arrays from the last time they were seen, so that what did not change costs little.
 *
 * What is frozen all the way down cannot change any more: it is recognised by identity. Anything else is only found by
 * its identity, and then compared with a copy of our own, member by member. (A frozen Date, Map, Set or byte array can
 * still be changed, and a getter may answer anything: what holds one is never taken for frozen.)
 */
export class Known {
  /** See {@link NOT_JSON}. */
  readonly traits: number;
  /** How many levels are below it. */
  readonly height: number;
  /** What it was; `null`: it is frozen all the way down. */
  readonly copy: Copy | null;
  /** The value in the tagged form, where that is another. */
  tagged: object | null = null;
  /** Its size as pieces.ts counts it; -1 if it was not counted yet. */
  size = -1;
  pieces: readonly Piece[] | null = null;

  constructor(traits: number, height: number, copy: Copy | null) {
    this.traits = traits;
    this.height = height;
    this.copy = copy;
  }
}

/** Traits of a value, any part of it included. JSON cannot say all of it. */
export const NOT_JSON = 1;
/** A key starts with `$`, which the tagged form writes differently. */
export const DOLLAR = 2;
/** It can still change. */
export const LOOSE = 4;

const known = new WeakMap<object, Known>();

/** What is known of the value as it is now. What has changed is forgotten. */
export function recognise(value: object): Known | undefined {
  const found = known.get(value);
  if (found === undefined || found.copy === null || matches(value, found.copy)) return found;
  known.delete(value);
  return undefined;
}

/** What is known of a value that {@link recognise} was asked about just now. */
export function recognised(value: object): Known | undefined {
  return known.get(value);
}

/**
 * To be called of a frozen value whose members are primitives or frozen too; of an array, those before `fromElement` are
 * known already. `false`: it may answer differently.
 */
export function learnFrozen(value: object, traits: number, height: number, fromElement: number): boolean {
  if (isProxy(value) || hasAccessor(value, fromElement)) return false;
  known.set(value, new Known(traits, height, null));
  return true;
}

/** For plain JSON that this codec has made itself, and gives to nobody. */
export function learnOwn(value: object): void {
  known.set(value, new Known(0, 0, null));
}

/**
 * For any other value: keeps a copy, from the second time on. A state that is read anew for every turn never has the same
 * objects twice. `undefined` if there is no copy.
 */
export function learnOnSecondSight(value: object): Known | undefined {
  if (!seen.has(value)) {
    seen.add(value);
    return undefined;
  }
  const copying = { traits: LOOSE, deepest: 0 };
  const copy = copyOf(value, 0, copying);
  if (!(copy instanceof Copy)) return undefined;
  const found = new Known(copying.traits, copying.deepest, copy);
  known.set(value, found);
  return found;
}

const seen = new WeakSet<object>();

/** A long array as it was cut: a history that the next state most often continues. */
export interface CutArray {
  readonly elements: readonly unknown[];
  /** What is known of each element; `null` of a primitive that is the same in both forms; `undefined`: nothing. */
  readonly known: readonly (Known | null | undefined)[];
  /** How many pieces there are up to each element, and with it; -1 where that is not the end of one. */
  readonly ends: readonly number[];
  /** `null`: they were not made. */
  pieces: readonly Piece[] | null;
}

/** The beginning of an array that is as it was: so many elements, which have these traits and levels. */
export interface Beginning {
  readonly cut: CutArray;
  readonly length: number;
  readonly traits: number;
  readonly height: number;
}

/** What was cut last, by its first element: an array that was copied and added to is found by it too. */
const histories = new WeakMap<object, CutArray>();

export function learnHistory(cut: CutArray): void {
  const [first] = cut.elements;
  if (isObject(first)) histories.set(first, cut);
}

/** How much of an array is as it was when it, or the one that it continues, was cut. */
export function beginningOf(array: readonly unknown[], frozenOnly: boolean): Beginning | null {
  const [first] = array;
  const cut = isObject(first) ? histories.get(first) : undefined;
  if (cut === undefined || cut.pieces === null || !hasElementsOnly(array)) return null;
  const most = Math.min(array.length, cut.elements.length);
  let traits = 0;
  let height = 0;
  let length = 0;
  for (; length < most; length++) {
    const element = array[length];
    const found = cut.known[length];
    if (element !== cut.elements[length] || found === undefined) break;
    if (found === null) continue;
    if (found.copy !== null && (frozenOnly || !matches(element as object, found.copy))) break;
    traits |= found.traits;
    if (found.height >= height) height = found.height + 1;
  }
  return length === 0 ? null : { cut, length, traits, height };
}

/** What {@link CutArray.known} says of an element, after it was recognised or learned. */
export function knownElement(element: unknown): Known | null | undefined {
  if (isObject(element)) return known.get(element);
  return isJson(element) ? null : undefined;
}

/**
 * Whether an array has neither holes nor members beside its elements. Quick: it does not see members that cannot be
 * enumerated, so it is for arrays that are like one that was looked at more closely.
 */
function hasElementsOnly(array: readonly unknown[]): boolean {
  const keys = Object.keys(array);
  if (keys.length !== array.length || Object.getOwnPropertySymbols(array).length > 0) return false;
  return array.length === 0 || keys.at(-1) === String(array.length - 1);
}

function hasAccessor(value: object, fromElement: number): boolean {
  const keys: readonly PropertyKey[] = Array.isArray(value)
    ? Array.from({ length: value.length - fromElement }, (_, at) => at + fromElement)
    : Object.keys(value);
  return keys.some((key) => {
    const property = Object.getOwnPropertyDescriptor(value, key);
    return property === undefined || !("value" in property);
  });
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isSame(one: unknown, other: unknown): boolean {
  return one === other ? one !== 0 || Object.is(one, other) : Number.isNaN(one) && Number.isNaN(other);
}

/** What an object, array or date was. Text is shared with it, so a copy is small. */
class Copy {
  readonly prototype: object | null;
  /** `null`: of an array or a date. */
  readonly keys: readonly string[] | null;
  /** Primitives, and copies. `null`: of a date. */
  readonly members: readonly unknown[] | null;
  /** Of a date; else 0. */
  readonly time: number;

  constructor(value: object, keys: readonly string[] | null, members: readonly unknown[] | null, time = 0) {
    this.prototype = Object.getPrototypeOf(value) as object | null;
    this.keys = keys;
    this.members = members;
    this.time = time;
  }
}

/** Instead of a copy, where there is none: byte arrays, maps, sets. */
const NO_COPY = Symbol("no copy");

/** A primitive, a copy, or {@link NO_COPY}. To be called of values that were found to be data. */
function copyOf(value: unknown, depth: number, copying: { traits: number; deepest: number }): unknown {
  if (!isObject(value)) {
    const json = typeof value === "number" ? Number.isFinite(value) && !Object.is(value, -0) : isJson(value);
    if (!json) copying.traits |= NOT_JSON;
    return value;
  }
  if (isProxy(value)) return NO_COPY;
  copying.deepest = Math.max(copying.deepest, depth);
  if (isDate(value)) {
    copying.traits |= NOT_JSON;
    return new Copy(value, null, null, value.getTime());
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value) ? !hasElementsOnly(value) : prototype !== Object.prototype && prototype !== null) {
    return NO_COPY;
  }
  if (prototype === null) copying.traits |= NOT_JSON;
  const keys = Array.isArray(value) ? null : Object.keys(value);
  if (keys?.some((key) => key.startsWith("$"))) copying.traits |= DOLLAR;
  const members: unknown[] = keys === null ? [...(value as unknown[])] : keys.map((key) => Reflect.get(value, key));
  for (let at = 0; at < members.length; at++) {
    members[at] = copyOf(members[at], depth + 1, copying);
    if (members[at] === NO_COPY) return NO_COPY;
  }
  return new Copy(value, keys, members);
}

function isJson(value: unknown): boolean {
  return typeof value === "string" || typeof value === "boolean" || value === null;
}

/** Whether the value is what the copy was made of, to the last detail that is stored or refused. */
function matches(value: object, copy: Copy): boolean {
  const { keys, members } = copy;
  if (Object.getPrototypeOf(value) !== copy.prototype) return false;
  if (members === null) return isDate(value) && Object.is(value.getTime(), copy.time) && hasNoMembers(value);
  if (keys === null) {
    if (!Array.isArray(value) || value.length !== members.length || !hasElementsOnly(value)) return false;
    for (let at = 0; at < members.length; at++) if (!isAsCopied(value[at], members[at])) return false;
    return true;
  }
  // In this order: what differs most often first, and no list of keys is made for it.
  let at = 0;
  for (const key in value) {
    if (key !== keys[at] || !isAsCopied((value as Record<string, unknown>)[key], members[at])) return false;
    at += 1;
  }
  return (
    at === keys.length &&
    Object.getOwnPropertyNames(value).length === at &&
    Object.getOwnPropertySymbols(value).length === 0 &&
    !Array.isArray(value)
  );
}

function isAsCopied(value: unknown, copied: unknown): boolean {
  return copied instanceof Copy ? isObject(value) && matches(value, copied) : isSame(value, copied);
}

function hasNoMembers(value: object): boolean {
  return Object.getOwnPropertyNames(value).length === 0 && Object.getOwnPropertySymbols(value).length === 0;
}
