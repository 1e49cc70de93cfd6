import type { Checkout } from "./against.ts";
import { figure } from "./print.ts";
import type { Table } from "./report.ts";
import { median } from "./statistics.ts";
import type { System } from "./systems/system.ts";

/**
 * Compares each system with its twin: a row for each of the `figures`. The ratio of a pair compares their runs of the same
 * repetition.
 */
export function compare<Run, Figures>(
  label: string,
  systems: readonly Pick<System, "id" | "twinOf">[],
  runs: ReadonlyMap<string, readonly Run[]>,
  figuresOf: (runs: readonly Run[]) => Figures,
  figures: Readonly<Record<string, (figures: Figures) => number>>,
): string[][] {
  return systems.flatMap(({ id, twinOf: own }) => {
    const here = runs.get(own ?? "");
    const there = runs.get(id);
    if (here === undefined || there === undefined) return [];
    return Object.entries(figures).map(([name, pick]) => {
      const of = (some: readonly Run[]) => pick(figuresOf(some));
      const pairs = here.map((run, repetition) => of([run]) / of([there[repetition] as Run]));
      const range = `${figure(Math.min(...pairs))} to ${figure(Math.max(...pairs))}`;
      const ratio = of(here) / of(there);
      return [
        `${label}, ${own}: ${name}`,
        ...[of(here), of(there), ratio, median(pairs)].map((value) => figure(value)),
        range,
      ];
    });
  });
}

/** Makes the table of the rows of `compare`. Empty: no other checkout was asked for. */
export function comparison(against: Checkout | undefined, rows: readonly string[][]): Table[] {
  if (against === undefined) return [];
  return [
    {
      title: `This checkout relative to ${against.folder}. Pairs: runs of the same repetition`,
      head: ["figure", "here", "there", "here / there", "median of pairs", "least and greatest"],
      rows,
    },
  ];
}
