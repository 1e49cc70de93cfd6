import type { RecordQuery, Shape, TableDefinition } from "@waymark/core/kit";

type Order = NonNullable<RecordQuery<TableDefinition, string>["order"]>;

/**
 * Names the index that a statement is to use, by the end of its name; `""`: the primary key; `null`: the server chooses. It is the
 * one of whose first columns the filter has the most values.
 *
 * By themselves the servers read a small table from end to end, and a statement that changes rows locks all that it looks at. With
 * an order it must be one whose rows are in that order: they would sort the rows of a whole space for a page, or walk past
 * all those of other spaces.
 */
export function indexFor(definition: TableDefinition, { conditions }: Shape, order: Order = []): string | null {
  const { key, unique = {}, indexes = {} } = definition;
  const isGiven = (name: string) =>
    conditions.some(({ column, operator }) => column === name && ["=", "in", "is null"].includes(operator));
  const given = ([, columns]: readonly [string, readonly string[]]) => {
    const end = columns.findIndex((name) => !isGiven(name));
    return end === -1 ? columns.length : end;
  };
  const all = [["", key] as const, ...Object.entries(unique), ...Object.entries(indexes)];
  const most = Math.max(...all.map(given));
  const best = all.filter((index) => given(index) === most);
  if (order.length === 0) return most === 0 ? null : (best[0]?.[0] ?? null);
  const isInOrder = ([, columns]: readonly [string, readonly string[]]) =>
    order.every(([name, direction], at) => columns[most + at] === name && direction === order[0]?.[1]);
  return best.find(isInOrder)?.[0] ?? null;
}
