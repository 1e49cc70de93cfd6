import { describe, expect, it } from "vitest";
import { parseOptions } from "../src/options.ts";
import { createCorpus, DIMENSIONS, nearestOf } from "../src/recall/corpus.ts";
import { measure } from "../src/run.ts";

describe("the benchmark of memory", () => {
  it("finds all of the nearest by hand and by Waymark, and says what each search and each item took", async () => {
    const chosen = ["--systems", "vec0,waymark,waymark-no-vec", "--items", "50", "--others", "100"];
    const options = parseOptions(["--quick", "--workload", "recall", "--database", "sqlite-full", ...chosen], "");
    if (options === "help") throw new Error("expected options, got help");
    for await (const { report } of measure(options, () => {})) {
      expect(report.failures).toEqual([]);
      const results = report.results as { id: string; recall: object; searches: object[]; bytesPerItem: number }[];
      expect(results.map(({ id }) => id)).toEqual(["vec0", "waymark", "waymark", "waymark-no-vec", "waymark-no-vec"]);
      for (const { recall, searches, bytesPerItem } of results) {
        expect(recall).toEqual({ 50: 1 });
        expect(searches).toHaveLength(3);
        expect(bytesPerItem).toBeGreaterThan(DIMENSIONS * 4);
      }
    }
  });
});

describe("the corpus of items", () => {
  const corpus = createCorpus();
  const owner = { name: "somebody", seed: 5 };

  it("is the same every time, and another one for another owner", () => {
    expect(createCorpus().item(owner, 3)).toEqual(corpus.item(owner, 3));
    expect(corpus.item({ ...owner, seed: 6 }, 3).vector).not.toEqual(corpus.item(owner, 3).vector);
  });

  it("has vectors of length 1, of which one is nearest to itself", () => {
    const vectors = Array.from({ length: 20 }, (_, at) => Float32Array.from(corpus.item(owner, at).vector));
    for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    expect(nearestOf(vectors, corpus.item(owner, 7).vector, 1)).toEqual([7]);
  });
});
