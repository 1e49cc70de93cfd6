import { invalidArgument } from "@waymark/core/records";

/** Times of rows, and the order that lists have by them. */

/** The first and the last millisecond of a `Date`. */
const LAST_TIME = 8.64e15;

/** Checks a time, in milliseconds or as a `Date`. */
export function checkTime(field: string, value: unknown): number {
  const time = Math.trunc(value instanceof Date ? value.getTime() : typeof value === "number" ? value : Number.NaN);
  if (!(Math.abs(time) <= LAST_TIME)) throw invalidArgument(field, "milliseconds since 1970-01-01 UTC", value);
  return time;
}

/** Order of lists of memories and logs. */
export const NEWEST_FIRST = [
  ["createdAt", "desc"],
  ["id", "desc"],
] as const;

interface Timed {
  readonly createdAt: number;
  readonly id: string;
}

/** Compares rows as {@link NEWEST_FIRST} orders them. */
export function newestFirst(one: Timed, other: Timed): number {
  return other.createdAt - one.createdAt || (one.id < other.id ? 1 : -1);
}
