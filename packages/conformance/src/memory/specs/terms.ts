import { insertRecords } from "@waymark/core/kit";
import {
  ITEMS,
  type RowFilter,
  type ScoredNumber,
  TERMS,
  type TermQuery,
  type TermRow,
} from "@waymark/core/memory/kit";
import { beforeAll, describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import type { Corpus } from "../corpus.ts";
import { newItem, newTerm, numbers, randomFrom, selects, signal, TEXTS } from "../rows.ts";

export function describeTerms(bench: MemoryBench): void {
  let corpus: Corpus;
  let selected: (filter: RowFilter | null) => ReadonlySet<number>;
  beforeAll(async () => {
    corpus = await bench.corpus();
    selected = (filter) =>
      new Set(corpus.items.filter((item) => selects(filter ?? {}, item)).map(({ number }) => number));
  });

  const newQuery = (changes: Partial<TermQuery>): TermQuery => {
    return { space: corpus.space, terms: [], base: 0.3, perToken: 0.0123, filter: null, limit: 100, ...changes };
  };
  const expectScores = async (query: TermQuery, postings: readonly TermRow[] = corpus.postings) => {
    const isSelected = query.filter === null ? null : selected(query.filter);
    const wanted = scoresOf(
      query,
      postings.filter(({ number }) => isSelected?.has(number) ?? true),
    );
    expect(await bench.dialect.scoreTerms(query, signal)).toEqual(wanted);
    return wanted;
  };
  /** Weights with all their digits, and some so large that another order of the operations shows in a whole number. */
  const weigh = (terms: readonly string[], random: () => number) =>
    terms.map((term) => ({ term, weight: random() * 10 ** (7 + Math.floor(random() * 9)) }));

  describe("terms", () => {
    it("are counted in their space; those that none has are left out", async () => {
      const counts = new Map<string, number>();
      for (const { term } of corpus.postings) counts.set(term, (counts.get(term) ?? 0) + 1);
      const found = await bench.dialect.countTerms(corpus.space, [...corpus.vocabulary, "none", "TERM1"], signal);
      expect(new Map(found.map(({ term, count }) => [term, count]))).toEqual(counts);
      expect(found).toHaveLength(counts.size);
      expect(await bench.dialect.countTerms(corpus.space, ["term2"], signal)).toEqual([
        { term: "term2", count: counts.get("term2") },
      ]);
      expect(await bench.dialect.countTerms(bench.newSpace(), ["term2"], signal)).toEqual([]);
      expect(await bench.dialect.countTerms(corpus.space, [], signal)).toEqual([]);
    });

    it("have scores that are those of the formula to the last digit, for thousands of postings", async () => {
      const random = randomFrom(15);
      expect(corpus.postings.length).toBeGreaterThan(7_000);
      for (const [count, base, perToken] of [
        [80, 0.3, 0.0123],
        [64, 1.2 * 0.25, (1.2 * 0.75) / 37.3],
        [64, 1.2, 0],
        [33, 1, 1],
        [7, 2, 0.1],
        [3, 0.1, 1 / 3],
        [1, Math.PI, 1e-9],
      ] as const) {
        const terms = weigh(corpus.vocabulary.slice(0, count), random);
        const wanted = await expectScores(newQuery({ terms, base, perToken, limit: 9_999 }));
        expect(wanted.length).toBeGreaterThan(100);
      }
      // Whole numbers are divided as others are.
      await expectScores(
        newQuery({
          terms: numbers(1, 9).map((at) => ({ term: `term${at % 9 || 1}${at}`, weight: 1_000 })),
          base: 1,
          perToken: 1,
        }),
      );
      await expectScores(newQuery({ terms: [{ term: "term1", weight: 7 }], base: 2, perToken: 1, limit: 9_999 }));
    });

    it("order items by their scores, of equal ones by the highest number, up to a limit", async () => {
      const random = randomFrom(16);
      const terms = weigh(corpus.vocabulary.slice(0, 5), random);
      for (const limit of [1, 2, 10, 500]) expect(await expectScores(newQuery({ terms, limit }))).toHaveLength(limit);
      // Few scores, so many ties; and none at all.
      const coarse = terms.map(({ term }) => ({ term, weight: 3 }));
      const scores = await expectScores(newQuery({ terms: coarse, base: 1, perToken: 0, limit: 400 }));
      expect(new Set(scores.map(({ score }) => score)).size).toBeLessThan(15);
      const none = await expectScores(newQuery({ terms: [{ term: "term3", weight: 0.5 }], limit: 9_999 }));
      expect(new Set(none.map(({ score }) => score))).toEqual(new Set([0]));
    });

    it("score the items that a filter selects", async () => {
      const random = randomFrom(17);
      const terms = weigh(corpus.vocabulary.slice(0, 8), random);
      const some = corpus.items.filter((_, at) => at % 5 === 0).map(({ number }) => number);
      const filters: readonly RowFilter[] = [
        { role: "user" },
        { role: null, importance: { below: 0.5 } },
        { thread: "thread 7" },
        { metadata: { contains: ["\ntopic=a\n"] }, createdAt: { from: 1_000, below: 3_000 } },
        { expiresAt: { above: 2_000 } },
        { number: { in: some } },
        { number: { in: [] } },
      ];
      // Without members, as the first query of a client.
      const client = await bench.open();
      const query = newQuery({ terms, filter: {} });
      expect(await client.scoreTerms(query, signal)).toEqual(scoresOf(query, corpus.postings));
      for (const filter of filters) {
        for (const limit of [5, 9_999]) await expectScores(newQuery({ terms, filter, limit }));
      }
    });

    it("are of their space alone, and compare byte for byte", async () => {
      const [space, other] = [bench.newSpace(), bench.newSpace()];
      const terms = TEXTS.filter((text) => text !== "");
      const wide = ["x".repeat(64), `${"x".repeat(63)}y`, "😀".repeat(16)];
      const all = [...terms, ...wide];
      const postings = all.map((term, at) => newTerm(space, term, at + 1, at + 1, 7));
      const foreign = all.map((term, at) => newTerm(other, term, at + 1, 1, 1));
      const items = all.map((_, at) => newItem(space, at + 1));
      await bench.records.change(
        [insertRecords(TERMS, [...postings, ...foreign]), insertRecords(ITEMS, items)],
        signal,
      );
      const found = await bench.dialect.countTerms(space, all, signal);
      expect(new Map(found.map(({ term, count }) => [term, count]))).toEqual(new Map(all.map((term) => [term, 1])));
      for (let from = 0; from < all.length; from += 9) {
        const weights = all.slice(from, from + 9).map((term, at) => ({ term, weight: 1_000 + at }));
        const query = newQuery({ space, terms: weights });
        expect(await bench.dialect.scoreTerms(query, signal)).toEqual(scoresOf(query, postings));
        const filter = { number: { above: from + 4 } };
        const wanted = scoresOf(
          query,
          postings.filter(({ number }) => number > from + 4),
        );
        expect(await bench.dialect.scoreTerms({ ...query, filter }, signal)).toEqual(wanted);
      }
    });

    it("that nobody asks for, or that no item has, score nothing", async () => {
      expect(await bench.dialect.scoreTerms(newQuery({ terms: [] }), signal)).toEqual([]);
      expect(await bench.dialect.scoreTerms(newQuery({ terms: [{ term: "none", weight: 9 }] }), signal)).toEqual([]);
      const elsewhere = newQuery({ space: bench.newSpace(), terms: [{ term: "term1", weight: 9 }] });
      expect(await bench.dialect.scoreTerms(elsewhere, signal)).toEqual([]);
    });
  });
}

/** The definition of scores, in JavaScript. */
function scoresOf({ terms, base, perToken, limit }: TermQuery, postings: readonly TermRow[]): ScoredNumber[] {
  const weights = new Map(terms.map(({ term, weight }) => [term, weight]));
  const scores = new Map<number, number>();
  for (const { term, number, frequency, length } of postings) {
    const weight = weights.get(term);
    if (weight === undefined) continue;
    const score = Math.floor((weight * frequency) / (frequency + base + perToken * length));
    scores.set(number, (scores.get(number) ?? 0) + score);
  }
  return [...scores]
    .map(([number, score]) => ({ number, score }))
    .sort((one, other) => other.score - one.score || other.number - one.number)
    .slice(0, limit);
}
