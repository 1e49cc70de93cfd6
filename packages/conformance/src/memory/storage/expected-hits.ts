import type { Item, Language, MemorySearch } from "@waymark/core/memory";
import {
  type Analysis,
  analyze,
  candidates,
  contribution,
  cosine,
  fuse,
  lengthNorm,
  queryTerms,
  SCALE,
  termWeights,
} from "@waymark/core/memory/kit";

/** An item that was added, and its vector. */
export interface AddedItem {
  readonly item: Item;
  readonly vector: Float32Array | null;
}

/** Items of a collection. */
export interface AddedCollection {
  readonly language: Language;
  readonly items: readonly AddedItem[];
}

export interface ExpectedHit {
  readonly id: string;
  readonly score: number;
  readonly similarity: number | undefined;
  readonly textScore: number | undefined;
}

interface Found extends AddedItem {
  readonly added: AddedItem;
  similarity?: number;
  textScore?: number;
}

/** Answers a search from items in memory, by the words of the contract and core's pure functions: no database takes part. */
export function expectedHits(
  collections: readonly AddedCollection[],
  search: Omit<MemorySearch, "owner" | "collections">,
  isWanted: (item: Item) => boolean = () => true,
): ExpectedHit[] {
  const { text, vector, fusion = { text: 0.5, vector: 0.5 }, minSimilarity = -1, limit = 10 } = search;
  const asked = vector === undefined || vector === null ? null : Float32Array.from(vector);
  const byText: Found[] = [];
  const byVector: Found[] = [];
  for (const { language, items } of collections) {
    const found = new Map<AddedItem, Found>(
      items.filter(({ item }) => isWanted(item)).map((one) => [one, { ...one, added: one }]),
    );
    const most = candidates(limit);
    if (text !== undefined && (fusion === "rrf" || fusion.text > 0)) {
      const scores = scoresOf(items, text, language);
      const scored = [...found].flatMap(([one, hit]) => (scores.has(one) ? hit : []));
      const hits = best(scored, (hit) => scores.get(hit.added) as number).slice(0, most);
      // Only of those: who is not among the candidates by words has no score by them.
      for (const hit of hits) hit.textScore = scores.get(hit.added) as number;
      byText.push(...hits);
    }
    if (asked === null) continue;
    const scored = [...found.values()].flatMap((one) =>
      one.vector === null ? [] : Object.assign(one, { similarity: cosine(one.vector, asked) }),
    );
    if (fusion === "rrf" || fusion.vector > 0 || search.requireVector === true) {
      const near = scored.filter(({ similarity }) => similarity >= minSimilarity);
      byVector.push(...best(near, ({ similarity }) => similarity as number).slice(0, most));
    }
  }
  const all = [...new Set([...byText, ...byVector])].sort((one, other) => one.item.position - other.item.position);
  const side = (hits: readonly Found[], score: (one: Found) => number | undefined) =>
    hits.map((one) => ({ number: all.indexOf(one), score: score(one) as number }));
  const isNear = ({ similarity }: Found) => similarity !== undefined && similarity >= minSimilarity;
  return fuse(
    text === undefined ? null : side(byText, ({ textScore }) => textScore),
    asked === null ? null : side(byVector, ({ similarity }) => similarity),
    fusion,
  )
    .map(({ number, score }) => ({ one: all[number] as Found, score }))
    .filter(({ one }) => search.requireVector !== true || isNear(one))
    .slice(0, limit)
    .map(({ one: { item, similarity, textScore }, score }) => ({
      id: item.id,
      score,
      similarity,
      textScore: textScore === undefined ? undefined : textScore / SCALE,
    }));
}

/** Analyses of items: a corpus is searched many times. */
const analyses = new WeakMap<Item, Analysis>();

function analysisOf({ item }: AddedItem, language: Language): Analysis {
  const known = analyses.get(item);
  if (known !== undefined) return known;
  const made = analyze(item.text, language);
  analyses.set(item, made);
  return made;
}

/** Scores of the items that have any of the words. */
function scoresOf(items: readonly AddedItem[], text: string, language: Language): Map<AddedItem, number> {
  const terms = queryTerms(text, language);
  const counts = new Map(
    terms.map((term) => [term, items.filter((one) => analysisOf(one, language).terms.has(term)).length]),
  );
  const weights = termWeights(counts, items.length);
  const tokens = items.reduce((sum, one) => sum + analysisOf(one, language).length, 0);
  const { base, perToken } = lengthNorm(tokens / Math.max(1, items.length));
  const scores = new Map<AddedItem, number>();
  for (const one of items) {
    const analysis = analysisOf(one, language);
    const parts = [...weights].flatMap(([term, weight]) => {
      const frequency = analysis.terms.get(term);
      return frequency === undefined ? [] : contribution(weight, frequency, analysis.length, base, perToken);
    });
    if (parts.length > 0)
      scores.set(
        one,
        parts.reduce((sum, part) => sum + part, 0),
      );
  }
  return scores;
}

function best(found: readonly Found[], score: (one: Found) => number): Found[] {
  return [...found].sort((one, other) => score(other) - score(one) || other.item.position - one.item.position);
}
