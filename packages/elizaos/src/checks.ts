import { invalidArgument } from "@waymark/core/records";
import type { UUID } from "./contract.ts";

/** Checks of arguments that several repositories make. */

const UUID_TEXT = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Checks a UUID of any version, and returns it in lower case. */
export function checkUuid(field: string, value: unknown): UUID {
  const id = typeof value === "string" ? value.toLowerCase() : "";
  if (!UUID_TEXT.test(id)) throw invalidArgument(field, "a UUID", value);
  return id as UUID;
}

/** Checks a UUID that need not be given: `undefined`, `null` and the empty string, which ElizaOS returns for one, are none. */
export function optionalUuid(field: string, value: unknown): UUID | null {
  return value === undefined || value === null || value === "" ? null : checkUuid(field, value);
}

export function checkUuids(field: string, values: unknown): UUID[] {
  return checkList(field, values).map((value, at) => checkUuid(`${field}[${at}]`, value));
}

export function checkList<Item>(field: string, value: readonly Item[]): readonly Item[];
export function checkList(field: string, value: unknown): readonly unknown[];
export function checkList(field: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidArgument(field, "an array", value);
  return value;
}

export function checkObject<Given extends object>(field: string, value: Given): Given {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalidArgument(field, "an object", value);
  return value;
}

export function checkString(field: string, value: unknown): string {
  if (typeof value !== "string") throw invalidArgument(field, "a string", value);
  return value;
}

/** Checks a list of labels. None is given: an empty list. */
export function checkLabels(field: string, value: unknown): string[] {
  return checkList(field, value ?? []).map((label, at) => checkString(`${field}[${at}]`, label));
}

/** Applies a check to a value that is given. `undefined`, which an update leaves as it is, stays `undefined`. */
export function ifGiven<Value, Result>(value: Value | undefined, check: (value: Value) => Result): Result | undefined {
  return value === undefined ? undefined : check(value);
}

/** Leaves out members that are `undefined`. */
export function givenMembers<Members extends object>(
  members: Members,
): { [Name in keyof Members]?: Exclude<Members[Name], undefined> } {
  const given = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof Members]?: Exclude<Members[Name], undefined> };
}

/** The first and the last millisecond of a `Date`. */
const LAST_TIME = 8.64e15;

/** Checks a time, in milliseconds or as a `Date`. */
export function checkTime(field: string, value: unknown): number {
  const time = Math.trunc(value instanceof Date ? value.getTime() : typeof value === "number" ? value : Number.NaN);
  if (!(Math.abs(time) <= LAST_TIME)) throw invalidArgument(field, "milliseconds since 1970-01-01 UTC", value);
  return time;
}
