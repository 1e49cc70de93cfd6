/**
 * English for the analyzer: stop words, and Porter's second stemmer (https://snowballstem.org/algorithms/english/stemmer.html).
 * It is written here, and no package, because terms in databases depend on every detail: a change of either is a new version of
 * the analyzer.
 */

/** Function words. Left out are those that are often a name or a topic as well, such as `us`, `may`, `don`. */
const STOP_WORDS = new Set(
  `a about after all also am an and any are as at be because been before being both but by can could did do does doing during
   each few for from further had has have having he her here hers herself him himself his how i if in into is it its itself just
   me more most my myself no nor not of off on once only or other our ours ourselves out over own same she should so some such
   than that the their theirs them themselves then there these they this those through to too under until up upon very was we
   were what when where which while who whom whose why will with would you your yours yourself yourselves`.split(/\s+/),
);

export function isStopWord(word: string): boolean {
  return STOP_WORDS.has(word);
}

/** Words that the rules would get wrong. */
const EXCEPTIONS = new Map<string, string>([
  ...Object.entries({ skis: "ski", skies: "sky", dying: "die", lying: "lie", tying: "tie" }),
  ...Object.entries({ idly: "idl", gently: "gentl", ugly: "ugli", early: "earli", only: "onli", singly: "singl" }),
  ...["sky", "news", "howe", "atlas", "cosmos", "bias", "andes"].map((word): [string, string] => [word, word]),
]);

/** Words that stay as they are once a plural's `s` is gone. */
const INVARIANT = new Set("inning outing canning herring earring evening proceed exceed succeed".split(" "));

type Suffixes = readonly (readonly [suffix: string, instead: string])[];

/** Longest first: a step tries the longest suffix that a word has, and no other. Most words have none, so they are found by their end. */
const STEP_2 = byLastLetter([
  ["ization", "ize"],
  ["ational", "ate"],
  ["fulness", "ful"],
  ["ousness", "ous"],
  ["iveness", "ive"],
  ["tional", "tion"],
  ["biliti", "ble"],
  ["lessli", "less"],
  ["entli", "ent"],
  ["ation", "ate"],
  ["ogist", "og"],
  ["alism", "al"],
  ["aliti", "al"],
  ["ousli", "ous"],
  ["iviti", "ive"],
  ["fulli", "ful"],
  ["enci", "ence"],
  ["anci", "ance"],
  ["abli", "able"],
  ["izer", "ize"],
  ["ator", "ate"],
  ["alli", "al"],
  ["bli", "ble"],
  ["ogi", "og"],
  ["li", ""],
]);
const STEP_3 = byLastLetter([
  ["ational", "ate"],
  ["tional", "tion"],
  ["alize", "al"],
  ["icate", "ic"],
  ["iciti", "ic"],
  ["ative", ""],
  ["ical", "ic"],
  ["ness", ""],
  ["ful", ""],
]);
const STEP_4 = byLastLetter(
  "ement ance ence able ible ment ant ent ism ate iti ous ive ize ion al er ic"
    .split(" ")
    .map((suffix) => [suffix, ""] as const),
);

function byLastLetter(suffixes: Suffixes): ReadonlyMap<string, Suffixes> {
  const byLetter = new Map<string, (readonly [string, string])[]>();
  for (const suffix of suffixes) {
    const letter = suffix[0].slice(-1);
    byLetter.set(letter, [...(byLetter.get(letter) ?? []), suffix]);
  }
  return byLetter;
}

/** A short syllable at the end: a vowel between consonants, the last no w, x or Y; or a word of vowel and consonant; or `past`. */
const SHORT = /(?:[^aeiouy][aeiouy][^aeiouywxY]|^[aeiouy][^aeiouy]|past)$/;

/** Returns the stem of an English word, which consists of a to z alone: `running` and `runs` are `run`. */
export function stem(word: string): string {
  if (word.length < 3) return word;
  const exception = EXCEPTIONS.get(word);
  if (exception !== undefined) return exception;

  // A y that is a consonant is written Y.
  let stem = word.includes("y") ? word.replace(/^y|(?<=[aeiouy])y/g, "Y") : word;
  if (stem.includes("Yy")) stem = consonantYs(word);
  const first = firstRegion(stem);
  const second = afterVowelAndConsonant(stem, first);

  stem = withoutPlural(stem);
  if (INVARIANT.has(stem)) return stem;
  stem = withoutPast(stem, first);
  if (/[yY]$/.test(stem) && /.[^aeiouy].$/.test(stem)) stem = `${stem.slice(0, -1)}i`;

  let suffix = longest(STEP_2, stem);
  if (suffix !== undefined && stem.length - suffix[0].length >= first) {
    const rest = stem.slice(0, -suffix[0].length);
    const fits = suffix[0] === "li" ? /[cdeghkmnrt]$/ : suffix[0].startsWith("ogi") ? /l$/ : undefined;
    if (fits === undefined || fits.test(rest)) stem = rest + suffix[1];
  }
  suffix = longest(STEP_3, stem);
  if (
    suffix !== undefined &&
    stem.length - suffix[0].length >= (suffix[0] === "ative" ? Math.max(first, second) : first)
  ) {
    stem = stem.slice(0, -suffix[0].length) + suffix[1];
  }
  suffix = longest(STEP_4, stem);
  if (suffix !== undefined && stem.length - suffix[0].length >= second) {
    const rest = stem.slice(0, -suffix[0].length);
    if (suffix[0] !== "ion" || /[st]$/.test(rest)) stem = rest;
  }
  const end = stem.length - 1;
  if (stem.endsWith("e")) {
    if (end >= second || (end >= first && !SHORT.test(stem.slice(0, -1)))) stem = stem.slice(0, -1);
  } else if (end >= second && stem.endsWith("ll")) {
    stem = stem.slice(0, -1);
  }
  return stem.includes("Y") ? stem.replaceAll("Y", "y") : stem;
}

function longest(suffixes: ReadonlyMap<string, Suffixes>, word: string): Suffixes[number] | undefined {
  for (const suffix of suffixes.get(word.slice(-1)) ?? []) if (word.endsWith(suffix[0])) return suffix;
  return undefined;
}

/** Writes each y at the beginning or after a vowel as Y, from the left: after a Y, which is no vowel, a y is a vowel. */
function consonantYs(word: string): string {
  let written = "";
  for (const letter of word) {
    const isConsonant = letter === "y" && (written === "" || /[aeiouy]$/.test(written));
    written += isConsonant ? "Y" : letter;
  }
  return written;
}

/** Where the part begins in which most suffixes must lie: after the first consonant that follows a vowel. */
function firstRegion(word: string): number {
  const prefix = /^(?:gener|commun|arsen|univers|later|emerg|organ|inter|past)/.exec(word);
  return prefix === null ? afterVowelAndConsonant(word, 0) : prefix[0].length;
}

function afterVowelAndConsonant(word: string, from: number): number {
  let at = from;
  while (at < word.length && !isVowel(word, at)) at++;
  while (at < word.length && isVowel(word, at)) at++;
  return Math.min(at + 1, word.length);
}

function isVowel(word: string, at: number): boolean {
  return "aeiouy".includes(word.charAt(at));
}

/** Step 1a. */
function withoutPlural(word: string): string {
  if (!word.endsWith("s") && !word.endsWith("ied")) return word;
  if (word.endsWith("sses")) return word.slice(0, -2);
  if (word.endsWith("ied") || word.endsWith("ies")) return word.slice(0, word.length > 4 ? -2 : -1);
  if (word.endsWith("us") || word.endsWith("ss")) return word;
  return /[aeiouy].+s$/.test(word) ? word.slice(0, -1) : word;
}

/** Step 1b. */
function withoutPast(word: string, first: number): string {
  const suffix = "dgy".includes(word.slice(-1)) ? /(?:eed|ed|ing)(?:ly)?$/.exec(word)?.[0] : undefined;
  if (suffix === undefined) return word;
  const rest = word.slice(0, -suffix.length);
  if (suffix === "ing" && /^[^aeiouy]y$/.test(rest)) return `${rest.charAt(0)}ie`;
  if (suffix.startsWith("eed")) return rest.length >= first ? `${rest}ee` : word;
  if (!/[aeiouy]/.test(rest)) return word;
  if (/(?:at|bl|iz)$/.test(rest)) return `${rest}e`;
  if (/([bdfgmnprt])\1$/.test(rest)) return /^[aeo]..$/.test(rest) ? rest : rest.slice(0, -1);
  return rest.length === first && SHORT.test(rest) ? `${rest}e` : rest;
}
