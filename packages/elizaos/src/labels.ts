import { fromJson } from "./json.ts";

/**
 * Lists of texts in one column: JSON strings, each on a line of its own, with a line break at either end. So a label is in the list if its
 * line is a part of the text, on every database; a line break within a label is escaped.
 */

export function labelsText(labels: readonly string[]): string {
  return labels.length === 0 ? "" : `\n${labels.map((label) => JSON.stringify(label)).join("\n")}\n`;
}

export function labelsOf(text: string): string[] {
  return text.split("\n").flatMap((line) => (line === "" ? [] : [fromJson<string>(line)]));
}

/** The part of the text that a list with this label has. */
export function labelLine(label: string): string {
  return `\n${JSON.stringify(label)}\n`;
}
