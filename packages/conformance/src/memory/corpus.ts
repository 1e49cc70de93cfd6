import { insertRecords, type Records } from "@waymark/core/kit";
import { ITEMS, type ItemRow, NEVER, SIGNATURES, TERMS, type TermRow, VECTORS } from "@waymark/core/memory/kit";
import { newItem, newSignature, newTerm, newVector, numbers, pick, randomFrom, signal } from "./rows.ts";

/** More than any page that a dialect reads. */
const ITEM_COUNT = 4_160;

export const DIMENSIONS = 64;

/** A space with many items, which tests only read. */
export interface Corpus {
  readonly space: number;
  readonly items: readonly ItemRow[];
  readonly vectors: ReadonlyMap<number, Float32Array>;
  readonly postings: readonly TermRow[];
  /** All its terms, the most frequent first. */
  readonly vocabulary: readonly string[];
}

/** Inserts a corpus. Numbers go up to 2^53 - 1. */
export async function insertCorpus(records: Records, space: number): Promise<Corpus> {
  const random = randomFrom(7);
  const vocabulary = numbers(1, 80).map((at) =>
    at % 9 === 0 ? [..."é漢😀".repeat(7)].slice(0, at / 9).join("") : `term${at}`,
  );
  const all = numbers(1, ITEM_COUNT).map((at) => Number.MAX_SAFE_INTEGER - (ITEM_COUNT - at) * 1_000_003);
  const items = all.map((number, at) =>
    newItem(space, number, {
      thread: `thread ${Math.floor(random() * 20)}`,
      role: pick(["user", "assistant", "User", null], random),
      importance: random(),
      createdAt: at,
      expiresAt: random() < 0.1 ? at : NEVER,
      metadata: pick([null, "\ntopic=a\n", "\ntopic=A\n", "\nlanguage=en\ntopic=a\n"], random),
    }),
  );
  const vectors = new Map(all.map((number) => [number, signs(DIMENSIONS, random)]));
  const postings = all.flatMap((number) => {
    const length = 1 + Math.floor(random() * 300);
    const terms = new Set(
      numbers(1, Math.floor(random() * 5)).map(() => Math.floor(vocabulary.length * random() ** 2)),
    );
    return [...terms].map((at) =>
      newTerm(space, vocabulary[at] as string, number, 1 + Math.floor(random() ** 3 * 9), length),
    );
  });
  await records.change(
    [
      insertRecords(ITEMS, items),
      insertRecords(
        VECTORS,
        [...vectors].map(([number, vector]) => newVector(space, number, vector)),
      ),
      insertRecords(
        SIGNATURES,
        [...vectors].map(([number, vector]) => newSignature(space, number, signatureOf(vector))),
      ),
      insertRecords(TERMS, postings),
    ],
    signal,
  );
  return { space, items, vectors, postings, vocabulary };
}

/**
 * Makes a vector of ones with random signs. Their cosine is 1 - 2 * d / n, where d is the number of dimensions with another sign: so the
 * order by cosine and the one by signature are the same, and a dialect may find candidates by either.
 */
export function signs(dimensions: number, random: () => number): Float32Array {
  return Float32Array.from({ length: dimensions }, () => (random() < 0.5 ? -1 : 1));
}

/** The signs of a vector, a bit each. */
export function signatureOf(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(vector.length / 8);
  for (const [at, float] of vector.entries())
    if (float > 0) bytes[at >> 3] = (bytes[at >> 3] as number) | (128 >> (at & 7));
  return bytes;
}

/** Cosine of two vectors, with float64. */
export function cosine(one: Float32Array, other: Float32Array): number {
  let [product, ofOne, ofOther] = [0, 0, 0];
  for (let at = 0; at < one.length; at++) {
    const [a, b] = [one[at] as number, other[at] as number];
    product += a * b;
    ofOne += a * a;
    ofOther += b * b;
  }
  return product / Math.sqrt(ofOne * ofOther);
}
