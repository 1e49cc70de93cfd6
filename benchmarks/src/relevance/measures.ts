/** Share of the relevant items that are among the first `k` found. */
export function recall(found: readonly number[], relevant: ReadonlySet<number>, k: number): number {
  return found.slice(0, k).filter((item) => relevant.has(item)).length / relevant.size;
}

/**
 * Normalised discounted cumulative gain of the first `k` found, with relevance of 0 or 1: how high the relevant items stand, relative to an
 * answer that begins with all of them.
 */
export function ndcg(found: readonly number[], relevant: ReadonlySet<number>, k: number): number {
  const discount = (rank: number) => 1 / Math.log2(rank + 2);
  const total = (ranks: readonly number[]) => ranks.reduce((sum, rank) => sum + discount(rank), 0);
  const gained = found.slice(0, k).flatMap((item, rank) => (relevant.has(item) ? [rank] : []));
  return total(gained) / total([...Array(Math.min(k, relevant.size)).keys()]);
}
