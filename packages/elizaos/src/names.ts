import { labelLine, labelsText } from "./labels.ts";

/** Names of entities. */

/** Makes a list of names of what is given as such: plugins give a single text, a Set, or nothing too. */
export function namesOf(given: unknown): string[] {
  if (given === undefined || given === null) return [];
  if (typeof given === "object" && Symbol.iterator in given) return Array.from(given as Iterable<unknown>, String);
  return [String(given)];
}

/** Columns of names: as they are, and to search in whatever their case. */
export function nameColumns(names: readonly string[]): { readonly names: string; readonly foldedNames: string } {
  return { names: labelsText(names), foldedNames: labelsText(names.map(fold)) };
}

/** A test of names, and parts that the columns have of all rows whose names pass it. */
export interface NameTest {
  readonly where: {
    readonly names?: { readonly contains: readonly string[] };
    readonly foldedNames?: { readonly contains: readonly string[] };
  };
  readonly test: (names: readonly string[]) => boolean;
}

/** Names of which one is the same as one of these. */
export function isNamed(wanted: readonly string[]): NameTest {
  const different = new Set(wanted);
  const [only] = different;
  return {
    where: different.size === 1 ? { names: { contains: [labelLine(only as string)] } } : {},
    test: (names) => names.some((name) => different.has(name)),
  };
}

/** Names of which one has this part, in capitals or not. */
export function hasInName(part: string): NameTest {
  const folded = fold(part);
  const inColumn = JSON.stringify(folded).slice(1, -1); // as names have it that are JSON strings
  return {
    where: { foldedNames: { contains: [inColumn] } },
    test: (names) => names.some((name) => fold(name).includes(folded)),
  };
}

/** Any names. */
export const ANY_NAME: NameTest = { where: {}, test: () => true };

/** Puts a text into lower case as JavaScript does: databases do not agree on that. */
function fold(text: string): string {
  return text.toLowerCase();
}
