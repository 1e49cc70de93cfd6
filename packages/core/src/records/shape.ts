import { Addition } from "./records.ts";

/**
 * The shapes of a filter, of columns that are set and of a cursor, for dialects: they build a statement for each shape once, since
 * building its text takes longer than running it, and bind the values.
 */

export type Operator = "=" | "<>" | ">" | ">=" | "<" | "<=" | "in" | "is null" | "contains";

/** A comparison of a column. Its values are `count` of those that the shape was made with, in order. */
export interface Condition {
  readonly column: string;
  readonly operator: Operator;
  readonly count: number;
}

export interface Shape {
  /** The same for all filters of this shape. */
  readonly key: string;
  readonly conditions: readonly Condition[];
  /** Values of all conditions, end to end. */
  readonly values: readonly unknown[];
}

/** Operators by the members of a comparison. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  not: "<>",
  above: ">",
  from: ">=",
  below: "<",
  to: "<=",
};

/** Returns the shape of a filter. Members that are `undefined` are left out. */
export function shapeOf(where: Readonly<Record<string, unknown>>): Shape {
  const conditions: Condition[] = [];
  const values: unknown[] = [];
  let key = "";
  const add = (column: string, operator: Operator, ...some: readonly unknown[]) => {
    conditions.push({ column, operator, count: some.length });
    for (const value of some) values.push(value);
    key += `${column} ${operator} ${some.length},`;
  };
  for (const column of Object.keys(where)) {
    const value = where[column];
    if (value === undefined) continue;
    if (value === null) add(column, "is null");
    else if (!isComparison(value)) add(column, "=", value);
    else {
      for (const [member, operand] of Object.entries(value)) {
        if (operand === undefined) continue;
        if (member === "in") add(column, "in", ...padded(operand as readonly unknown[]));
        else if (member === "contains") for (const part of operand as readonly string[]) add(column, "contains", part);
        else add(column, OPERATORS[member] as Operator, operand);
      }
    }
  }
  return { key, conditions, values };
}

function isComparison(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
}

/**
 * Fills a list up to a power of two, by default with its last value: else each length of a list would be a statement of its own. One
 * that is empty stays so.
 */
export function padded<Value>(values: readonly Value[], filler = values.at(-1)): readonly Value[] {
  if (values.length === 0) return values;
  const length = 2 ** Math.ceil(Math.log2(values.length));
  return Array.from({ length }, (_, at) => (at < values.length ? values[at] : filler) as Value);
}

/** The shape of the columns that an update sets. */
export interface Assignments {
  /** The same for all updates of this shape. */
  readonly key: string;
  readonly columns: readonly Assignment[];
  /** Values by column. */
  readonly values: Readonly<Record<string, unknown>>;
}

interface Assignment {
  readonly column: string;
  /** The value is added to that of the column. */
  readonly isAdded: boolean;
}

/** Returns the shape of columns that are set. Members that are `undefined` are left out. */
export function assignmentsOf(set: Readonly<Record<string, unknown>>): Assignments {
  const given = Object.entries(set).filter(([, value]) => value !== undefined);
  return {
    key: given.map(([column, value]) => `${column}${value instanceof Addition ? "+" : ""}`).join(),
    columns: given.map(([column, value]) => ({ column, isAdded: value instanceof Addition })),
    values: Object.fromEntries(given.map(([name, value]) => [name, value instanceof Addition ? value.by : value])),
  };
}

/** A comparison of a column with the value of a cursor at this position. */
export interface CursorTerm {
  readonly column: string;
  readonly operator: Operator;
  readonly at: number;
}

/**
 * Returns the condition of rows behind a cursor: all terms of one of the alternatives hold. `bound` is implied by each of them: the first
 * column by itself bounds the range of an index.
 */
export function behindCursor(order: readonly (readonly [column: string, direction: "asc" | "desc"])[]): {
  readonly bound: CursorTerm;
  readonly alternatives: readonly (readonly CursorTerm[])[];
} {
  const term = (at: number, ascending: Operator, descending: Operator): CursorTerm => {
    const [column, direction] = order[at] as (typeof order)[number];
    return { column, operator: direction === "asc" ? ascending : descending, at };
  };
  return {
    bound: term(0, ">=", "<="),
    alternatives: order.map((_, last) => [
      ...Array.from({ length: last }, (_, at) => term(at, "=", "=")),
      term(last, ">", "<"),
    ]),
  };
}
