/**
 * Ranking: BM25 of terms, and the fusion of two lists of hits into one.
 *
 * The database adds up the scores of items, and several databases must do so to the last digit alike. Sums of doubles depend on their
 * order, which a database chooses. So a posting contributes a whole number, {@link contribution}, and sums of whole numbers do not
 * depend on it.
 */

/** BM25's saturation of repeated terms, and the share of an item's length (Robertson & Zaragoza 2009, 3.4): Lucene's defaults. */
const K1 = 1.2;
const B = 0.75;

/**
 * Units of a score of 1. A term's weight is below 50 units of 1 for up to 10^9 items, and a query has 64 terms: sums stay below 2^42, far
 * from 2^53, above which doubles have no whole numbers.
 */
export const SCALE = 2 ** 30;

/**
 * Postings that a search reads at first: those of its rarest terms, as many as this allows, and of the {@link RAREST_TERMS} in any case.
 * Words that are in many items cost most and tell least. In a space of few items nothing is left out: on the abstracts of Cranfield,
 * leaving out the words of more than 5% of them cost a fifth of the nDCG. An answer that is short of hits is looked for again, with
 * {@link MORE_POSTINGS} times as many.
 */
export const MAX_POSTINGS = 20_000;
export const MORE_POSTINGS = 10;
export const RAREST_TERMS = 2;

/**
 * Weights of a query's terms: Lucene's inverse document frequency, `ln(1 + (n - count + 0.5) / (count + 0.5))`, times `(k1 + 1)` and
 * {@link SCALE}, as whole numbers. They are rounded because engines may compute the last digit of a logarithm differently. Terms that no
 * item has are left out, as are the more frequent ones above `maxPostings`.
 *
 * @param counts items of the space that have the term
 * @param n items of the space. It may be a minute old, and smaller than a count
 */
export function termWeights(
  counts: ReadonlyMap<string, number>,
  n: number,
  maxPostings: number = MAX_POSTINGS,
): Map<string, number> {
  const rarestFirst = [...counts]
    .filter(([, count]) => count > 0)
    .sort(([a, countOfA], [b, countOfB]) => countOfA - countOfB || (a < b ? -1 : 1));
  const weights = new Map<string, number>();
  let postings = 0;
  for (const [term, count] of rarestFirst) {
    postings += count;
    if (postings > maxPostings && weights.size >= RAREST_TERMS) break;
    weights.set(term, weightOf(count, n));
  }
  return weights;
}

function weightOf(count: number, n: number): number {
  const idf = Math.log(1 + (Math.max(n, count) - count + 0.5) / (count + 0.5));
  return Math.round(idf * (K1 + 1) * SCALE);
}

/** Constants of {@link contribution} in one space. */
export interface LengthNorm {
  /** Added to a term's frequency in every item: `k1 * (1 - b)`. */
  readonly base: number;
  /** Added for each word of the item: `k1 * b / average`. */
  readonly perToken: number;
}

/** @param average words of an item of the space, on average; it may be a minute old */
export function lengthNorm(average: number): LengthNorm {
  return { base: K1 * (1 - B), perToken: (K1 * B) / Math.max(average, 1) };
}

/**
 * The contribution of a posting to the score of its item: a whole number of units of 1 / {@link SCALE}.
 *
 * Each dialect writes the same formula in SQL, and all of it in doubles: `weight * tf / (tf + base + per_token * length)`. Its operators
 * must be the same, in the same order: product, then quotient; in the divisor first the sum of `tf` and `base`. IEEE 754 leaves no choice
 * then. `weight`, `base` and `per_token` have to reach the database as doubles (`? + 0e0`, `cast(? as double)`, `?::float8`): with a literal
 * such as `0.3` MySQL computes in decimals, and gets one last digit of 15,000 wrong; SQLite drops the rest where it divides whole numbers.
 * No result is negative, so that cutting its fraction off, as a cast does in SQLite, is the same as `floor`. In other databases a cast
 * rounds, and is not.
 */
export function contribution(weight: number, tf: number, length: number, base: number, perToken: number): number {
  return Math.floor((weight * tf) / (tf + base + perToken * length));
}

/** Candidates of each side of a hybrid search, for an answer of `limit` hits. */
export function candidates(limit: number): number {
  return Math.max(50, 4 * limit);
}

/** Vectors that are near by signature and are compared exactly, for an answer of `limit` hits. */
export function nearSignatures(limit: number): number {
  return Math.max(200, 8 * limit);
}

/** How a text's and a vector's hits become one list: by a weighted sum, or by reciprocal ranks. Weights are at least 0, not both 0. */
export type Fusion = { readonly text: number; readonly vector: number } | "rrf";

export const DEFAULT_FUSION: Fusion = { text: 0.5, vector: 0.5 };

/** Constant of reciprocal rank fusion: https://plg.uwaterloo.ca/~gvcormac/cormacksigir09-rrf.pdf */
const RRF_K = 60;

/** A candidate: an item by its number in the space, and a score of any range. */
export interface Candidate {
  readonly number: number;
  readonly score: number;
}

export interface FusedHit {
  readonly number: number;
  /** From 0 to 1; comparable within one answer only. */
  readonly score: number;
}

/**
 * Joins the candidates of text and vector, best first, of equally good ones the higher number first. `null`: the search did not ask for
 * that side. A side of weight 0 adds no hits.
 *
 * - Weights: the scores of each side are stretched to 0..1 (min-max), and their weighted mean is taken. An item that is on one
 *   side only has 0 on the other. A side whose scores are all equal has 1 for each.
 * - `rrf`: 1 / (60 + rank) of both sides, relative to the first rank on each side that was asked.
 */
export function fuse(
  textHits: readonly Candidate[] | null,
  vectorHits: readonly Candidate[] | null,
  fusion: Fusion,
): FusedHit[] {
  const weights = fusion === "rrf" ? { text: 1, vector: 1 } : fusion;
  const sides = [
    { hits: textHits, weight: weights.text },
    { hits: vectorHits, weight: weights.vector },
  ].flatMap(({ hits, weight }) => (hits !== null && weight > 0 ? [{ hits, weight }] : []));
  const total = sides.reduce((sum, { weight }) => sum + weight, 0);

  const scores = new Map<number, number>();
  for (const { hits, weight } of sides) {
    const shares = fusion === "rrf" ? reciprocalRanks(hits) : stretched(hits);
    for (const { number, score } of shares) scores.set(number, (scores.get(number) ?? 0) + (weight / total) * score);
  }
  return [...scores].map(([number, score]) => ({ number, score: Math.min(score, 1) })).sort(byScore);
}

function stretched(hits: readonly Candidate[]): Candidate[] {
  let best = Number.NEGATIVE_INFINITY;
  let worst = Number.POSITIVE_INFINITY;
  for (const { score } of hits) {
    best = Math.max(best, score);
    worst = Math.min(worst, score);
  }
  return hits.map(({ number, score }) => ({ number, score: best > worst ? (score - worst) / (best - worst) : 1 }));
}

function reciprocalRanks(hits: readonly Candidate[]): Candidate[] {
  return [...hits].sort(byScore).map(({ number }, rank) => ({ number, score: (RRF_K + 1) / (RRF_K + 1 + rank) }));
}

/** Order of candidates: the best first, of equally good ones the newest item. */
export function byScore(a: Candidate, b: Candidate): number {
  return b.score - a.score || b.number - a.number;
}
