/** Orders of rows by their age, for statements and for rows that several statements have read. */

/** Order of lists that have no other: oldest first. */
export const BY_AGE = [
  ["createdAt", "asc"],
  ["id", "asc"],
] as const;

/** Order of lists of memories and logs. */
export const NEWEST_FIRST = [
  ["createdAt", "desc"],
  ["id", "desc"],
] as const;

interface Aged {
  readonly createdAt: number;
  readonly id: string;
}

/** Compares rows as {@link BY_AGE} orders them. */
export function compareAge(one: Aged, other: Aged): number {
  return one.createdAt - other.createdAt || (one.id < other.id ? -1 : Number(one.id > other.id));
}

/** Compares rows as {@link NEWEST_FIRST} orders them. */
export function newestFirst(one: Aged, other: Aged): number {
  return compareAge(other, one);
}
