import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Verdict } from "./checker.ts";
import { full } from "./scale.ts";

export interface Result extends Omit<Verdict, "findings"> {
  readonly fault: string;
  /** Problems, as sentences. Empty: the scenario has passed. */
  readonly problems: readonly string[];
}

const COLUMNS = ["operations", "acknowledged", "lost", "duplicated", "wrong"] as const;

/** Formats the results as a Markdown table. */
function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.fault,
    ...COLUMNS.map((column) => result[column].toLocaleString("en-US")),
  ]);
  const sum = (column: (typeof COLUMNS)[number]) => results.reduce((total, result) => total + result[column], 0);
  const total = ["all", ...COLUMNS.map((column) => sum(column).toLocaleString("en-US"))];
  const lines = [["fault", ...COLUMNS], ...rows, total];
  const widths = lines[0]?.map((_, place) => Math.max(...lines.map((line) => line[place]?.length ?? 0))) as number[];
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, place) => (place === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[place] as number))).join(" | ")} |`;
  const rule = `|${widths.map((width, place) => (place === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(lines[0] as string[]), rule, ...lines.slice(1).map(line)].join("\n");
}

/** Prints the table. The table of a complete run at full numbers is also written to results/. */
export function report(name: string, results: readonly Result[], planned: number): void {
  const text = table(results);
  console.log(`\n${name}\n\n${text}\n`);
  if (!full || results.length < planned) return;
  const folder = join(import.meta.dirname, "../results");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.md`), `# ${name}\n\n${text}\n`);
}
