import { NearestSignatures } from "@waymark/core/kit";
import {
  analyze,
  type Candidate,
  candidates,
  contribution,
  cosine,
  fuse,
  type Language,
  lengthNorm,
  nearSignatures,
  queryTerms,
  signatureBytes,
  signatureOf,
  termWeights,
} from "@waymark/core/memory/kit";
import type { SearchedItem, Searcher } from "./searcher.ts";

interface Posting {
  readonly item: number;
  readonly tf: number;
  readonly length: number;
}

/** The analyzer, the signatures and the ranking of core, without a database: postings and vectors are in the process. */
export function openInMemory(language: Language, dimensions: number): Searcher {
  const postings = new Map<string, Posting[]>();
  const vectors: Float32Array[] = [];
  const bytes = signatureBytes(dimensions);
  let signatures = new Uint8Array(0);
  let words = 0;

  return {
    title: `in memory, language "${language}"`,

    async add(items: readonly SearchedItem[]): Promise<void> {
      const longer = new Uint8Array((vectors.length + items.length) * bytes);
      longer.set(signatures);
      signatures = longer;
      for (const { text, vector } of items) {
        const item = vectors.push(vector) - 1;
        signatures.set(signatureOf(vector), item * bytes);
        const { terms, length } = analyze(text, language);
        words += length;
        for (const [term, tf] of terms) {
          const list = postings.get(term);
          if (list === undefined) postings.set(term, [{ item, tf, length }]);
          else list.push({ item, tf, length });
        }
      }
    },

    async search({ text, vector, fusion, limit, compared }): Promise<number[]> {
      const hits = fuse(
        text === null ? null : byText(text, candidates(limit)),
        vector === null ? null : byVector(vector, compared ?? nearSignatures(limit), candidates(limit)),
        fusion,
      );
      return hits.slice(0, limit).map(({ number }) => number);
    },

    close: async () => {},
  };

  function byText(text: string, limit: number): Candidate[] {
    const counts = new Map(queryTerms(text, language).map((term) => [term, postings.get(term)?.length ?? 0]));
    const { base, perToken } = lengthNorm(words / vectors.length);
    const scores = new Map<number, number>();
    for (const [term, weight] of termWeights(counts, vectors.length)) {
      for (const { item, tf, length } of postings.get(term) ?? []) {
        scores.set(item, (scores.get(item) ?? 0) + contribution(weight, tf, length, base, perToken));
      }
    }
    return best([...scores], limit);
  }

  function byVector(vector: Float32Array, compared: number, limit: number): Candidate[] {
    const near = new NearestSignatures(signatureOf(vector), compared);
    near.add([...vectors.keys()], signatures);
    return best(
      near.numbers().map((item): [number, number] => [item, cosine(vector, vectors[item] as Float32Array)]),
      limit,
    );
  }
}

function best(scores: readonly (readonly [number: number, score: number])[], limit: number): Candidate[] {
  return scores
    .map(([number, score]) => ({ number, score }))
    .sort((a, b) => b.score - a.score || b.number - a.number)
    .slice(0, limit);
}
