import { isDate, isProxy } from "node:util/types";
import type { Piece } from "./chunker.ts";

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
  if (found === undefined || found === SEEN) return undefined;
  if (found.copy === null || matches(value, found.copy)) return found;
  known.delete(value);
  return undefined;
}

/** What is known of a value that {@link recognise} was asked about just now. */
export function recognised(value: object): Known | undefined {
  const found = known.get(value);
  return found === SEEN ? undefined : found;
}

/** To be called of a frozen value whose members are primitives or known too. `false`: it may answer differently. */
export function learnFrozen(value: object, traits: number, height: number): boolean {
  if (isProxy(value) || hasAccessor(value)) return false;
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
  if (!known.has(value)) {
    known.set(value, SEEN);
    return undefined;
  }
  const copying = new Copying();
  if (!copying.add(value, 0)) return undefined;
  const found = new Known(copying.traits, copying.deepest, copying.copy);
  known.set(value, found);
  return found;
}

/** Stands for values that were seen once. */
const SEEN = new Known(LOOSE, 0, null);

/**
 * A long array as it was cut: a history that the next state most often continues. It is brought up to date in place, since
 * new lists for each state would be more garbage than all else.
 */
export interface CutArray {
  readonly elements: unknown[];
  /** What is known of each element; `null` of a primitive that is the same in both forms; `undefined`: nothing. */
  readonly known: (Known | null | undefined)[];
  /** How many pieces there are up to each element, and with it; -1 where that is not the end of one. */
  readonly ends: number[];
  /** Pieces that hold those of the array, from `first` on. `null`: it is being brought up to date. */
  pieces: readonly Piece[] | null;
  first: number;
}

/** The beginning of an array that is as it was: so many elements, which have these traits and levels. */
export interface Beginning {
  readonly cut: CutArray;
  /** The pieces of the cut. Once it has others, it was brought up to date for another array, and this is void. */
  readonly pieces: readonly Piece[];
  readonly length: number;
  readonly traits: number;
  readonly height: number;
}

/**
 * What was cut last, by the array, and by its second element: one that was copied and added to is found by that. (The first
 * one is often the same for many agents: a system prompt.)
 */
const histories = new WeakMap<object, CutArray>();

function historyOf(array: readonly unknown[]): CutArray | undefined {
  const [, second] = array;
  return histories.get(array) ?? (isObject(second) ? histories.get(second) : undefined);
}

export function learnHistory(array: readonly unknown[], cut: CutArray): void {
  const [, second] = array;
  histories.set(array, cut);
  if (isObject(second)) histories.set(second, cut);
}

/** How much of an array is as it was when it, or the one that it continues, was cut. */
export function beginningOf(array: readonly unknown[], frozenOnly: boolean): Beginning | null {
  const cut = historyOf(array);
  if (cut === undefined || array[0] !== cut.elements[0] || !hasElementsOnly(array)) return null;
  const { pieces } = cut;
  if (pieces === null) return null;
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
  return length === 0 ? null : { cut, pieces, length, traits, height };
}

/** What {@link CutArray.known} says of an element, after it was recognised or learned. */
export function knownElement(element: unknown): Known | null | undefined {
  if (isObject(element)) return recognised(element);
  return isJson(element) ? null : undefined;
}

/** Arrays of more elements are looked at more quickly. */
const MAX_LISTED = 64;

/**
 * Whether an array has neither holes nor members beside its elements. Of a long one, members that cannot be enumerated
 * are not seen: listing all names of it takes longer than all else.
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
 * What a value was, in one list: of a primitive itself, of a container its shape and then its members. Text is shared with
 * the value, and shapes are shared between copies, so a copy is small; and what is compared lies side by side.
 */
type Copy = readonly unknown[];

class Shape {
  readonly prototype: object | null;
  /** `null`: of an array or a date. */
  readonly keys: readonly string[] | null;
  /** How many members follow; of a date its time does. */
  readonly members: number;
  readonly isDate: boolean;

  constructor(value: object, keys: readonly string[] | null, members: number, isDate = false) {
    this.prototype = Object.getPrototypeOf(value) as object | null;
    this.keys = keys;
    this.members = members;
    this.isDate = isDate;
  }
}

/** So many shapes are shared; those of objects with more members, or with longer names, are not worth it. */
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

/** Makes a copy, and looks at what is copied. To be used for values that were found to be data. */
class Copying {
  readonly copy: unknown[] = [];
  traits = LOOSE;
  deepest = 0;

  /** `false`: there is no copy of it (byte arrays, maps, sets, proxies). */
  add(value: unknown, depth: number): boolean {
    if (!isObject(value)) {
      if (!(typeof value === "number" ? isJsonNumber(value) : isJson(value))) this.traits |= NOT_JSON;
      this.copy.push(value);
      return true;
    }
    if (isProxy(value)) return false;
    this.deepest = Math.max(this.deepest, depth);
    if (isDate(value)) {
      this.traits |= NOT_JSON;
      this.copy.push(new Shape(value, null, 1, true), value.getTime());
      return true;
    }
    if (Array.isArray(value)) {
      if (!hasElementsOnly(value)) return false;
      this.copy.push(shapeOf(value, null, value.length));
      return value.every((element) => this.add(element, depth + 1));
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return false;
    const keys = Object.keys(value);
    if (prototype === null) this.traits |= NOT_JSON;
    if (keys.some((key) => key.startsWith("$"))) this.traits |= DOLLAR;
    this.copy.push(shapeOf(value, keys, keys.length));
    return keys.every((key) => this.add((value as Record<string, unknown>)[key], depth + 1));
  }
}

function isJson(value: unknown): boolean {
  return typeof value === "string" || typeof value === "boolean" || value === null;
}

export function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0);
}

/** Whether the value is what the copy was made of, to the last detail that is stored or refused. */
function matches(value: object, copy: Copy): boolean {
  return matchedTo(value, copy, 0) === copy.length;
}

/** Where in the copy the members of a container end that begins at `at`; -1 if the value is another one. */
function matchedTo(value: object, copy: Copy, at: number): number {
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
      next = memberTo(value[index], copy, next);
      if (next < 0) return -1;
    }
    return next;
  }
  // In this order: what differs most often first, and no list of keys is made for it.
  let member = 0;
  for (const key in value) {
    if (key !== shape.keys[member]) return -1;
    next = memberTo((value as Record<string, unknown>)[key], copy, next);
    if (next < 0) return -1;
    member += 1;
  }
  return member === shape.members && hasOnly(value, member) && !Array.isArray(value) ? next : -1;
}

function memberTo(value: unknown, copy: Copy, at: number): number {
  const copied = copy[at];
  if (value === copied) return value !== 0 || Object.is(value, copied) ? at + 1 : -1;
  if (copied instanceof Shape) return isObject(value) ? matchedTo(value, copy, at) : -1;
  return Object.is(value, copied) ? at + 1 : -1;
}

/** Whether there are no more members than these that can be enumerated. */
function hasOnly(value: object, members: number): boolean {
  return Object.getOwnPropertyNames(value).length === members && Object.getOwnPropertySymbols(value).length === 0;
}
