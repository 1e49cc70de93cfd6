import { createHash } from "node:crypto";
import { linesOf } from "../codec/metadata.ts";
import type { RowHead } from "./dialect.ts";

/**
 * Terms: what checkpoints are indexed by across agents, all values of a label or the checkpoints of one name. A row has a line
 * for each of its labels, that of its metadata, and one for its name; the line of a term begins with the term.
 */

/** Returns the term of a label. */
export function labelTerm(label: string): string {
  return JSON.stringify(label);
}

/** Returns the term of the checkpoints of one name. No label has such a term: theirs begin with a quote. */
export function nameTerm(name: string): string {
  return `name ${JSON.stringify(name)}`;
}

export function nameLine(name: string): string {
  return `\n${nameTerm(name)}:\n`;
}

/** Returns the lines of a row that belong to terms. */
export function linesOfTerms(
  { name, metadata }: Pick<RowHead, "name" | "metadata">,
  terms: Iterable<string>,
): string[] {
  const lines = [nameLine(name), ...(metadata === null ? [] : linesOf(metadata))];
  const beginnings = Array.from(terms, (term) => `\n${term}:`);
  return lines.filter((line) => beginnings.some((beginning) => line.startsWith(beginning)));
}

/** Returns the labels, and the names of checkpoints, that terms stand for. */
export function namesOfTerms(terms: readonly string[]): { labels: string[]; names: string[] } {
  const [labels, names] = [terms.filter((term) => term.startsWith('"')), terms.filter((term) => !term.startsWith('"'))];
  return {
    labels: labels.map((term) => JSON.parse(term) as string),
    names: names.map((term) => JSON.parse(term.slice("name ".length)) as string),
  };
}

/** Returns the key of a line in the index: the digest of the line, with its line breaks. */
export function lineKey(line: string): string {
  const hex = createHash("sha256").update(line).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
