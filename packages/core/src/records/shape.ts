/**
 * The shape of a filter, for dialects: they build a statement for each shape once, since building its text takes longer than
 * running it, and bind the values.
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

/** Repeats the last value up to a power of two: else each length of a list would be a statement of its own. */
function padded(values: readonly unknown[]): readonly unknown[] {
  if (values.length === 0) return values;
  const length = 2 ** Math.ceil(Math.log2(values.length));
  return Array.from({ length }, (_, at) => values[Math.min(at, values.length - 1)]);
}
