import { types } from "node:util";
import { DeltaSnapshot } from "@langchain/langgraph-checkpoint";
import { CheckpointError } from "@waymark/core";
import { formatPath } from "@waymark/core/kit";

/** As a state may have in all. */
const MAX_LEVELS = 1_000;

/** A value as data, and about as many bytes as its text has. */
interface Encoded {
  readonly data: unknown;
  readonly bytes: number;
}

/**
 * Encodes a value as the data of the JSON that LangGraph's serializer writes for it. There are two differences: a bigint stays
 * one, and nothing is replaced by a text that says what could not be written. As in JSON, members that are functions without a
 * `toJSON`, or symbols, are left out.
 *
 * `earlier`: the data of the value before this one. Parts that are equal are taken from it, and all others are frozen
 * (structural sharing): a storage recognizes frozen objects that it had before, and neither encodes nor compares them again.
 * @throws CheckpointError `UNSUPPORTED_VALUE`, with the path, for a cycle, a `toJSON` or getter that throws, and a value that is
 *   a function or symbol itself
 */
export function encode(field: string, value: unknown, earlier?: unknown): Encoded {
  const encoding = new Encoding();
  const problem = (text: string) => new CheckpointError("UNSUPPORTED_VALUE", `${field}${encoding.path()} ${text}`);
  try {
    const data = encoding.encode(value, "", earlier);
    if (data === LEFT_OUT) {
      const what =
        typeof value === "object" ? "has a toJSON that returns a function or symbol" : `is a ${typeof value}`;
      throw problem(`${what}, which cannot be stored`);
    }
    return { data, bytes: encoding.bytes };
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    // An error of the value's own methods may hold the caller's data.
    throw problem(error instanceof Refusal ? error.message : "threw an error while it was read");
  }
}

/** The message follows the path. */
class Refusal extends Error {}

/** A member that JSON leaves out. */
const LEFT_OUT = Symbol("left out");

/** The key under which LangChain's objects have data of the user's that looks like one of them. */
const ESCAPED = "__lc_escaped__";

type Data = Record<string, unknown>;

/** One value under way. */
class Encoding {
  bytes = 0;
  readonly #path: (string | number)[] = [];
  readonly #ancestors: unknown[] = [];
  /** Number of LangChain's objects around the current position. */
  #objects = 0;

  /** The path to the current position. */
  path(): string {
    return formatPath(this.#path);
  }

  /** The order is that of `JSON.stringify`: `toJSON`, the serializer's replacer, then the members of what these return. */
  encode(original: unknown, key: string | number, earlier: unknown): unknown {
    this.bytes += 8;
    const json = ownJson(original, key);
    const value = replace(unboxed(json));
    switch (typeof value) {
      case "string":
        this.bytes += value.length;
        return value;
      case "number":
        return Number.isFinite(value) ? value + 0 : null; // and no -0
      case "boolean":
      case "bigint":
        return value;
      case "object":
        break;
      default:
        return LEFT_OUT;
    }
    if (value === null) return null;
    // The original: a `toJSON` and the replacer return another object each time.
    if (this.#ancestors.includes(original)) throw new Refusal("is a cycle: it contains itself");
    if (this.#ancestors.length === MAX_LEVELS) throw new Refusal(`is nested deeper than ${MAX_LEVELS} levels`);
    const { lc, type } = value as Data;
    const around = this.#objects;
    const isObject = json !== original && lc === 1;
    this.#objects = (key === ESCAPED ? 0 : around) + (isObject ? 1 : 0);
    // LangChain writes this for what it cannot write, also within a message. (Data of the user's with such keys is escaped there.)
    if (lc === 1 && type === "not_implemented" && this.#objects > 0) {
      throw new Refusal("is what LangChain cannot serialize: an object of a class, or one that contains itself");
    }
    this.#ancestors.push(original);
    const data = Array.isArray(value) ? this.#encodeArray(value, earlier) : this.#encodeObject(value as Data, earlier);
    this.#ancestors.pop();
    this.#objects = around;
    return data;
  }

  #encodeArray(array: readonly unknown[], earlier: unknown): unknown {
    const before: readonly unknown[] | undefined = Array.isArray(earlier) ? earlier : undefined;
    const elements: unknown[] = [];
    let isEqual = before?.length === array.length;
    for (let at = 0; at < array.length; at++) {
      this.#path.push(at);
      const element = this.encode(array[at], at, before?.[at]);
      this.#path.pop();
      elements.push(element === LEFT_OUT ? null : element);
      isEqual &&= Object.is(elements[at], before?.[at]);
    }
    return isEqual ? before : Object.freeze(elements);
  }

  #encodeObject(object: Data, earlier: unknown): unknown {
    const before = typeof earlier === "object" && !Array.isArray(earlier) ? (earlier as Data | null) : null;
    const keysBefore = before === null ? [] : Object.keys(before);
    const data: Data = {};
    let count = 0;
    let isEqual = before !== null;
    for (const key of Object.keys(object)) {
      this.#path.push(key);
      const memberBefore = before !== null && Object.hasOwn(before, key) ? before[key] : undefined;
      const member = this.encode(object[key], key, memberBefore);
      this.#path.pop();
      if (member === LEFT_OUT) continue;
      this.bytes += key.length;
      define(data, key, member);
      isEqual &&= key === keysBefore[count] && Object.is(member, memberBefore);
      count += 1;
    }
    return isEqual && count === keysBefore.length ? before : Object.freeze(data);
  }
}

/** Types of values whose `toJSON` JSON calls. */
const MAY_HAVE_TO_JSON: ReadonlySet<string> = new Set(["object", "function", "bigint"]);

function ownJson(value: unknown, key: string | number): unknown {
  if (value === null || !MAY_HAVE_TO_JSON.has(typeof value)) return value;
  const { toJSON } = value as { toJSON?: unknown };
  return typeof toJSON === "function" ? (toJSON.call(value, String(key)) as unknown) : value;
}

function unboxed(value: unknown): unknown {
  return types.isBoxedPrimitive(value) && !(value instanceof Symbol) ? (value as object).valueOf() : value;
}

/** LangGraph's records of values that JSON lacks, as its serializer's replacer makes them. */
function replace(value: unknown): unknown {
  if (value === undefined) return { lc: 2, type: "undefined" };
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return value;
  if (value instanceof DeltaSnapshot) return { lc: 2, type: "delta_snapshot", value: value.value };
  if (value instanceof Set || value instanceof Map) return record(value.constructor.name, null, [Array.from(value)]);
  if (value instanceof RegExp) return record("RegExp", null, [value.source, value.flags]);
  if (value instanceof Error) return record("Error", null, [value.message]);
  if ((value as Data)["lg_name"] === "Send") {
    const { node, args, timeout } = value as Data;
    return { node, args, ...(timeout === undefined ? {} : { timeout }) };
  }
  if (value instanceof Uint8Array) return record("Uint8Array", "from", [Array.from(value)]);
  return value;
}

function record(name: string, method: string | null, args: readonly unknown[]): Data {
  return { lc: 2, type: "constructor", id: [name], method, args, kwargs: {} };
}

/** Sets an own member, also one called `__proto__`. */
function define(data: Data, key: string, value: unknown): void {
  if (key !== "__proto__") data[key] = value;
  else Object.defineProperty(data, key, { value, enumerable: true, configurable: true, writable: true });
}
