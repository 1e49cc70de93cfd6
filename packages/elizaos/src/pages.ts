/** Sizes of what is read at once. */

/** Limit of a list that has none. */
export const ALL = 2 ** 31 - 1;

/** The most values of a list in a filter. */
const PIECE = 10_000;

/** Splits values into lists that filters take, each value once. */
export function inPieces<Value>(values: readonly Value[]): Value[][] {
  const different = [...new Set(values)];
  const pieces = Math.ceil(different.length / PIECE);
  return Array.from({ length: pieces }, (_, at) => different.slice(at * PIECE, (at + 1) * PIECE));
}
