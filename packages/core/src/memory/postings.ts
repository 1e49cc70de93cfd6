import { CheckpointError } from "../contract/errors.ts";
import { inTurns } from "../database/event-loop.ts";
import {
  insertRecords,
  type RemoveKeysStep,
  type RemoveStep,
  removeKeys,
  removeRecords,
  type Step,
} from "../records/records.ts";
import { readText, type StoredText } from "./items.ts";
import { type ItemRow, type SpaceRow, TERMS, type TermRow } from "./tables.ts";
import { ANALYZER_VERSION, type Analysis, analysisSteps, LANGUAGES, type Language } from "./words.ts";

/** Postings of items: the terms of their texts. */

/** Returns the language of a space. @throws CheckpointError `UNSUPPORTED_FORMAT` */
export function languageOf({ language, analyzer }: SpaceRow): Language {
  const known = LANGUAGES.find((one) => one === language);
  if (known !== undefined && analyzer <= ANALYZER_VERSION) return known;
  const what = known === undefined ? `language ${JSON.stringify(language)}` : `version ${analyzer} of the analyzer`;
  const message = `read memory: the ${what} of a collection is not known; a newer version wrote it`;
  throw new CheckpointError("UNSUPPORTED_FORMAT", message);
}

/** Analyses of the texts of one call, so that none is made twice where the call tries again. */
export class Analyses {
  readonly #made = new Map<string, Analysis>();

  /**
   * Analyzes a text. A long one takes seconds: other calls go on meanwhile. `id`: an id that no other text of the call has; that of a
   * stored text is the revision of its item.
   */
  async of(space: SpaceRow, id: string, text: string): Promise<Analysis> {
    const language = languageOf(space);
    const name = `${language} ${id}`; // a collection that is made anew may have another language
    const known = this.#made.get(name) ?? (await inTurns(analysisSteps(text, language)));
    this.#made.set(name, known);
    return known;
  }
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
 * Removes the postings of items, which are known by their texts: postings are not found by their items. Postings of another
 * version of the analyzer are looked for in the whole space.
 */
export async function removePostings(
  space: SpaceRow,
  items: readonly (StoredText & Pick<ItemRow, "number" | "revision">)[],
  analyses: Analyses,
): Promise<(RemoveKeysStep | RemoveStep)[]> {
  if (items.length === 0) return [];
  if (space.analyzer !== ANALYZER_VERSION) {
    return [removeRecords(TERMS, { space: space.number, number: { in: items.map(({ number }) => number) } })];
  }
  const keys: Pick<TermRow, "space" | "term" | "number">[] = [];
  for (const item of items) {
    const { terms } = await analyses.of(space, item.revision, readText(item));
    for (const term of terms.keys()) keys.push({ space: space.number, term, number: item.number });
  }
  return keys.length === 0 ? [] : [removeKeys(TERMS, keys)];
}
