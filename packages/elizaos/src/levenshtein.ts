import { setImmediate as turn } from "node:timers/promises";

/** Cells of the matrix that are computed without a turn of the event loop: a few milliseconds. */
const CELLS_AT_ONCE = 500_000;

/**
 * Returns the Levenshtein distance of two texts, given as their code points; `null`: it is above a bound. Only cells of the matrix that are
 * within the bound of its diagonal are computed (Ukkonen 1985). The event loop turns meanwhile.
 */
export async function distanceWithin(
  one: readonly string[],
  other: readonly string[],
  bound: number,
): Promise<number | null> {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one];
  if (long.length - short.length > bound) return null;
  let start = 0;
  let [shortEnd, longEnd] = [short.length, long.length];
  while (start < shortEnd && short[start] === long[start]) start++;
  while (shortEnd > start && short[shortEnd - 1] === long[longEnd - 1]) {
    shortEnd--;
    longEnd--;
  }
  return await inBand(short.slice(start, shortEnd), long.slice(start, longEnd), bound);
}

/** As {@link distanceWithin}, of texts that begin and end differently. `short` is no longer than `long`. */
async function inBand(short: readonly string[], long: readonly string[], bound: number): Promise<number | null> {
  const width = Math.min(bound, long.length);
  const beyond = width + 1;
  let before = Float64Array.from({ length: short.length + 1 }, (_, at) => Math.min(at, beyond));
  let current = new Float64Array(short.length + 1);
  let left = CELLS_AT_ONCE;
  for (let row = 1; row <= long.length; row++) {
    const first = Math.max(1, row - width);
    const last = Math.min(short.length, row + width);
    left -= last - first;
    if (left < 0) {
      await turn();
      left = CELLS_AT_ONCE;
    }
    current[first - 1] = first === 1 ? Math.min(row, beyond) : beyond;
    let least = current[first - 1] as number;
    for (let at = first; at <= last; at++) {
      const replaced = (before[at - 1] as number) + (long[row - 1] === short[at - 1] ? 0 : 1);
      const cell = Math.min(replaced, (before[at] as number) + 1, (current[at - 1] as number) + 1, beyond);
      current[at] = cell;
      least = Math.min(least, cell);
    }
    if (last < short.length) current[last + 1] = beyond;
    if (least > width) return null;
    [before, current] = [current, before];
  }
  const distance = before[short.length] as number;
  return distance > width ? null : distance;
}
