import type { RecordQuery, Shape, TableDefinition } from "@waymark/core/kit";

type Order = NonNullable<RecordQuery<TableDefinition, string>["order"]>;

/** An index by the end of its name, with its columns. `""`: the primary key. */
type Index = readonly [end: string, columns: readonly string[]];

/**
 * Names the index that a read is to use, by the end of its name; `null`: the server chooses. It is one for all of whose columns the
 * filter has values, or one whose rows are in the order that is asked for. By themselves the servers sort the rows of a whole space
 * for a page; or, for a few rows by another key, they walk all of a space in that order.
 */
export function indexToRead(definition: TableDefinition, shape: Shape, order: Order): string | null {
  const { most, best } = bestIndexes(definition, shape);
  const isInOrder = ([, columns]: Index) =>
    order.every(([name, direction], at) => columns[most + at] === name && direction === order[0]?.[1]);
  const found = best.find(([, columns]) => columns.length === most) ?? (order.length > 0 ? best.find(isInOrder) : null);
  return found?.[0] ?? null;
}

/**
 * Names the index by which rows that change are to be found. By themselves the servers read a small table from end to end, and
 * lock all rows that they look at.
 */
export function indexToChange(definition: TableDefinition, shape: Shape): string | null {
  const { most, best } = bestIndexes(definition, shape);
  return most === 0 ? null : (best[0]?.[0] ?? null);
}

/** Returns the indexes of whose first columns the filter has the most values, and how many these are. */
function bestIndexes(definition: TableDefinition, { conditions }: Shape): { most: number; best: Index[] } {
  const { key, unique = {}, indexes = {} } = definition;
  const isGiven = (name: string) =>
    conditions.some(({ column, operator }) => column === name && ["=", "in", "is null"].includes(operator));
  const given = ([, columns]: Index) => {
    const end = columns.findIndex((name) => !isGiven(name));
    return end === -1 ? columns.length : end;
  };
  const all: Index[] = [["", key], ...Object.entries(unique), ...Object.entries(indexes)];
  const most = Math.max(...all.map(given));
  return { most, best: all.filter((index) => given(index) === most) };
}
