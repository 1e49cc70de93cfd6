import { CheckpointError, invalidArgument, invalidWord, quoted } from "./errors.ts";
import { nearest } from "./nearest.ts";

/**
 * Checks of single values, for arguments and options. Each error names the field, what was expected and what was received: the
 * value if it should be a number, a boolean, a word of a fixed set or a name, else its type, since it may be a secret.
 */

/** Options with their defaults: all are given. */
export type Given<Options> = { readonly [Name in keyof Options]-?: Exclude<Options[Name], undefined> };

export type ObjectWithKeys<Name extends string> = { readonly [member in Name]?: unknown };

/** The longest key that may be a typing error. */
const MAX_NAME = 64;

/** Checks that an argument is an object without unknown keys: an unknown key is most likely a typing error. */
export function objectWithKeys<const Name extends string>(
  field: string,
  value: unknown,
  names: readonly Name[],
): ObjectWithKeys<Name> {
  const object = plainObject(field, value);
  for (const key of Reflect.ownKeys(object)) {
    if ((names as readonly PropertyKey[]).includes(key)) continue;
    const near = typeof key === "symbol" || key.length > MAX_NAME ? null : nearest(key, names);
    const shown = typeof key === "symbol" ? "a symbol" : quoted(key);
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      `expected ${field} to have the members ${names.join(", ")}, got ${shown}${near === null ? "" : `: did you mean ${near}?`}`,
    );
  }
  return object as ObjectWithKeys<Name>;
}

/**
 * Refuses members that are there and undefined, where that would drop a guard or a filter in silence: most likely the caller
 * expected a value. Absent, they mean what their documentation says.
 */
export function refuseUndefined<const Name extends string>(
  field: string,
  object: ObjectWithKeys<Name>,
  names: readonly Name[],
  expected = "given, or left out",
): void {
  for (const name of names) {
    if (object[name] === undefined && Object.hasOwn(object, name)) {
      throw invalidArgument(`${field}.${name}`, expected, undefined);
    }
  }
}

export function plainObject(field: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalidArgument(field, "an object", value);
  return value as Record<string, unknown>;
}

/** Returns whether a value is no instance of a class. One of another realm (vm contexts, test runners) has another prototype. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (typeof prototype !== "object" || prototype === null) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf");
}

export function string(field: string, value: unknown): string {
  if (typeof value !== "string") throw invalidArgument(field, "a string", value);
  return value;
}

/** Checks text that every database stores as it is: PostgreSQL takes no NUL, and drivers turn lone surrogates into U+FFFD. */
export function checkText(field: string, value: unknown, minBytes: number, maxBytes: number): string {
  const checked = string(field, value);
  const bytes = Buffer.byteLength(checked);
  if (bytes < minBytes || bytes > maxBytes) {
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      `expected ${field} to be ${minBytes} to ${maxBytes} bytes of UTF-8, got ${bytes}`,
    );
  }
  if (checked.includes("\0")) throw invalidArgument(field, "text without NUL characters", value);
  if (!checked.isWellFormed()) throw invalidArgument(field, "text without lone surrogates", value);
  return checked;
}

export function integer(field: string, value: unknown, min: number, max: number, unit: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw invalidWord(field, `a whole number from ${min} to ${max} (${unit})`, value);
  }
  return value === 0 ? 0 : value; // -0 is no other time than 0
}

export function boolean(field: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw invalidWord(field, "a boolean", value);
  return value;
}

export function oneOf<const Choice extends string>(field: string, value: unknown, choices: readonly Choice[]): Choice {
  if ((choices as readonly unknown[]).includes(value)) return value as Choice;
  throw invalidWord(field, choices.map((choice) => JSON.stringify(choice)).join(" or "), value);
}

/** Checks a name that becomes an SQL identifier: it needs no quoting, though it is quoted all the same. */
export function identifier(field: string, value: unknown, maxLength: number): string {
  const name = string(field, value);
  if (name.length <= maxLength && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return name;
  throw invalidWord(field, `1 to ${maxLength} letters, digits and _, not starting with a digit`, value);
}
