import { CheckpointError } from "../contract/errors.ts";
import {
  insertRecords,
  type RemoveKeysStep,
  type RemoveStep,
  removeKeys,
  removeRecords,
  type Step,
} from "../records/records.ts";
import { readText, type StoredText } from "./items.ts";
import { type SpaceRow, TERMS, type TermRow } from "./tables.ts";
import { ANALYZER_VERSION, type Analysis, analyze, LANGUAGES, type Language } from "./words.ts";

/** Postings of items: the terms of their texts. */

/** Returns the language of a space. @throws CheckpointError `UNSUPPORTED_FORMAT` */
export function languageOf({ language, analyzer }: SpaceRow): Language {
  const known = LANGUAGES.find((one) => one === language);
  if (known !== undefined && analyzer <= ANALYZER_VERSION) return known;
  const what = known === undefined ? `language ${JSON.stringify(language)}` : `version ${analyzer} of the analyzer`;
  const message = `read memory: the ${what} of a collection is not known; a newer version wrote it`;
  throw new CheckpointError("UNSUPPORTED_FORMAT", message);
}

export function analyzeFor(space: SpaceRow, text: string): Analysis {
  return analyze(text, languageOf(space));
}

/** Makes the postings of an item. */
export function postingsOf(space: number, number: number, { terms, length }: Analysis): TermRow[] {
  return Array.from(terms, ([term, frequency]) => ({ space, term, number, frequency, length }));
}

/** Inserts postings. In the order of their key: writers of other spaces lock in the same order. */
export function insertPostings(postings: readonly TermRow[]): Step[] {
  if (postings.length === 0) return [];
  const sorted = [...postings].sort((one, other) => {
    if (one.space !== other.space) return one.space - other.space;
    if (one.term !== other.term) return one.term < other.term ? -1 : 1;
    return one.number - other.number;
  });
  return [insertRecords(TERMS, sorted)];
}

/**
 * Removes the postings of items, which are known by their texts: postings are not found by their items. Those of another version of
 * the analyzer are looked for in the whole space.
 */
export function removePostings(
  space: SpaceRow,
  items: readonly (StoredText & { readonly number: number })[],
): (RemoveKeysStep | RemoveStep)[] {
  if (items.length === 0) return [];
  if (space.analyzer !== ANALYZER_VERSION) {
    return [removeRecords(TERMS, { space: space.number, number: { in: items.map(({ number }) => number) } })];
  }
  const keys = items.flatMap((item) =>
    Array.from(analyzeFor(space, readText(item)).terms.keys(), (term) => ({
      space: space.number,
      term,
      number: item.number,
    })),
  );
  return keys.length === 0 ? [] : [removeKeys(TERMS, keys)];
}
