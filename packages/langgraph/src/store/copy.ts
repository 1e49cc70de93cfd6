import { isPlain } from "@waymark/core/kit";

/**
 * Copies the arrays and plain objects of a value, as deep as they go: what its owner changes while texts are embedded is not
 * stored. All else stays as it is, for the memory to store or refuse.
 */
export function copyOf(value: unknown, copies = new Map<object, unknown>()): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    copies.set(value, copy);
    for (const one of value) copy.push(copyOf(one, copies));
    return copy;
  }
  if (!isPlain(value)) return value;
  const copy: Record<string, unknown> = {};
  copies.set(value, copy);
  for (const [name, member] of Object.entries(value)) {
    // Not by assignment, which would take `__proto__` for the prototype.
    Object.defineProperty(copy, name, {
      value: copyOf(member, copies),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return copy;
}
