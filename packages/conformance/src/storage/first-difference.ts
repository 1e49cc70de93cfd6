/**
 * Returns the path of the first difference between two values and a description of it, or `null` if there is none. It
 * compares prototypes, the order of keys and entries, holes and signs of zero, so it is stricter than the equality of
 * assertion libraries. It knows no encoding.
 */
export function firstDifference(one: unknown, other: unknown, path = "value"): string | null {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return Object.is(one, other) ? null : `${path}: ${kind(one)} and ${kind(other)}`;
  }
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return `${path}: the prototypes`;
  if (one instanceof Date && other instanceof Date)
    return firstDifference(one.getTime(), other.getTime(), `${path}.getTime()`);
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    return Buffer.compare(one, other) === 0 ? null : `${path}: the bytes`;
  }
  if (one instanceof Map && other instanceof Map)
    return firstDifference([...one].flat(1), [...other].flat(1), `${path}.entries()`);
  if (one instanceof Set && other instanceof Set) return firstDifference([...one], [...other], `${path}.values()`);
  if (Array.isArray(one) && Array.isArray(other) && one.length !== other.length) return `${path}.length`;
  const keys = Reflect.ownKeys(one);
  const otherKeys = Reflect.ownKeys(other);
  if (keys.length !== otherKeys.length || keys.some((key, index) => key !== otherKeys[index]))
    return `${path}: the keys`;
  for (const key of keys) {
    const found = firstDifference(
      Reflect.get(one, key),
      Reflect.get(other, key),
      `${path}[${JSON.stringify(String(key))}]`,
    );
    if (found !== null) return found;
  }
  return null;
}

function kind(value: unknown): string {
  if (typeof value === "string") return `a string of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return Object.is(value, -0) ? "-0" : String(value);
}
