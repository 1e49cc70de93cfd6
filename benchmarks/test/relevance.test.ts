import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseOptions } from "../src/options.ts";
import { readCranfield } from "../src/relevance/cranfield.ts";
import { openInMemory } from "../src/relevance/in-memory.ts";
import { latentSemantics } from "../src/relevance/latent-semantics.ts";
import { ndcg, recall } from "../src/relevance/measures.ts";
import { measure } from "../src/run.ts";
import type { SignatureFigures } from "../src/workloads/relevance.ts";

describe("the benchmark of relevance", () => {
  it("finds the nearest of real vectors by their signatures, also without Cranfield", async () => {
    const options = parseOptions(["--quick", "--workload", "relevance", "--database", "sqlite-full"], "");
    if (options === "help") throw new Error("expected options, got help");
    for await (const { report } of measure(options, () => {})) {
      const { signatures } = report.results as { signatures: SignatureFigures[] };
      const compared200 = signatures.find(({ compared }) => compared === 200);
      expect(compared200?.recall).toBeGreaterThanOrEqual(0.99);
      expect(compared200?.onDatabase).toBe(compared200?.recall);
      expect(report.tables).toHaveLength(1);
    }
  });

  it("refuses a folder without the files of Cranfield", () => {
    expect(() => parseOptions(["--cranfield", "/nowhere"], "")).toThrow(/--cranfield.*"\/nowhere".*cran.all.1400.xml/);
  });
});

describe("the Cranfield collection", () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-cranfield-test-"));
  beforeAll(() => {
    const document = (number: number, text: string) =>
      `<doc>\n<docno>${number}</docno>\n<title>title ${number} .</title>\n<text>${text}</text>\n</doc>\n`;
    writeFileSync(
      join(folder, "cran.all.1400.xml"),
      `<cranfield>\n${document(7, "a wing\nin &lt;air&gt; &amp;c")}${document(9, "")}</cranfield>`,
    );
    writeFileSync(
      join(folder, "cran.qry.xml"),
      "<xml>\n<top>\n<num> 1</num>\n<title>\nwhat\n</title>\n</top>\n<top>\n<num> 4</num>\n<title>\nwhy\n</title>\n</top>\n</xml>",
    );
    writeFileSync(join(folder, "cranqrel.trec.txt"), "1 0 7 1\n1 0 9 0\n2 0 9  3\n2 0 7 -1\n2 0 1000 1\n");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("has texts, and queries by position with the texts that were judged relevant in any degree", () => {
    expect(readCranfield(folder)).toEqual({
      texts: ["title 7 .\na wing\nin <air> &c", "title 9 .\n"],
      queries: [
        { text: "what", relevant: new Set([0]) },
        { text: "why", relevant: new Set([1]) },
      ],
    });
  });
});

describe("the measures", () => {
  it("are 1 for an answer that begins with all that is relevant, and 0 for one that has none of it", () => {
    expect(ndcg([3, 1, 2], new Set([1, 3]), 10)).toBe(1);
    expect(recall([3, 1, 2], new Set([1, 3]), 10)).toBe(1);
    expect(ndcg([3, 1, 2], new Set([4]), 10)).toBe(0);
    expect(recall([3, 1, 2], new Set([1, 3]), 1)).toBe(0.5);
    expect(ndcg([5, 3], new Set([3]), 10)).toBeCloseTo(1 / Math.log2(3), 12);
    expect(ndcg([1], new Set(Array.from({ length: 50 }, (_, item) => item)), 1)).toBe(1);
  });
});

describe("latent semantics", () => {
  it("puts texts of the same topic near each other, though they share no word", async () => {
    const texts = ["cat purrs", "purrs softly", "kitten softly", "stocks fell", "fell sharply", "prices sharply"];
    const embed = latentSemantics(texts, 2);
    const searcher = openInMemory("en", 2);
    await searcher.add(texts.map((text) => ({ text, vector: embed(text) })));
    const search = { text: null, fusion: "rrf", limit: 3, compared: null } as const;
    const found = await searcher.search({ ...search, vector: embed("cat") });
    expect([...found].sort()).toEqual([0, 1, 2]);
    expect(await searcher.search({ ...search, text: "cats", vector: null })).toEqual([0]);
  });
});
