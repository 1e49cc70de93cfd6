import { expect, it } from "vitest";
import { Addition } from "../../src/records/records.ts";
import { assignmentsOf, behindCursor, padded } from "../../src/records/shape.ts";

it("fills a list up to a power of two", () => {
  expect(padded([])).toEqual([]);
  expect(padded([1])).toEqual([1]);
  expect(padded([1, 2, 3])).toEqual([1, 2, 3, 3]);
  expect(padded<number | null>([1, 2, 3, 4, 5], null)).toEqual([1, 2, 3, 4, 5, null, null, null]);
});

it("has one shape for all updates of the same columns", () => {
  const one = assignmentsOf({ a: 1, b: new Addition(2), c: undefined, d: null });
  expect(one.columns).toEqual([
    { column: "a", isAdded: false },
    { column: "b", isAdded: true },
    { column: "d", isAdded: false },
  ]);
  expect(one.values).toEqual({ a: 1, b: 2, d: null });
  expect(assignmentsOf({ a: 3, b: new Addition(4), d: "5" }).key).toBe(one.key);
  expect(assignmentsOf({ a: 3, b: 4, d: "5" }).key).not.toBe(one.key);
});

it("selects the rows behind a cursor, and no other", () => {
  const rows = [0, 1, 2].flatMap((a) => [0, 1, 2].flatMap((b) => [0, 1, 2].map((c) => [a, b, c] as const)));
  const columns = ["a", "b", "c"];
  for (const directions of [
    ["asc", "asc", "asc"],
    ["desc", "asc", "desc"],
  ] as const) {
    const { bound, alternatives } = behindCursor(columns.map((column, at) => [column, directions[at] as "asc"]));
    for (const cursor of rows) {
      const holds = (row: readonly number[]) => (term: typeof bound) => {
        const [value, other] = [row[columns.indexOf(term.column)], cursor[term.at]] as [number, number];
        const comparisons: Partial<Record<string, boolean>> = {
          "=": value === other,
          ">": value > other,
          "<": value < other,
          ">=": value >= other,
          "<=": value <= other,
        };
        return comparisons[term.operator] as boolean;
      };
      const compare = (row: readonly number[]) =>
        columns
          .map((_, at) => (directions[at] === "asc" ? 1 : -1) * ((row[at] as number) - (cursor[at] as number)))
          .find((difference) => difference !== 0) ?? 0;
      const selected = rows.filter((row) => alternatives.some((terms) => terms.every(holds(row))));
      expect(selected).toEqual(rows.filter((row) => compare(row) > 0));
      expect(selected.every((row) => holds(row)(bound))).toBe(true);
    }
  }
});
