/** Marks for what JSON has not. */
const CYCLE = "[Circular]";
const TOO_DEEP = "[Too deep]";
const UNREADABLE = "[Unreadable]";

/** Objects within objects that a copy has. */
const MAX_DEPTH = 100;

/**
 * Makes JSON of a value, as JSON.stringify does. Where that refuses, big integers are texts, and marks stand for objects within themselves,
 * for what is nested too deep, and for members that throw when they are read.
 */
export function lenientJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch {
    return JSON.stringify(copyOf(value, new Set())) ?? "null";
  }
}

/** Copies a value that JSON.stringify refuses. `ancestors`: the objects that it is in. */
function copyOf(value: unknown, ancestors: Set<object>): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (ancestors.has(value)) return CYCLE;
  if (ancestors.size === MAX_DEPTH) return TOO_DEEP;
  ancestors.add(value);
  try {
    return copyOfObject(value, ancestors);
  } catch {
    return UNREADABLE;
  } finally {
    ancestors.delete(value);
  }
}

function copyOfObject(value: object, ancestors: Set<object>): unknown {
  const toJson: unknown = Reflect.get(value, "toJSON");
  if (typeof toJson === "function") return copyOf(toJson.call(value), ancestors);
  if (Array.isArray(value)) return value.map((item) => copyOf(item, ancestors));
  return Object.fromEntries(Object.keys(value).map((name) => [name, copyOfMember(value, name, ancestors)]));
}

function copyOfMember(value: object, name: string, ancestors: Set<object>): unknown {
  try {
    return copyOf(Reflect.get(value, name), ancestors);
  } catch {
    return UNREADABLE;
  }
}
