/** Joins two lists by reciprocal ranks, as most write it who join them by hand. */
export function joinRanks<Row extends { readonly id: number | string }>(
  texts: readonly Row[],
  vectors: readonly Row[],
  limit: number,
): Row[] {
  const scores = new Map<number | string, { row: Row; score: number }>();
  for (const side of [texts, vectors]) {
    for (const [rank, row] of side.entries()) {
      const one = scores.get(row.id) ?? { row, score: 0 };
      one.score += 1 / (61 + rank);
      scores.set(row.id, one);
    }
  }
  const best = [...scores.values()].sort((one, other) => other.score - one.score);
  return best.slice(0, limit).map(({ row }) => row);
}
