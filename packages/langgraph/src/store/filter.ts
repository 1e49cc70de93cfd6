import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { CheckpointError, type CheckpointMetadata } from "@waymark/core";
import { invalidArgument, isPlain, quoted } from "@waymark/core/kit";

/**
 * Filters of a search, by the members of items' values.
 *
 * A member that is a string, number, boolean or null is also a label of its item, by which the database filters. A label is a hash of
 * the member's name and value, eight characters, so that those of a thousand members fit into what labels may take. What the database
 * has found is compared once more here: two members with one hash do no harm.
 */

/** Labels of this length fill about 15 of the 16 KiB that all labels of an item may take. */
const MAX_LABELS = 1_200;
const LABEL_LENGTH = 8;

const OPERATORS = {
  $eq: isEqual,
  $ne: (value: unknown, operand: unknown) => !isEqual(value, operand),
  // As LangGraph compares: by number.
  $gt: (value: unknown, operand: unknown) => Number(value) > Number(operand),
  $gte: (value: unknown, operand: unknown) => Number(value) >= Number(operand),
  $lt: (value: unknown, operand: unknown) => Number(value) < Number(operand),
  $lte: (value: unknown, operand: unknown) => Number(value) <= Number(operand),
  $in: (value: unknown, operand: unknown) => Array.isArray(operand) && operand.some((one) => isEqual(value, one)),
  $nin: (value: unknown, operand: unknown) => !(Array.isArray(operand) && operand.some((one) => isEqual(value, one))),
} as const;

type Operator = keyof typeof OPERATORS;

/** A filter, checked. */
export interface StoreFilter {
  /** Labels of all items that it selects. */
  readonly labels: CheckpointMetadata;
  /** `true`: the labels say all that the filter does. */
  readonly isByLabels: boolean;
  /** Returns whether it selects an item with this value. */
  isMatch(value: unknown): boolean;
}

export const NO_FILTER: StoreFilter = { labels: {}, isByLabels: true, isMatch: () => true };

/** @throws CheckpointError `INVALID_ARGUMENT` for an operator that is none */
export function parseFilter(field: string, filter: unknown): StoreFilter {
  if (filter === undefined || filter === null) return NO_FILTER;
  if (typeof filter !== "object" || Array.isArray(filter)) throw invalidArgument(field, "an object", filter);
  const labels: Record<string, 0> = {};
  const conditions: ((value: object) => boolean)[] = [];
  let isByLabels = true;
  for (const [name, wanted] of Object.entries(filter)) {
    const operators = operatorsOf(`${field}[${quoted(name)}]`, wanted);
    for (const [operator, operand] of operators) {
      if (operator === "$exists") {
        conditions.push((value) => Object.hasOwn(value, name) === Boolean(operand));
      } else {
        const compare = OPERATORS[operator];
        conditions.push((value) => compare(memberOf(value, name), operand));
      }
      const label = operator === "$eq" ? labelOf(name, operand) : null;
      if (label === null) isByLabels = false;
      else labels[label] = 0;
    }
  }
  return {
    labels,
    isByLabels,
    isMatch: (value) => typeof value === "object" && value !== null && conditions.every((holds) => holds(value)),
  };
}

/** Returns the comparisons of a condition: its operators, or equality. */
function operatorsOf(field: string, wanted: unknown): (readonly [Operator | "$exists", unknown])[] {
  const isObject = typeof wanted === "object" && wanted !== null && isPlain(wanted);
  const entries = isObject ? Object.entries(wanted) : [];
  if (!isObject || (entries.length > 0 && !entries.some(([name]) => name.startsWith("$")))) return [["$eq", wanted]];
  return entries.map(([name, operand]) => {
    if (name === "$exists" || Object.hasOwn(OPERATORS, name)) return [name as Operator | "$exists", operand];
    const names = [...Object.keys(OPERATORS), "$exists"].join(", ");
    throw invalidArgument(field, `a value, or an object of the operators ${names}`, wanted);
  });
}

function memberOf(value: object, name: string): unknown {
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** As `===`, and objects by their content: a value that was stored is never the object that is asked for. */
function isEqual(value: unknown, other: unknown): boolean {
  return value === other || (typeof value === "object" && value !== null && isDeepStrictEqual(value, other));
}

/** Returns the labels of a value. @throws CheckpointError `STATE_TOO_LARGE` for one with too many members that are scalars */
export function labelsOfValue(field: string, value: object): CheckpointMetadata {
  const labels: Record<string, 0> = {};
  let count = 0;
  for (const [name, member] of Object.entries(value)) {
    const label = labelOf(name, member);
    if (label === null) continue;
    labels[label] = 0;
    count += 1;
  }
  if (count <= MAX_LABELS) return labels;
  const message = `expected ${field} to have at most ${MAX_LABELS} members that are strings, numbers, booleans or null`;
  throw new CheckpointError("STATE_TOO_LARGE", `${message}, got ${count}; put them into an object within it`);
}

/** Returns the label of a member; `null` if it has none. */
function labelOf(name: string, member: unknown): string | null {
  const isLabel =
    typeof member === "string" || typeof member === "boolean" || member === null || Number.isFinite(member);
  if (!isLabel) return null;
  return hash("sha256", JSON.stringify([name, member]), "base64url").slice(0, LABEL_LENGTH);
}
