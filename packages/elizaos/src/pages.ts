/** Sizes and orders of what is read at once. */

/** Limit of a list that has none. */
export const ALL = 2 ** 31 - 1;

/** Order of lists that have no other: oldest first. */
export const BY_AGE = [
  ["createdAt", "asc"],
  ["id", "asc"],
] as const;

interface Aged {
  readonly createdAt: number;
  readonly id: string;
}

/** Compares rows as {@link BY_AGE} does, where several statements have read them. */
export function compareAge(one: Aged, other: Aged): number {
  return one.createdAt - other.createdAt || (one.id < other.id ? -1 : Number(one.id > other.id));
}

/** The most values of a list in a filter. */
const PIECE = 10_000;

/** Splits values into lists that filters take, each value once. */
export function inPieces<Value>(values: readonly Value[]): Value[][] {
  const different = [...new Set(values)];
  const pieces = Math.ceil(different.length / PIECE);
  return Array.from({ length: pieces }, (_, at) => different.slice(at * PIECE, (at + 1) * PIECE));
}
