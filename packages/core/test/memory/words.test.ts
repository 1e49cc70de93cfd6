import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ANALYZER_VERSION,
  analysisSteps,
  analyze,
  LANGUAGES,
  type Language,
  MAX_QUERY_TERMS,
  MAX_TERM_BYTES,
  queryTermSteps,
  queryTerms,
} from "../../src/memory/words.ts";

/** Whether a query finds a text: any of its terms is a term of the text. */
function finds(query: string, text: string, language: Language = "none"): boolean {
  const { terms } = analyze(text, language);
  return queryTerms(query, language).some((term) => terms.has(term));
}

/** Characters of a text as they are analyzed: some stand for many. */
const analyzedLength = (text: string) => text.normalize("NFKD").length;

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)), maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        ...[
          "the",
          "to",
          "be",
          "running",
          "don't",
          "C++",
          "Café",
          "東京都",
          "が",
          "คำ",
          "각",
          "👍🏽",
          "🇩🇪🇫",
          "हिन्दी",
          "\0",
          "\ud800",
        ],
        ...["x".repeat(70), "é".repeat(40), ",", "-", "'", "’s", "_", "\n"],
      ),
      { maxLength: 20 },
    )
    .chain((words) => fc.constantFrom("", " ").map((between) => words.join(between))),
);
const anyLanguage = fc.constantFrom(...LANGUAGES);

describe("a query finds a text", () => {
  test.each<[query: string, text: string, language?: Language]>([
    ["run", "She was running", "en"],
    ["running", "He runs", "en"],
    ["AI", "AI and Go"],
    ["go", "AI and Go", "en"],
    ["node", "written in node.js"],
    ["node.js", "written in Node.js"],
    ["foo", "foo_bar"],
    ["foo_bar", "foo bar"],
    ["C++", "I like c++!"],
    ["C#", "F# and C#"],
    ["c", "C++"],
    ["cafe", "Café"],
    ["CAFÉ", "cafe"],
    ["strasse", "Straße"],
    ["STRASSE", "straße"],
    ["Straße", "STRASSE"],
    ["oresund", "Øresund"],
    ["привет", "Привет"],
    ["ёлка", "елка"],
    ["istanbul", "İSTANBUL"],
    ["ισως", "ΊΣΩΣ"],
    ["شمس", "شَمْس"],
    ["ｎｏｄｅ", "node"],
    ["file", "ﬁle"],
    ["avion", "l’avion"],
    ["м'ята", "мʼята"],
    ["john", "John's book", "en"],
    ["co\u00adoperate", "cooperate"],
    ["京都", "東京都と京都"],
    ["都", "東京都"],
    ["東", "東京都"],
    ["水", "水"],
    ["机器学习", "我在学机器学习"],
    ["ｶﾞﾗｽ", "ガラス"],
    ["집", "우리집에서"],
    ["학교", "학교에서"],
    ["ไทย", "ภาษาไทย"],
    ["a\u0e31", "a\u0e31"],
    ["हिन्दी", "हिन्दी भाषा"],
    ["👍", "fine 👍🏽"],
    ["🇩🇪", "🇫🇷🇩🇪"],
    ["❤", "❤️"],
    ["to be or not to be", "To be, or not to be, that is the question", "en"],
    ["who are you", "Hello! Who are you?", "en"],
    ["don't", "Don't!", "en"],
    ["the the", "the the"],
  ])("%s: %s", (query, text, language) => {
    expect(finds(query, text, language)).toBe(true);
  });

  test.each<[query: string, text: string, language?: Language]>([
    ["run", "running"],
    ["the", "the cat", "en"],
    ["to be or not to be", "I want to be here and not there with cats", "en"],
    ["C#", "D# is a note"],
    ["🇩🇪", "🇩🇰"],
    ["京都", "東京 都"],
    ["कि", "की"],
    ["か", "が"],
    ["not", "isn't it done", "en"],
    ["", "text"],
    ["?!", "?!"],
  ])("but not %s: %s", (query, text, language) => {
    expect(finds(query, text, language)).toBe(false);
  });

  test("by all of the text's own words", () => {
    fc.assert(
      fc.property(anyText, anyLanguage, (text, language) => {
        const { terms } = analyze(text, language);
        const query = queryTerms(text, language);
        expect(query.filter((term) => !terms.has(term))).toEqual([]);
        expect(query.length > 0).toBe(terms.size > 0);
      }),
      { numRuns: 2_000 },
    );
  });

  test("in any form of Unicode", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom("NFC", "NFD", "NFKC", "NFKD"), (text, form) => {
        expect(analyze(text.normalize(form), "none")).toEqual(analyze(text, "none"));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("terms", () => {
  test("count how often each word occurs; the length counts all of them", () => {
    const { terms, length } = analyze("Run, run and running: the cat runs", "en");
    expect([...terms]).toEqual([
      ["run", 4],
      ["cat", 1],
    ]);
    expect(length).toBe(5);
    expect(analyze("the cat and the dog", "none").length).toBe(5);
    expect([...analyze("To be or not to be", "en").terms.values()].join()).toBe("2,2,1,1");
    expect(analyze("To be or not to be", "en").length).toBe(6);
    expect(analyze("", "en")).toEqual({ terms: new Map(), length: 0 });
  });

  test("of Han are pairs, and single characters that a query of pairs does not ask for", () => {
    const { terms, length } = analyze("東京都", "none");
    expect([...terms.keys()].sort()).toEqual(["京", "京都", "東", "東京", "都"].sort());
    expect(length).toBe(2);
    expect(queryTerms("東京都", "none")).toEqual(["東京", "京都"]);
    expect(queryTerms("GPT4で東", "none")).toEqual(["gpt4", "で東"]);
    expect(queryTerms("東", "none")).toEqual(["東"]);
  });

  test("stay the same for ever in this version of the analyzer", () => {
    expect(ANALYZER_VERSION).toBe(1);
    const text =
      "I'm Straße-testing node.js, C++ & foo_bar: İstanbul ΣΟΦΟΣ Ёлка naïve ﬁne Ⅸ ½ x² 東京都へ ｶﾞﾗｽ 서울에서 ภาษาไทย हिन्दी شَمْس שָׁלוֹם 👩‍💻 👍🏽 🇩🇪 1️⃣";
    expect(LANGUAGES.map((language) => [...analyze(text, language).terms.keys()].join(" "))).toMatchInlineSnapshot(`
      [
        "i m strasse testing node js c++ c foo bar istanbul σοφοσ елка naive fine ix 1 2 x2 東京 東 京 京都 都 都へ ガラ ラス 서울 서 울 울에 에 에서 ภา าษ ษา าไ ไท ทย हिन्दी شمس שלום 👩 💻 👍 🇩🇪",
        "strass test node js c++ c foo bar istanbul σοφοσ елка naiv fine ix 1 2 x2 東京 東 京 京都 都 都へ ガラ ラス 서울 서 울 울에 에 에서 ภา าษ ษา าไ ไท ทย हिन्दी شمس שלום 👩 💻 👍 🇩🇪",
      ]
    `);
  });

  test("are terms of themselves, at most 64 bytes long and well formed", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        for (const term of analyze(text, "none").terms.keys()) {
          expect(Buffer.byteLength(term)).toBeLessThanOrEqual(MAX_TERM_BYTES);
          expect(Buffer.from(term).toString()).toBe(term);
          expect([...analyze(term, "none").terms.keys()]).toContain(term);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ["x".repeat(65), "x".repeat(64)],
    ["é".repeat(100), "e".repeat(64)],
    ["я".repeat(100), "я".repeat(32)],
    [`x${"я".repeat(100)}`, `x${"я".repeat(31)}`],
    ["𐐨".repeat(100), "𐐨".repeat(16)],
    ["ka".repeat(500), "ka".repeat(32)],
  ])("longer than 64 bytes are cut at a character: %#", (word, term) => {
    expect([...analyze(word, "none").terms]).toEqual([[term, 1]]);
    expect(finds(word, `a ${word} b`)).toBe(true);
  });

  test("of a query are at most 64: the most frequent, then the longest, then the first, in the order of the query", () => {
    const words = Array.from({ length: 100 }, (_, index) => `word${index}`);
    const terms = queryTerms(`${words.join(" ")} again again`, "none");
    expect(terms).toHaveLength(MAX_QUERY_TERMS);
    expect(terms).toEqual([...words.slice(10, 73), "again"]);
    expect(queryTerms("b a b", "none")).toEqual(["b", "a"]);
  });
});

describe("a text that takes several steps", () => {
  test.each(LANGUAGES)("has the terms of its parts (%s)", (language) => {
    const parts = [
      "to be ,",
      "the Ｆoo's  bar-",
      "e\u0301 \u0301",
      "ΣΑΣ ς\n",
      "東京都 と\n\n",
      "C# c++ 🇩🇪🇫🇷",
      "not the",
      "running.",
    ];
    const random = Array.from({ length: 9_000 }, (_, at) => parts[(at * at * 7 + at) % parts.length] as string);
    const clauses = random
      .map((part, at) => `${part} ${at % 9 === 8 ? ". " : ""}`)
      .join("")
      .split(/(?<=\. )/);
    const text = clauses.join("");
    expect(text.length).toBeGreaterThan(4 * 16_384);
    const terms = new Map<string, number>();
    let length = 0;
    for (const clause of clauses) {
      const analysis = analyze(clause, language);
      length += analysis.length;
      for (const [term, count] of analysis.terms) terms.set(term, (terms.get(term) ?? 0) + count);
    }
    const analysis = analyze(text, language);
    expect(Object.fromEntries(analysis.terms)).toEqual(Object.fromEntries(terms));
    if (language === "none") expect(analysis.length).toBe(length); // of clauses with stop words alone they count
    expect([...analysisSteps(text, language)].length).toBeGreaterThan(4);
  });

  test.each([
    ["words between marks of punctuation", "ab,cd;".repeat(20_000)],
    ["a word of a script without spaces", "東京都".repeat(20_000)],
    [
      "different characters",
      Array.from({ length: 40_000 }, (_, at) => String.fromCharCode(0x4e00 + ((at * at) % 20_000))).join(""),
    ],
  ])("is taken apart in many steps, whatever separates its words: %s", (_, text) => {
    expect([...analysisSteps(text, "none")].length).toBeGreaterThan(5);
    expect([...queryTermSteps(text, "none")].length).toBeGreaterThan(5);
  });

  test("goes on from its own place, though another text is taken apart between its steps", () => {
    const texts = ["東京 ab cd ".repeat(20_000), "one two three, ".repeat(20_000)];
    const alone = texts.map((text) => analyze(text, "en"));
    const running = texts.map((text) => analysisSteps(text, "en"));
    const results = new Map<number, unknown>();
    while (results.size < texts.length) {
      for (const [at, steps] of running.entries()) {
        const { done, value } = steps.next();
        if (done === true && !results.has(at)) results.set(at, value);
      }
    }
    expect([results.get(0), results.get(1)]).toEqual(alone);
  });
});

describe("no text is an error, and its time grows as its length does", () => {
  test.each([
    ["NUL", "\0"],
    ["lone surrogates", "\ud800"],
    ["one word", "x"],
    ["apostrophes", "n't'"],
    ["signs", "c+"],
    ["accents", "e\u0301\u0301\u0301"],
    ["marks in disorder", "\u0301\u0323\uff9e\u0e38"],
    ["Thai marks", "\u0e49"],
    ["Han", "東京都"],
    ["characters that expand", "ﷺ"],
    ["spaces", "  \n"],
  ])("%s", (_, part) => {
    const text = part.repeat(100_000 / analyzedLength(part));
    for (const language of LANGUAGES) {
      const started = performance.now();
      expect(analyze(text, language).length).toBeGreaterThanOrEqual(0);
      queryTerms(text, language);
      expect(performance.now() - started).toBeLessThan(5_000); // some 50 ms; what is quadratic takes twice the bound
    }
  });
});
