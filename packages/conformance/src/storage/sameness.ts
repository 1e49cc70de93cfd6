/**
 * Where two values differ, or `null` where they are the same in every way that a state can tell: prototypes, the order
 * of keys and entries, holes, signs of zero. Stricter than assertion libraries' equality, and knows no encoding.
 */
export function difference(one: unknown, other: unknown, path = "value"): string | null {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return Object.is(one, other) ? null : `${path}: ${kind(one)} and ${kind(other)}`;
  }
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return `${path}: the prototypes`;
  if (one instanceof Date && other instanceof Date)
    return difference(one.getTime(), other.getTime(), `${path}.getTime()`);
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    return Buffer.compare(one, other) === 0 ? null : `${path}: the bytes`;
  }
  if (one instanceof Map && other instanceof Map)
    return difference([...one].flat(1), [...other].flat(1), `${path}.entries()`);
  if (one instanceof Set && other instanceof Set) return difference([...one], [...other], `${path}.values()`);
  if (Array.isArray(one) && Array.isArray(other) && one.length !== other.length) return `${path}.length`;
  const keys = Reflect.ownKeys(one);
  const otherKeys = Reflect.ownKeys(other);
  if (keys.length !== otherKeys.length || keys.some((key, index) => key !== otherKeys[index]))
    return `${path}: the keys`;
  for (const key of keys) {
    const found = difference(Reflect.get(one, key), Reflect.get(other, key), `${path}[${JSON.stringify(String(key))}]`);
    if (found !== null) return found;
  }
  return null;
}

function kind(value: unknown): string {
  if (typeof value === "string") return `a string of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return Object.is(value, -0) ? "-0" : String(value);
}
