/**
 * States as JSON text, without loss.
 *
 * A state that is plain JSON is written as exactly `JSON.stringify(state)`: the form `json`. Any other state is written in
 * the form `tagged`: a value that JSON lacks becomes `{"$": [tag, …]}`, and the state's own keys that start with `$` get
 * one more `$`, so that nothing of a state can be taken for a tag. The form is stored beside the text, never guessed from
 * it. The set of tags is closed, and each decodes to data.
 */

import { isDeepStrictEqual } from "node:util";
import { isDate, isMap, isSet, isUint8Array } from "node:util/types";
import {
  DOLLAR_KEY,
  isJsonNumber,
  MUTABLE,
  NOT_JSON,
  rememberFrozen,
  rememberOnSecondSight,
  rememberOwn,
  type UnchangedPrefix,
  unchangedPrefix,
  validMemo,
} from "./memo.ts";
import { isOneChunk } from "./size.ts";

export type TextForm = "json" | "tagged";

export interface EncodedText {
  readonly form: TextForm;
  readonly text: string;
}

/** A value as plain JSON data. Its text is `JSON.stringify(tree)`. */
export interface EncodedValue {
  readonly form: TextForm;
  readonly tree: unknown;
  /** Prefixes of long arrays in it that are as they were in the last state. */
  readonly prefixes: ReadonlyMap<object, UnchangedPrefix>;
  /** Number of levels. */
  readonly levels: number;
}

/** The most levels of a value. Text of twice as many would come near to what `JSON.parse` can take. */
export const MAX_DEPTH = 1_000;

/** A value that cannot come back as it is. The message has the path to it, never the value. */
export class UnsupportedValue extends Error {}

/** A text that this codec has not written. */
export class MalformedText extends Error {}

/**
 * Encodes a value. `freeze`: freezes its plain objects and arrays on the way. `name`: of the value in messages.
 * @throws UnsupportedValue, or a `RangeError` if the value is nested deeper than the stack reaches
 */
export function encodeValue(value: unknown, freeze = false, name = "state"): EncodedValue {
  if (freeze) encodeValue(value, false, name); // throws before anything is frozen
  const walk = new Walk(freeze, name);
  const traits = walk.inspect(value, 0);
  const json = (traits & NOT_JSON) === 0;
  const tree = json ? value : walk.tag(value, 0);
  return { form: json ? "json" : "tagged", tree, prefixes: walk.prefixes, levels: walk.deepest };
}

/** Decodes a text. @throws MalformedText */
export function decodeValue({ form, text }: EncodedText): unknown {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new MalformedText("not JSON"); // the parser's own message quotes the text
  }
  return form === "json" ? parsed : untag(parsed);
}

type PlainObject = Record<string, unknown>;

/** A walk over one value, which keeps the path to the current position. */
class Walk {
  readonly #freeze: boolean;
  readonly #name: string;
  /** Keys and containers from the root to the current position; entries beyond the current depth are stale. */
  readonly #path: (string | number)[] = [];
  readonly #ancestors: object[] = [];
  /** Deepest level so far, for the height of frozen values. */
  deepest = 0;
  /** Prefixes of long arrays that were not walked again. */
  readonly prefixes = new Map<object, UnchangedPrefix>();

  constructor(freeze: boolean, name: string) {
    this.#freeze = freeze;
    this.#name = name;
  }

  /** Returns the value's traits. Throws for a value that neither form can hold. */
  inspect(value: unknown, depth: number): number {
    switch (typeof value) {
      case "string":
      case "boolean":
        return 0;
      case "number":
        return isJsonNumber(value) ? 0 : NOT_JSON;
      case "undefined":
      case "bigint":
        return NOT_JSON;
      case "object":
        if (value === null) return 0;
        break;
      default:
        throw this.#unsupported(depth, `is a ${typeof value}`);
    }
    const memo = validMemo(value);
    if (memo !== undefined && depth + memo.height < MAX_DEPTH && !(this.#freeze && memo.shadow !== null)) {
      this.deepest = Math.max(this.deepest, depth + memo.height);
      return memo.traits;
    }
    const kind = kindOf(value);
    if (kind === undefined) throw this.#unsupported(depth, `is ${className(value)}`);
    this.#enter(value, depth);
    if (kind !== "array" && kind !== "object") return NOT_JSON | MUTABLE; // `tag` looks inside
    if (this.#freeze) Object.freeze(value);
    const prefix = Array.isArray(value) ? this.#prefixOf(value, depth) : null;
    if (!Object.isFrozen(value)) return this.#inspectMembers(value, depth, prefix) | MUTABLE;
    const outside = this.deepest;
    this.deepest = depth;
    const traits = this.#inspectMembers(value, depth, prefix);
    const height = this.deepest - depth;
    this.deepest = Math.max(outside, this.deepest);
    // An array with an unchanged prefix is found by that again; elements that were skipped may be getters.
    const isRemembered = (traits & MUTABLE) === 0 && prefix === null && rememberFrozen(value, traits, height);
    return isRemembered ? traits : traits | MUTABLE;
  }

  #prefixOf(array: unknown[], depth: number): UnchangedPrefix | null {
    const prefix = unchangedPrefix(array, this.#freeze);
    if (prefix === null || depth + prefix.height >= MAX_DEPTH) return null;
    this.prefixes.set(array, prefix);
    return prefix;
  }

  #inspectMembers(value: object, depth: number, prefix: UnchangedPrefix | null): number {
    let traits = prefix?.traits ?? 0;
    if (Array.isArray(value)) {
      const array: unknown[] = value;
      // `tag` walks a sparse array, by its keys: its length may be four billion.
      if (prefix === null && this.#isSparse(array, depth)) return NOT_JSON | MUTABLE;
      if (prefix !== null) this.deepest = Math.max(this.deepest, depth + prefix.height);
      for (let index = prefix?.length ?? 0; index < array.length; index++) {
        this.#path[depth] = index;
        traits |= this.inspect(array[index], depth + 1);
      }
      return traits;
    }
    const object = value as PlainObject;
    for (const key of this.#keys(object, depth)) {
      this.#path[depth] = key;
      if (key.charCodeAt(0) === 0x24) traits |= DOLLAR_KEY;
      traits |= this.inspect(object[key], depth + 1);
    }
    return Object.getPrototypeOf(object) === null ? traits | NOT_JSON : traits;
  }

  /** Returns the value in the tagged form. Parts that need no tags are in it as they are. */
  tag(value: unknown, depth: number): unknown {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value;
      case "number":
        if (isJsonNumber(value)) return value;
        return { $: ["number", Object.is(value, -0) ? "-0" : String(value)] };
      case "undefined":
        return { $: ["undefined"] };
      case "bigint":
        return { $: ["bigint", value.toString()] };
      case "object":
        if (value === null) return null;
        break;
      default:
        throw this.#unsupported(depth, `is a ${typeof value}`);
    }
    const memo = validMemo(value); // again: `inspect` has not walked maps and sets
    if (memo === undefined || depth + memo.height >= MAX_DEPTH) {
      return this.#remember(value, this.#tagContainer(value, depth));
    }
    if ((memo.traits & (NOT_JSON | DOLLAR_KEY)) === 0) return value;
    if (memo.tagged !== null) return memo.tagged;
    const tagged = this.#tagContainer(value, depth);
    if (tagged !== value) rememberOwn(tagged);
    memo.tagged = tagged;
    return tagged;
  }

  /** Remembers a part that needs tags, if it is of the size of a chunk: it is not tagged again until it changes. */
  #remember(value: object, tagged: object): object {
    const memo = tagged !== value && isOneChunk(tagged) ? rememberOnSecondSight(value) : undefined;
    if (memo === undefined) return tagged;
    memo.tagged = tagged;
    rememberOwn(tagged);
    return tagged;
  }

  #tagContainer(value: object, depth: number): object {
    this.#enter(value, depth);
    const kind = kindOf(value);
    switch (kind) {
      case "array":
        return this.#tagArray(value as unknown[], depth);
      case "object":
        return this.#tagObject(value as PlainObject, depth);
      case "date":
        this.#refuseOwn(value, depth, "a Date");
        // An invalid Date has no time.
        return { $: ["date", Number.isNaN((value as Date).getTime()) ? null : (value as Date).getTime()] };
      case "map":
        this.#refuseOwn(value, depth, "a Map");
        return { $: ["map", this.#tagEach([...(value as Map<unknown, unknown>)].flat(1), depth)] };
      case "set":
        this.#refuseOwn(value, depth, "a Set");
        return { $: ["set", this.#tagEach([...(value as Set<unknown>)], depth)] };
      case "bytes":
      case "buffer": {
        const bytes = value as Uint8Array;
        const { buffer, byteOffset, byteLength } = bytes;
        const plain = Buffer.from(buffer, byteOffset, byteLength);
        // Listing the members of a byte array would list its bytes; comparing it with a plain one of its class does not.
        const { constructor: maker } = Object.getPrototypeOf(bytes) as Uint8Array;
        const like = kind === "buffer" ? plain : Reflect.construct(maker, [buffer, byteOffset, byteLength]);
        if (!isDeepStrictEqual(bytes, like)) throw this.#unsupported(depth, "is a byte array with members of its own");
        return { $: [kind, plain.toString("base64")] };
      }
      case undefined:
        throw this.#unsupported(depth, `is ${className(value)}`);
    }
  }

  #tagArray(array: unknown[], depth: number): object {
    if (!this.#isSparse(array, depth)) return this.#tagEach(array, depth);
    const present: unknown[] = [];
    for (const key of Object.keys(array)) {
      this.#path[depth] = Number(key);
      present.push(Number(key), this.tag(array[Number(key)], depth + 1));
    }
    return { $: ["sparse", array.length, present] };
  }

  #tagObject(object: PlainObject, depth: number): object {
    const keys = this.#keys(object, depth);
    let changed = Object.getPrototypeOf(object) === null;
    const members: unknown[] = [];
    for (const key of keys) {
      this.#path[depth] = key;
      const member = object[key];
      const tagged = this.tag(member, depth + 1);
      if (tagged !== member || key.startsWith("$")) changed = true;
      members.push(tagged);
    }
    if (!changed) return object;
    const tagged: PlainObject = {};
    keys.forEach((key, index) => {
      define(tagged, key.startsWith("$") ? `$${key}` : key, members[index]);
    });
    return Object.getPrototypeOf(object) === null ? { $: ["null-prototype", tagged] } : tagged;
  }

  #tagEach(values: unknown[], depth: number): unknown[] {
    let changed = false;
    const tagged: unknown[] = [];
    for (const value of values) {
      this.#path[depth] = tagged.length;
      const one = this.tag(value, depth + 1);
      if (one !== value) changed = true;
      tagged.push(one);
    }
    return changed ? tagged : values;
  }

  #enter(value: object, depth: number): void {
    this.#ancestors[depth] = value;
    if (depth > this.deepest) this.deepest = depth;
    if (depth < MAX_DEPTH) return;
    // Too deep, most likely because some object contains itself.
    const firstSeen = new Map<object, number>();
    for (let at = 0; at <= depth; at++) {
      const ancestor = this.#ancestors[at] as object;
      const first = firstSeen.get(ancestor);
      if (first !== undefined) throw this.#unsupported(at, `is a cycle: it is ${this.#where(first)} again`);
      firstSeen.set(ancestor, at);
    }
    throw this.#unsupported(depth, `is nested deeper than ${MAX_DEPTH} levels`);
  }

  /** Returns the keys of a plain object. Throws if it has members that these do not list. */
  #keys(object: object, depth: number): string[] {
    const keys = Object.keys(object);
    // Two calls take half as long as `Reflect.ownKeys`.
    const others = Object.getOwnPropertySymbols(object).length;
    if (others > 0 || Object.getOwnPropertyNames(object).length !== keys.length) {
      throw this.#unsupported(depth, "has a symbol or a non-enumerable property as a member");
    }
    return keys;
  }

  /** Returns whether an array has holes. Throws if it has members beside its elements. */
  #isSparse(array: unknown[], depth: number): boolean {
    // Order of own keys: the elements, ascending; `length`; all others.
    const keys: readonly PropertyKey[] = Reflect.ownKeys(array);
    const elements = keys.indexOf("length");
    if (elements !== keys.length - 1) throw this.#unsupported(depth, "is an array with members beside its elements");
    return elements !== array.length;
  }

  #refuseOwn(value: object, depth: number, what: string): void {
    const isData = Reflect.ownKeys(value).some(
      (key) => !REPLACED.has(key) || typeof Reflect.get(value, key) !== "function",
    );
    if (isData) throw this.#unsupported(depth, `is ${what} with members of its own`);
  }

  #unsupported(depth: number, problem: string): UnsupportedValue {
    return new UnsupportedValue(`${this.#where(depth)} ${problem}`);
  }

  #where(depth: number): string {
    const steps = this.#path
      .slice(0, depth)
      .map((key) =>
        typeof key === "number"
          ? `[${key}]`
          : /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(key)
            ? `.${key}`
            : `[${quote(key)}]`,
      );
    const shown = steps.length <= 16 ? steps : [...steps.slice(0, 8), "…", ...steps.slice(-8)];
    return `${this.#name}${shown.join("")}`;
  }
}

/** Returns a key as a message may show it: keys are structure, but a long one may be content. */
function quote(key: string): string {
  return JSON.stringify(key.length <= 64 ? key : `${key.slice(0, 64)}…`);
}

type Kind = "array" | "object" | "date" | "map" | "set" | "bytes" | "buffer";

const KINDS = new Map<object, Kind>([
  [Object.prototype, "object"],
  [Array.prototype, "array"],
  [Date.prototype, "date"],
  [Map.prototype, "map"],
  [Set.prototype, "set"],
  [Uint8Array.prototype, "bytes"],
  [Buffer.prototype, "buffer"],
]);

/** Kinds by the name of the built-in class, for values of other realms. (There is one Buffer for all.) */
const KINDS_BY_NAME = new Map<string, Kind>([
  ["Array", "array"],
  ["Date", "date"],
  ["Map", "map"],
  ["Set", "set"],
  ["Uint8Array", "bytes"],
]);

/**
 * Methods that a library replaces on a value itself, which say nothing of its data: Immer and Mutative make a frozen Map or
 * Set throw when it is changed, and fake timers let a Date name its class.
 */
const REPLACED: ReadonlySet<PropertyKey> = new Set(["add", "clear", "constructor", "delete", "set"]);

/** Tells the kind of a value by its prototype, so that a class instance is never taken for data. */
function kindOf(value: object): Kind | undefined {
  const prototype: object | null = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return "object";
  const kind = KINDS.get(prototype) ?? foreignKindOf(value, prototype);
  return kind !== undefined && hasSlots(value, kind) ? kind : undefined;
}

/**
 * Tells the kind of a value of another realm (vm contexts, test runners, windows), whose built-in classes are not ours; and of
 * a date that was made under fake timers, whose class replaces the built-in one and calls itself by its name.
 */
function foreignKindOf(value: object, prototype: object): Kind | undefined {
  if (Object.getPrototypeOf(prototype) === null)
    return Object.hasOwn(prototype, "isPrototypeOf") ? "object" : undefined;
  const maker: unknown = Reflect.get(value, "constructor");
  if (typeof maker !== "function") return undefined;
  const isOfMaker = maker.prototype === prototype || Object.hasOwn(value, "constructor");
  // The source of a function cannot be forged: no class of a program has that of a built-in one.
  const [, name = ""] = BUILT_IN_SOURCE.exec(Function.prototype.toString.call(maker)) ?? [];
  return isOfMaker ? KINDS_BY_NAME.get(name) : undefined;
}

const BUILT_IN_SOURCE = /^function (\w+)\(\) \{\s*\[native code\]\s*\}$/;

/** Returns whether a value is what its prototype says: `Object.create(Date.prototype)` is not a Date. */
function hasSlots(value: object, kind: Kind): boolean {
  switch (kind) {
    case "array":
      return Array.isArray(value);
    case "date":
      return isDate(value);
    case "map":
      return isMap(value);
    case "set":
      return isSet(value);
    case "bytes":
    case "buffer":
      return isUint8Array(value);
    default:
      return true;
  }
}

function className(value: object): string {
  const maker: unknown = Reflect.get(value, "constructor");
  const name = typeof maker === "function" ? maker.name : "";
  return /^[A-Za-z_$][\w$]{0,63}$/.test(name) ? `an instance of ${name}` : "an instance of a class";
}

/** Sets an own member, also one called `__proto__`. */
function define(object: PlainObject, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}

function untag(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(untag);
  const object = value as PlainObject;
  if (Object.hasOwn(object, "$")) return untagOne(object);
  return untagMembers(object, {});
}

function untagMembers(object: PlainObject, into: PlainObject): PlainObject {
  for (const key of Object.keys(object)) {
    if (key.startsWith("$") && !key.startsWith("$$")) throw new MalformedText("a key that is not escaped");
    define(into, key.startsWith("$$") ? key.slice(1) : key, untag(object[key]));
  }
  return into;
}

function untagOne(object: PlainObject): unknown {
  const content = object["$"];
  if (!Array.isArray(content) || Object.keys(object).length !== 1) throw new MalformedText("a tag of no known shape");
  const [tag, first, second] = content as unknown[];
  switch (tag) {
    case "undefined":
      return undefined;
    case "number":
      if (first === "-0") return -0;
      if (first === "NaN") return Number.NaN;
      if (first === "Infinity") return Number.POSITIVE_INFINITY;
      if (first === "-Infinity") return Number.NEGATIVE_INFINITY;
      break;
    case "bigint":
      if (typeof first === "string" && /^-?\d+$/.test(first)) return BigInt(first);
      break;
    case "date":
      if (first === null) return new Date(Number.NaN);
      if (typeof first === "number") return new Date(first);
      break;
    case "map":
      if (Array.isArray(first) && first.length % 2 === 0) {
        const map = new Map<unknown, unknown>();
        for (let at = 0; at < first.length; at += 2) map.set(untag(first[at]), untag(first[at + 1]));
        return map;
      }
      break;
    case "set":
      if (Array.isArray(first)) return new Set(first.map(untag));
      break;
    case "bytes":
      if (typeof first === "string") return new Uint8Array(Buffer.from(first, "base64"));
      break;
    case "buffer":
      if (typeof first === "string") return Buffer.from(first, "base64");
      break;
    case "sparse":
      if (isArrayLength(first) && Array.isArray(second) && second.length % 2 === 0) {
        const array: unknown[] = [];
        array.length = first;
        for (let at = 0; at < second.length; at += 2) {
          const index = second[at] as unknown;
          if (!isArrayLength(index) || index >= first) throw new MalformedText("an element outside of its array");
          array[index] = untag(second[at + 1]);
        }
        return array;
      }
      break;
    case "null-prototype":
      if (typeof first === "object" && first !== null && !Array.isArray(first)) {
        return untagMembers(first as PlainObject, Object.create(null) as PlainObject);
      }
      break;
  }
  throw new MalformedText("a tag that is not known");
}

function isArrayLength(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
