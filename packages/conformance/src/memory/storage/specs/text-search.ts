import type { Item, Language } from "@waymark/core/memory";
import { describe, expect, it } from "vitest";
import { HOSTILE_TEXTS } from "../../../storage/hostile-texts.ts";
import { pick, randomFrom, TEXTS } from "../../rows.ts";
import { addAll, addOne, COLLECTION, findTexts, itemOf, newOwner, type StorageBench } from "../bench.ts";
import { type AddedItem, expectedHits } from "../expected-hits.ts";

/** Texts that break a query parser, a tokenizer or a text column somewhere. */
export const STRANGE_TEXTS: readonly string[] = [
  ...["", " ", "\0", "a\0b", "\0\0\0", "\ud800", "\udc00x", "a\ud83d", "\u202eabc\u202c", "שלום עולם", "مرحبا"],
  ...[
    "👩‍👩‍👧‍👦",
    "🇩🇪🇫🇷",
    "👍🏽",
    "\u{10ffff}",
    "\ufffe\uffff",
    "e\u0301",
    "ｆｕｌｌｗｉｄｔｈ",
    "\u0007\u001b[31m",
    "\ufeffbom",
  ],
  // Operators of FTS5, of tsquery and of MySQL's boolean mode.
  ...[
    '"',
    '"unclosed',
    '"a" "b"',
    "AND",
    "OR",
    "NOT",
    "a AND",
    "AND b",
    "NEAR(a b, 5)",
    "a NEAR b",
    "col:word",
    "-a",
    "+a",
  ],
  ...[
    "^a",
    "a*",
    "*",
    "(",
    ")",
    "(a",
    "a)",
    "()",
    "{a b}:c",
    "a - b",
    "- -",
    "a & b",
    "a | b",
    "!a",
    "!",
    "a <-> b",
    "a <2> b",
  ],
  ...[
    "a:*",
    "a:ABCD",
    "& | !",
    "'a' & 'b",
    "\\",
    "a\\",
    "@",
    "@@",
    "a@5",
    '+"a b" -c',
    ">a <b",
    "~a",
    '@3 "a b"',
    "a,,b;;",
  ],
  ...[
    "%",
    "_",
    "%a%",
    "a%'",
    "[a-z]",
    "(?:",
    ".*",
    "a.b.c",
    "--",
    "/* */",
    "${a}",
    "{{a}}",
    ":a",
    "$1",
    "?",
    "?1",
    "@a",
  ],
];

/** A text, a query, and whether the query finds the text: golden, by the rules of the analyzer. */
const MEANINGS: readonly (readonly [text: string, query: string, language: Language, isFound: boolean])[] = [
  ["she was running home", "run", "en", true],
  ["she was running home", "run", "none", false],
  ["AI and Go", "ai", "none", true],
  ["AI and Go", "GO", "none", true],
  ["written in node.js", "node", "none", true],
  ["written in node.js", "js", "none", true],
  ["a café in town", "cafe", "none", true],
  ["a cafe in town", "CAFÉ", "none", true],
  ["die Straße", "strasse", "none", true],
  ["東京都と京都", "京都", "none", true],
  ["東京都と京都", "東京", "none", true],
  ["東京都と京都", "大阪", "none", false],
  ["关于机器学习的书", "机器学习", "none", true],
  ["Привет, мир", "привет", "none", true],
  ["to be or not to be", "to be or not to be", "none", true],
  ["to be or not to be", "to be or not to be", "en", true],
  ["I like 🍕 a lot", "🍕", "none", true],
  ["I like 🍕 a lot", "🍔", "none", false],
  ["call foo_bar(x)", "foo", "none", true],
  ["written in C#", "c#", "none", true],
  ["written in C++", "c++ or rust", "none", true],
  ["version 3.14", "3.14", "none", true],
  ["don't panic", "panic", "en", true],
  ["l'avion", "avion", "none", true],
  ["ＦＵＬＬ width", "full", "none", true],
  ["naïve", "naive", "none", true],
  ["서울특별시", "서울", "none", true],
  ["ภาษาไทย", "ภาษา", "none", true],
  ["getUserName", "user", "none", false],
  ["nothing in common", "entirely different words", "none", false],
];

const WORDS = [
  ..."agent memory search vector user likes running runs ran coffee tea Tokyo 東京 京都 café the and of is not node.js C# 🍕 a".split(
    " ",
  ),
  ...Array.from({ length: 60 }, (_, at) => `word${at}`),
];

/** A text of random words, some of which are much more frequent than others. */
function randomText(random: () => number): string {
  const count = Math.floor(random() * 14);
  return Array.from({ length: count }, () => WORDS[Math.floor(WORDS.length * random() ** 2)]).join(" ");
}

export function describeTextSearch(bench: StorageBench): void {
  describe("a search by words", () => {
    it.each(["none", "en"] as const)(
      "finds the same items in the same order as computed here (language %s)",
      async (language) => {
        const random = randomFrom(language === "en" ? 11 : 12);
        const storage = bench.open({ collections: { [COLLECTION]: { language } } });
        const owner = newOwner();
        const roles = ["user", "assistant", "tool"] as const;
        const added = await addAll(
          storage,
          Array.from({ length: 500 }, () => itemOf(owner, randomText(random), { role: pick(roles, random) })),
        );
        // Statistics and postings must follow deletions and updates too.
        await storage.deleteItems(
          owner,
          added.slice(0, 40).map(({ id }) => id),
        );
        const kept = added.slice(40);
        for (let at = 0; at < 8; at++) {
          kept[at] = await storage.updateItem(owner, (kept[at] as Item).id, { text: randomText(random) });
        }
        const items: AddedItem[] = kept.map((item) => ({ item, vector: null }));
        for (let round = 0; round < 30; round++) {
          const text = randomText(random);
          const limit = pick([1, 3, 10, 60, 500], random);
          const role = round % 3 === 0 ? pick(roles, random) : undefined;
          const hits = await bench.storage.search({
            owner,
            collections: [COLLECTION],
            text,
            limit,
            ...(role !== undefined && { filter: { role } }),
          });
          const expected = expectedHits(
            [{ language, items }],
            { text, limit },
            (item) => (role ?? item.role) === item.role,
          );
          expect(
            hits.map(({ item: { id }, score, similarity, textScore }) => ({ id, score, similarity, textScore })),
            `query ${JSON.stringify(text)}, limit ${limit}`,
          ).toEqual(expected);
        }
      },
    );

    it("scores by BM25 as in the book", async () => {
      const owner = newOwner();
      const texts = ["apple banana", "apple apple cherry date", "banana cherry", "date", "apple"];
      await bench.storage.addItems(texts.map((text) => itemOf(owner, text)));
      const average = 10 / 5;
      const idf = (count: number) => Math.log(1 + (5 - count + 0.5) / (count + 0.5));
      const part = (count: number, frequency: number, length: number) =>
        (idf(count) * 2.2 * frequency) / (frequency + 1.2 * (0.25 + (0.75 * length) / average));
      const hits = await bench.storage.search({ owner, collections: [COLLECTION], text: "Apple, date?" });
      const expected: [string, number][] = [
        ["apple apple cherry date", part(3, 2, 4) + part(2, 1, 4)],
        ["date", part(2, 1, 1)],
        ["apple", part(3, 1, 1)],
        ["apple banana", part(3, 1, 2)],
      ];
      expected.sort(([, one], [, other]) => other - one);
      expect(hits.map(({ item }) => item.text)).toEqual(expected.map(([text]) => text));
      for (const [at, [, score]] of expected.entries()) expect(hits[at]?.textScore).toBeCloseTo(score, 6);
      expect(hits[0]?.score).toBe(1);
      expect(hits.at(-1)?.score).toBe(0);
    });

    it("finds the newest first of those that are equally good", async () => {
      const owner = newOwner();
      await bench.storage.addItems(Array.from({ length: 12 }, (_, at) => itemOf(owner, "same", { key: `${at}` })));
      const hits = await bench.storage.search({ owner, collections: [COLLECTION], text: "same", limit: 5 });
      expect(hits.map(({ item }) => item.key)).toEqual(["11", "10", "9", "8", "7"]);
    });

    it("means by words what the analyzer says", async () => {
      for (const language of ["none", "en"] as const) {
        const storage = bench.open({ collections: { "*": { language } } });
        const cases = MEANINGS.filter(([, , one]) => one === language);
        const owner = newOwner();
        // A collection for each: what is found does not depend on other texts.
        await storage.addItems(cases.map(([text], at) => itemOf(owner, text, { collection: `${at}` })));
        for (const [at, [text, query, , isFound]] of cases.entries()) {
          const hits = await bench.storage.search({ owner, collections: [`${at}`], text: query });
          expect(hits.length, `${query} in ${text} (${language})`).toBe(isFound ? 1 : 0);
        }
      }
    });

    it("takes any text as an item and as a query: it comes back as it is, and finds itself if it has words", async () => {
      const owner = newOwner();
      const texts = [...new Set([...STRANGE_TEXTS, ...HOSTILE_TEXTS, ...TEXTS])];
      const added = await addAll(
        bench.storage,
        texts.map((text, at) => itemOf(owner, text, { key: `${at}` })),
      );
      const listed = await bench.open().listItems({ owner, limit: 1_000 });
      expect(listed.map(({ text }) => text)).toEqual(texts);
      const items = added.map((item) => ({ item, vector: null }));
      for (const text of texts) {
        const hits = await bench.storage.search({ owner, collections: [COLLECTION], text, limit: 500 });
        const expected = expectedHits([{ language: "none", items }], { text, limit: 500 });
        expect(
          hits.map(({ item }) => item.id),
          JSON.stringify(text),
        ).toEqual(expected.map(({ id }) => id));
      }
      const odd = await bench.storage.updateItem(owner, added[0]?.id as string, { text: "x\0\ud800y" });
      expect(odd.text).toBe("x\0\ud800y");
      expect((await bench.storage.getItem(owner, odd.id))?.text).toBe("x\0\ud800y");
    });

    it("takes a text of a megabyte as an item and as a query", async () => {
      const owner = newOwner();
      const words = Array.from({ length: 125_000 }, (_, at) => `w${at % 3_000}é`);
      const text = `${words.join(" ").slice(0, 999_980)} needle\0\ud800`;
      await addOne(bench.storage, itemOf(owner, text, { embedding: [1] }));
      const [hit] = await bench.storage.search({ owner, collections: [COLLECTION], text: "needle" });
      expect(hit?.item.text === text).toBe(true);
      expect(await bench.storage.search({ owner, collections: [COLLECTION], text, vector: null })).toHaveLength(1);
      await bench.storage.search({ owner, collections: [COLLECTION], text: "x".repeat(1_000_000) });
      await bench.storage.search({ owner, collections: [COLLECTION], text: "\u0301".repeat(300_000) });
      expect(await bench.storage.deleteItemsWhere({ owner })).toBe(1);
      expect(await findTexts(bench.storage, owner, "needle")).toEqual([]);
    });

    it("looks for frequent words too, where the rare ones have too few hits that a filter selects", async () => {
      const owner = newOwner();
      const words = Array.from({ length: 60 }, (_, at) => `w${10 + at}`); // 24,000 postings, of which 20,000 are looked up at first
      await addAll(
        bench.storage,
        Array.from({ length: 400 }, () => itemOf(owner, words.join(" "), { role: "tool" })),
      );
      await addAll(bench.storage, [
        itemOf(owner, "w69 alone", { role: "user" }),
        itemOf(owner, "w68 w69", { role: "user" }),
      ]);
      const search = { owner, collections: [COLLECTION], text: words.join(" ") };
      const hits = await bench.storage.search({ ...search, filter: { role: "user" } });
      expect(hits.map(({ item }) => item.text)).toEqual(["w68 w69", "w69 alone"]);
      expect(await bench.storage.search({ ...search, limit: 1_000 })).toHaveLength(402);
    });

    it("finds nothing for an empty text, and never an item without words", async () => {
      const owner = newOwner();
      await bench.storage.addItems(["", " ", "!?", "word"].map((text) => itemOf(owner, text)));
      for (const query of ["", " ", "!?", "\0"]) expect(await findTexts(bench.storage, owner, query)).toEqual([]);
      expect(await findTexts(bench.storage, owner, "word")).toEqual(["word"]);
    });

    it("finds in the next call of another storage, and of another process, what was acknowledged", async () => {
      const owner = newOwner();
      const other = bench.open();
      const worker = bench.isShared ? await bench.startWorker() : null;
      const readers = [other, ...(worker === null ? [] : [worker.memory])];
      const writers = [bench.storage, ...readers];
      for (const [at, writer] of writers.entries()) {
        const [item] = await writer.addItems([itemOf(owner, `needle ${at}`, { embedding: [1, at], key: "k" })]);
        for (const reader of writers) {
          const [hit] = await reader.search({ owner, collections: [COLLECTION], text: "needle" });
          expect(hit?.item).toEqual(item);
          const [near] = await reader.search({ owner, collections: [COLLECTION], vector: [1, at] });
          expect(near?.item).toEqual(item);
        }
        await writer.deleteItems(owner, [item?.id as string]);
        for (const reader of writers) {
          expect(await reader.search({ owner, collections: [COLLECTION], text: "needle", vector: [1, at] })).toEqual(
            [],
          );
          expect(await reader.getItem(owner, item?.id as string)).toBeNull();
          expect(await reader.countItems({ owner })).toBe(0);
        }
      }
      await worker?.memory.close();
      expect((await worker?.leave()) ?? 0).toBe(0);
    });
  });
}
