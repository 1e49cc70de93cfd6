import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Candidate,
  candidates,
  contribution,
  DEFAULT_FUSION,
  type FusedHit,
  fuse,
  lengthNorm,
  MAX_POSTINGS,
  nearSignatures,
  SCALE,
  termWeights,
} from "../../src/memory/ranking.ts";

const hits = (...list: readonly (readonly [number: number, score: number])[]): Candidate[] =>
  list.map(([number, score]) => ({ number, score }));
const rounded = (fused: readonly FusedHit[]) => fused.map(({ number, score }) => [number, Number(score.toFixed(4))]);

describe("weights of terms", () => {
  test("are Lucene's inverse document frequencies in whole numbers", () => {
    const weights = termWeights(
      new Map([
        ["rare", 1],
        ["half", 50],
        ["all", 100],
      ]),
      100,
    );
    const idf = (count: number) => Math.log(1 + (100 - count + 0.5) / (count + 0.5));
    expect([...weights]).toEqual([
      ["rare", Math.round(2.2 * SCALE * idf(1))],
      ["half", Math.round(2.2 * SCALE * idf(50))],
      ["all", Math.round(2.2 * SCALE * idf(100))],
    ]);
    expect(weights.get("all")).toBeGreaterThan(0);
  });

  test("leave out terms that no item has, and more postings than a search reads, but for two terms", () => {
    const terms = (counts: Record<string, number>) => [...termWeights(new Map(Object.entries(counts)), 1e6).keys()];
    expect(terms({ none: 0, some: 3 })).toEqual(["some"]);
    expect(terms({ c: MAX_POSTINGS - 3, b: 2, a: 1 })).toEqual(["a", "b", "c"]);
    expect(terms({ c: MAX_POSTINGS - 2, b: 2, a: 1 })).toEqual(["a", "b"]);
    expect(terms({ d: 3e5, c: 2e5, b: 1e5, a: 1 })).toEqual(["a", "b"]);
    expect(terms({ b: 9e5, a: 9e5, c: 9e5 })).toEqual(["a", "b"]);
    expect(terms({ a: 9e5 })).toEqual(["a"]);
    expect(terms({})).toEqual([]);
    const more = termWeights(new Map(Object.entries({ d: 3e5, c: 2e5, b: 1e5, a: 1 })), 1e6, 3e5 + 1);
    expect([...more.keys()]).toEqual(["a", "b", "c"]);
  });

  test("are positive where the number of items is older than a count", () => {
    expect(termWeights(new Map([["a", 10]]), 3).get("a")).toBe(termWeights(new Map([["a", 10]]), 10).get("a"));
    expect(termWeights(new Map([["a", 10]]), 0).get("a")).toBeGreaterThan(0);
  });
});

describe("the contribution of a posting", () => {
  const anyPosting = fc.record({
    weight: fc.integer({ min: 1, max: 50 * SCALE }),
    tf: fc.integer({ min: 1, max: 1e6 }),
    length: fc.integer({ min: 1, max: 1e7 }),
    average: fc.double({ min: 1, max: 1e5, noNaN: true }),
  });

  test("is BM25's, rounded down to a whole number that sums stay exact with", () => {
    fc.assert(
      fc.property(anyPosting, ({ weight, tf, length, average }) => {
        const { base, perToken } = lengthNorm(average);
        const score = contribution(weight, tf, length, base, perToken);
        const idf = weight / SCALE / 2.2;
        const exact = (idf * tf * 2.2) / (tf + 1.2 * (1 - 0.75 + (0.75 * length) / average));
        expect(Number.isSafeInteger(score)).toBe(true);
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score * 64).toBeLessThan(2 ** 53);
        expect(Math.abs(score / SCALE - exact)).toBeLessThan(2e-9 + exact * 1e-12);
      }),
    );
  });

  // Databases compute the same formula: these are for their tests.
  test.each([
    [5_000_000_000, 1, 10, 10, 2_272_727_272],
    [5_000_000_000, 3, 17, 12.5, 3_315_649_867],
    [123_456_789, 1_000_000, 1, 1, 123_456_640],
    [1, 1, 10_000_000, 10, 0],
  ])("weight %d, tf %d, length %d, average %d: %d", (weight, tf, length, average, expected) => {
    const { base, perToken } = lengthNorm(average);
    expect(contribution(weight, tf, length, base, perToken)).toBe(expected);
  });

  test("needs no average of a space without words", () => {
    expect(lengthNorm(0)).toEqual(lengthNorm(1));
  });
});

describe("fused hits", () => {
  test("have the weighted mean of scores from 0 to 1", () => {
    const fused = fuse(hits([1, 9e9], [2, 5e9], [3, 1e9]), hits([3, 0.9], [4, 0.5], [1, 0.1]), DEFAULT_FUSION);
    expect(rounded(fused)).toEqual([
      [3, 0.5],
      [1, 0.5],
      [4, 0.25],
      [2, 0.25],
    ]);
    const weighted = fuse(hits([1, 3], [2, 1]), hits([2, 1], [1, -1]), { text: 3, vector: 7 });
    expect(rounded(weighted)).toEqual([
      [2, 0.7],
      [1, 0.3],
    ]);
  });

  test("have reciprocal ranks", () => {
    const fused = fuse(hits([1, 9], [2, 5]), hits([2, 0.9], [3, 0.5]), "rrf");
    expect(rounded(fused)).toEqual([
      [2, Number(((61 / 62 + 1) / 2).toFixed(4))],
      [1, 0.5],
      [3, Number((61 / 62 / 2).toFixed(4))],
    ]);
    expect(fuse(hits([1, 9]), hits([1, 9]), "rrf")).toEqual([{ number: 1, score: 1 }]);
  });

  test("of one side are that side's", () => {
    expect(rounded(fuse(hits([1, 3], [2, 1], [3, 2]), null, DEFAULT_FUSION))).toEqual([
      [1, 1],
      [3, 0.5],
      [2, 0],
    ]);
    expect(rounded(fuse(null, hits([1, 0.3]), DEFAULT_FUSION))).toEqual([[1, 1]]);
    expect(rounded(fuse(null, hits([1, 0.3]), "rrf"))).toEqual([[1, 1]]);
    expect(rounded(fuse(hits([1, 3]), hits([2, 0.3]), { text: 0, vector: 1 }))).toEqual([[2, 1]]);
    expect(rounded(fuse([], hits([2, 0.3]), DEFAULT_FUSION))).toEqual([[2, 0.5]]);
    expect(fuse([], [], DEFAULT_FUSION)).toEqual([]);
    expect(fuse(null, null, "rrf")).toEqual([]);
  });

  test("that are equally good come by number, the higher first", () => {
    expect(rounded(fuse(hits([3, 1], [5, 1], [4, 1]), null, DEFAULT_FUSION)).map(([number]) => number)).toEqual([
      5, 4, 3,
    ]);
    expect(fuse(hits([3, 1], [5, 1]), null, "rrf").map(({ number }) => number)).toEqual([5, 3]);
  });

  test("do not depend on the order of the candidates, and score from 0 to 1", () => {
    const anyHits = fc.uniqueArray(
      fc.record({ number: fc.nat({ max: 20 }), score: fc.double({ noNaN: true, min: -1, max: 1e12 }) }),
      {
        selector: ({ number }) => number,
        maxLength: 12,
      },
    );
    const anyWeight = fc.double({ noNaN: true, min: 0.001, max: 1_000 });
    const anyFusion = fc.oneof(fc.constant("rrf" as const), fc.record({ text: anyWeight, vector: anyWeight }));
    fc.assert(
      fc.property(anyHits, anyHits, anyFusion, (text, vector, fusion) => {
        const fused = fuse(text, vector, fusion);
        expect(fuse([...text].reverse(), [...vector].reverse(), fusion)).toEqual(fused);
        expect(fused.map(({ number }) => number).sort()).toEqual(
          [...new Set([...text, ...vector].map(({ number }) => number))].sort(),
        );
        for (const [at, { score }] of fused.entries()) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(at === 0 ? 1 : (fused[at - 1] as FusedHit).score);
        }
      }),
    );
  });
});

test("a search asks for more candidates than it returns", () => {
  expect([1, 10, 13, 1_000].map(candidates)).toEqual([50, 50, 52, 4_000]);
  expect([1, 10, 26, 1_000].map(nearSignatures)).toEqual([200, 200, 208, 8_000]);
});
