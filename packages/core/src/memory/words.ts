import { isStopWord, stem } from "./english.ts";

/**
 * The analyzer: makes terms of a text, for the index and for queries. The terms of a query are always terms of the same text in
 * the index.
 *
 * Letters, digits and the marks on them are words, all else separates words: `node.js` is `node` and `js`, `foo_bar` is `foo` and
 * `bar`, `3.14` is `3` and `14`, `l'avion` is `l` and `avion`, `getUserName` is one word. Text is compared in lower case, in
 * Unicode's compatibility form (NFKC) and without accents: `Café`, `cafe` and `ＣＡＦＥ` are one term, as are `straße` and
 * `strasse`. A letter with `++` or `#` is a term beside the letter itself, so that `C#` finds C# before C. Each emoji is a term,
 * without its colour of skin; a flag is one emoji.
 *
 * Scripts that put no spaces between words (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) become overlapping pairs of characters,
 * as in Lucene's CJKBigramFilter: 東京都 is 東京 and 京都. `Intl.Segmenter` finds words there, but not the same ones in all versions of
 * ICU, so that a text and a query could disagree. One Han character or Hangul syllable is often a word, so each is in the index
 * too, for queries of one character. A single character of the others is found where it stands alone.
 *
 * A limit: which characters are letters, and which is the lower case of another, is decided by the engine's version of Unicode. For
 * characters that a version knows, that does not change. A text with characters that are newer than the engine (a script or an
 * ideograph of this year) has no terms for them, and is found by them only once it has been analyzed again.
 */

/** Version of the rules, stored with each space. Another version makes other terms: what was indexed must be analyzed again. */
export const ANALYZER_VERSION = 1;

/**
 * `none`: words as they are. `en`: words by their stems (`running` finds `runs`), and stop words are left out, which are almost half of
 * the terms of a message. They stay where a clause has nothing else, and a query of nothing else looks for them: "to be or not to be"
 * finds "To be, or not to be, that is the question", but not "I want to be here".
 */
export const LANGUAGES = ["none", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

/** The most terms of a query: each is a part of a statement. */
export const MAX_QUERY_TERMS = 64;

/** Bytes of the longest term, in UTF-8. Of a longer word only the beginning counts. */
export const MAX_TERM_BYTES = 64;

export interface Analysis {
  /** How often each term occurs. */
  readonly terms: Map<string, number>;
  /** Words, repeated ones included; stop words only if there are no others. Characters within a pair do not count. */
  readonly length: number;
}

/** A term is a word, a stop word of a clause that has only such, or a single character of a pair. */
type Kind = "word" | "stop word" | "character";

/** Terms of a text for the index. No text is an error. Takes time in proportion to its length. */
export function analyze(text: string, language: Language): Analysis {
  return atOnce(analysisSteps(text, language));
}

/** {@link analyze} in steps of a few milliseconds. */
export function* analysisSteps(text: string, language: Language): Generator<undefined, Analysis> {
  const terms = new Map<string, number>();
  let words = 0;
  let stopWords = 0;
  yield* scan(text, language, (term, kind) => {
    terms.set(term, (terms.get(term) ?? 0) + 1);
    if (kind === "word") words++;
    else if (kind === "stop word") stopWords++;
  });
  return { terms, length: words > 0 ? words : stopWords };
}

/**
 * Terms of a query, each once, in the order in which they first occur. Stop words only if there are no others. Of more than
 * {@link MAX_QUERY_TERMS}, those stay that occur most often in the query; of these the longer ones, which tend to be rarer; of these
 * the first.
 */
export function queryTerms(text: string, language: Language): string[] {
  return atOnce(queryTermSteps(text, language));
}

/** {@link queryTerms} in steps of a few milliseconds. */
export function* queryTermSteps(text: string, language: Language): Generator<undefined, string[]> {
  const words = new Map<string, number>();
  const stopWords = new Map<string, number>();
  yield* scan(text, language, (term, kind) => {
    if (kind === "character") return;
    const counts = kind === "word" ? words : stopWords;
    counts.set(term, (counts.get(term) ?? 0) + 1);
  });
  const counts = words.size > 0 ? words : stopWords;
  if (counts.size <= MAX_QUERY_TERMS) return [...counts.keys()];
  const best: { readonly term: string; readonly count: number; readonly at: number }[] = [];
  let at = 0;
  for (const [term, count] of counts) {
    // What is equal stays in the order of the query.
    let place = best.length;
    for (; place > 0; place--) {
      const before = best[place - 1] as (typeof best)[number];
      if (before.count > count || (before.count === count && before.term.length >= term.length)) break;
    }
    if (place < MAX_QUERY_TERMS) best.splice(place, 0, { term, count, at });
    if (best.length > MAX_QUERY_TERMS) best.pop();
    if (++at % TOKENS_OF_STEP === 0) yield;
  }
  return best.sort((one, other) => one.at - other.at).map(({ term }) => term);
}

function atOnce<Result>(steps: Generator<undefined, Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A letter with signs that belong to it (of a folded text); an emoji; a flag; a word. */
const TOKEN =
  /[a-z](?:\+\+|#)(?![\p{L}\p{N}+#])|\p{Extended_Pictographic}|\p{Regional_Indicator}{1,2}|[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu;

/** The rest of an English word after an apostrophe. */
const CLITIC = /'(?:s|t|d|m|ll|re|ve)(?![\p{L}\p{N}\p{M}])/uy;

/** Between words of a clause there are only spaces and hyphens. */
const ENDS_CLAUSE = /[^\s-]/;

/** Characters of a step. */
const STEP = 16_384;

/** Words and characters of one that has very many, that are found in a step. */
const TOKENS_OF_STEP = 4_096;

/**
 * Between two steps: neither words, nor marks that change their order, nor compositions go across a space, a control character, or one of
 * these marks of punctuation.
 */
const BOUNDARY = /[\0- ,.;\u3000-\u3002\uff0c]/g;

/** Iterates over the parts of a text, which are folded and taken apart one by one; a text without such characters is one part. */
function* stepsOf(text: string): IterableIterator<string> {
  for (let from = 0; from < text.length; ) {
    BOUNDARY.lastIndex = from + STEP;
    const to = BOUNDARY.exec(text) === null ? text.length : BOUNDARY.lastIndex;
    yield text.slice(from, to);
    from = to;
  }
}

/** Calls `found` with each term, as often as it occurs, and yields after each step. */
function* scan(
  source: string,
  language: Language,
  found: (term: string, kind: Kind) => void,
): Generator<undefined, void> {
  let isOnlyStopWords = true; // the clause so far
  let stopWords: string[] = []; // of the clause so far
  let tail = ""; // of the steps before, behind their last word
  let count = 0;
  const token = new RegExp(TOKEN); // of its own: between two steps other texts are scanned
  const endClause = () => {
    if (isOnlyStopWords) for (const word of stopWords) found(word, "stop word");
    isOnlyStopWords = true;
    stopWords = [];
  };
  for (const step of stepsOf(source)) {
    const folded = fold(step);
    let end = 0;
    token.lastIndex = 0;
    for (let match = token.exec(folded); match !== null; match = token.exec(folded)) {
      if (++count % TOKENS_OF_STEP === 0) yield;
      const word = match[0];
      if (language === "en") {
        const between = tail + folded.slice(end, match.index);
        tail = "";
        if (between !== " " && ENDS_CLAUSE.test(between)) endClause();
        end = token.lastIndex;
        if (/^[a-z]+$/.test(word)) {
          CLITIC.lastIndex = end;
          const clitic = CLITIC.exec(folded)?.[0] ?? "";
          end += clitic.length;
          token.lastIndex = end;
          const isNegation = clitic === "'t" && word.endsWith("n"); // don't, isn't, can't
          if (isNegation || isStopWord(word)) {
            if (isOnlyStopWords) stopWords.push(cut(word));
          } else {
            isOnlyStopWords = false;
            found(stem(cut(word)), "word");
          }
          continue;
        }
        isOnlyStopWords = false;
      }
      if (word.endsWith("+") || word.endsWith("#")) {
        found(word, "word");
        found(word.charAt(0), "word");
      } else if (hasPairs(word)) {
        for (const { text, isPaired } of yield* partsOf(word)) {
          if (isPaired) yield* pairs(text, found);
          else found(cut(text), "word");
        }
      } else {
        found(cut(word), "word");
      }
    }
    if (language === "en") tail += folded.slice(end);
    yield;
  }
  endClause();
}

/**
 * Characters of the scripts that are indexed as pairs, first and last of each range, as code points and not by `\p{Script=…}`: that is one thing
 * less that depends on the engine's version of Unicode. Characters of the first list count alone too.
 */
const ALONE = [
  ...[0x4e00, 0x9fff, 0x3400, 0x4dbf, 0x20000, 0x3ffff, 0xf900, 0xfaff, 0x2e80, 0x2fdf], // Han
  ...[0x3005, 0x3007, 0x3021, 0x3029, 0x3038, 0x303b], // signs and numbers of Han
  ...[0xac00, 0xd7a3], // Hangul
];
const NOT_ALONE = [
  ...[0x3041, 0x312f, 0x31a0, 0x31bf, 0x31f0, 0x31ff, 0x1aff0, 0x1b16f], // Kana, Bopomofo
  ...[0x1100, 0x11ff, 0x3130, 0x318f, 0xa960, 0xa97f, 0xd7b0, 0xd7ff], // letters of Hangul
  ...[0x0e00, 0x0eff, 0x1000, 0x109f, 0xa9e0, 0xa9ff, 0xaa60, 0xaa7f, 0x1780, 0x17ff], // Thai, Lao, Myanmar, Khmer
];

function isIn(ranges: readonly number[], character: string): boolean {
  const code = character.codePointAt(0) as number;
  for (let at = 0; at < ranges.length; at += 2) {
    if (code >= (ranges[at] as number) && code <= (ranges[at + 1] as number)) return true;
  }
  return false;
}

/** A character with its marks, which belong to it, of whichever script they are. */
const CHARACTER = /.\p{M}*/gsu;

/** Whether a word has characters that are indexed as pairs: all of them are at U+0E00 or above. */
function hasPairs(word: string): boolean {
  for (let at = 0; at < word.length; at++) if (word.charCodeAt(at) >= 0xe00) return true;
  return false;
}

/** Parts of a word: runs of characters that are indexed as pairs, and of others. */
function* partsOf(word: string): Generator<undefined, { text: string; readonly isPaired: boolean }[]> {
  const parts: { text: string; readonly isPaired: boolean }[] = [];
  let count = 0;
  for (const [character] of word.matchAll(CHARACTER)) {
    if (++count % TOKENS_OF_STEP === 0) yield;
    const isPaired = isIn(ALONE, character) || isIn(NOT_ALONE, character);
    const last = parts.at(-1);
    if (last?.isPaired === isPaired) last.text += character;
    else parts.push({ text: character, isPaired });
  }
  return parts;
}

function* pairs(run: string, found: (term: string, kind: Kind) => void): Generator<undefined, void> {
  let count = 0;
  let before: string | undefined;
  let isFirst = true;
  for (const [character] of run.matchAll(CHARACTER)) {
    if (++count % TOKENS_OF_STEP === 0) yield;
    if (before !== undefined) {
      found(cut(before + character), "word");
      if (isFirst && isIn(ALONE, before)) found(cut(before), "character");
      if (isIn(ALONE, character)) found(cut(character), "character");
      isFirst = false;
    }
    before = character;
  }
  if (isFirst && before !== undefined) found(cut(before), "word");
}

/** Letters that do not decompose, as they are written where a keyboard lacks them; and one form of what comes in several. */
const INSTEAD: Readonly<Record<string, string>> = {
  ...{ ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ð: "d", ħ: "h", ł: "l", þ: "th", ı: "i", ς: "σ" },
  ...{ "‘": "'", "’": "'", ʻ: "'", ʼ: "'" },
};
const LETTERS = new RegExp(`[${Object.keys(INSTEAD).join("")}]`, "g");

/**
 * Characters that do not count: marks that may be left out in writing, and what does not show. Other marks are as good as letters, as the
 * vowels of Indic scripts, or the voicing of Kana.
 */
const IGNORED_RANGES = [
  "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f", // accents, and what surrounds a character
  "\u0591-\u05c7", // points of Hebrew
  "\u0610-\u061a\u0640\u064b-\u065f\u0670", // vowels of Arabic, and what lengthens a word
  "\ufe00-\ufe0f\u{e0100}-\u{e01ef}", // selectors of a variant
  "\u00ad\u200b-\u200d\u2060\ufeff", // soft hyphens, joiners, spaces without width
];
const IGNORED = new RegExp(`[${IGNORED_RANGES.join("")}]`, "gu");

/**
 * More marks in a row than any text has (https://unicode.org/reports/tr15/#Stream_Safe_Text_Format). Engines put marks in order in a time
 * that grows with the square of their number: 100,000 took 5 seconds. The two other characters become marks of Kana.
 */
const TOO_MANY_MARKS = /([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+/gu;

/** Returns a text in lower case, in compatibility form and without accents, so that equal words are equal strings. */
function fold(text: string): string {
  if (/^\p{ASCII}*$/u.test(text)) return text.toLowerCase();
  return text
    .replace(TOO_MANY_MARKS, "$1")
    .normalize("NFKD")
    .toLowerCase()
    .replace(IGNORED, "")
    .replace(LETTERS, (letter) => INSTEAD[letter] ?? letter)
    .normalize("NFC");
}

/** Returns the beginning of a word that is at most {@link MAX_TERM_BYTES} long; no character is cut in two. */
function cut(word: string): string {
  if (word.length * 3 <= MAX_TERM_BYTES) return word;
  let bytes = 0;
  let end = 0;
  for (const character of word) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes > MAX_TERM_BYTES) return word.slice(0, end);
    end += character.length;
  }
  return word;
}
