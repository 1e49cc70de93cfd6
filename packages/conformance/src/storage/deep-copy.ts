/**
 * Returns a copy that shares nothing with the value and in which `firstDifference` finds no difference to it.
 * `structuredClone` loses prototypes, Buffers and holes.
 */
export function deepCopy<Value>(value: Value): Value {
  return copy(value) as Value;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return new Date(value.getTime());
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (value instanceof Map) return new Map(Array.from(value, ([key, item]) => [copy(key), copy(item)]));
  if (value instanceof Set) return new Set(Array.from(value, copy));
  const made: object = Array.isArray(value)
    ? Object.assign([], { length: value.length })
    : Object.create(Object.getPrototypeOf(value));
  for (const key of Object.keys(value)) {
    // Defined and not assigned: a key may be `__proto__`.
    const item = copy(Reflect.get(value, key));
    Object.defineProperty(made, key, { value: item, writable: true, enumerable: true, configurable: true });
  }
  return made;
}
