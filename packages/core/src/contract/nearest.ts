/** Returns the name that a mistyped one was most likely meant to be: at most a third of it differs. `null`: none is near. */
export function nearest(typed: string, names: Iterable<string>): string | null {
  let best: string | null = null;
  let fewest = Math.min(3, Math.ceil(typed.length / 3)) + 1;
  for (const name of names) {
    const changes = distance(typed.toLowerCase(), name.toLowerCase());
    if (changes >= fewest) continue;
    [best, fewest] = [name, changes];
  }
  return best;
}

/** Counts the characters to insert, remove, replace or swap with their neighbour (https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance). */
function distance(one: string, other: string): number {
  let [before, last] = [[] as number[], Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let at = 1; at <= one.length; at++) {
    const row = [at];
    for (let to = 1; to <= other.length; to++) {
      const same = one[at - 1] === other[to - 1];
      let changes = Math.min(
        (row[to - 1] as number) + 1,
        (last[to] as number) + 1,
        (last[to - 1] as number) + (same ? 0 : 1),
      );
      if (at > 1 && to > 1 && one[at - 1] === other[to - 2] && one[at - 2] === other[to - 1]) {
        changes = Math.min(changes, (before[to - 2] as number) + 1);
      }
      row.push(changes);
    }
    [before, last] = [last, row];
  }
  return last[other.length] as number;
}
