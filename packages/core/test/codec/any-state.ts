import fc from "fast-check";

/**
 * States of all kinds that the codec supports, and a strict comparison: no matcher of a test library distinguishes holes from
 * `undefined`, compares prototypes, or finds own `__proto__` members.
 */

/** Any UTF-16 units: NUL, lone surrogates, characters that JSON escapes. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom("\0", "\ud800", "a\udc00b", "\u2028", '"\\', "$", '{"$":["undefined"]}'),
);

const anyKey = fc.oneof(
  { weight: 2, arbitrary: anyText },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "$",
      "$$",
      "$$$",
      "$a",
      "a",
      "__proto__",
      "constructor",
      "prototype",
      "toJSON",
      "length",
      "0",
      "",
    ),
  },
);

const anyBytes = fc.uint8Array({ maxLength: 40 });

/** Makes an object. Its members are defined, not assigned, so that `__proto__` is one like any other. */
export function objectOf(
  entries: readonly (readonly [string, unknown])[],
  prototype: object | null = Object.prototype,
): object {
  const object = Object.create(prototype) as object;
  for (const [key, value] of entries) {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  }
  return object;
}

function sparseOf(length: number, elements: readonly (readonly [number, unknown])[]): unknown[] {
  const array: unknown[] = [];
  array.length = length;
  for (const [index, value] of elements) {
    if (index < length) array[index] = value;
  }
  return array;
}

const TAGS = [
  "undefined",
  "number",
  "bigint",
  "date",
  "map",
  "set",
  "bytes",
  "buffer",
  "sparse",
  "null-prototype",
  "other",
];

export const anyState: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown; entries: [string, unknown][] }>((tie) => ({
  entries: fc.array(fc.tuple(anyKey, tie("value")), { maxLength: 5 }),
  value: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.oneof(
      anyText,
      fc.double(),
      fc.integer(),
      fc.boolean(),
      fc.constantFrom(
        null,
        undefined,
        -0,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        Number.NEGATIVE_INFINITY,
        2 ** 53,
        5e-324,
      ),
      fc.bigInt(),
      fc.date({ noInvalidDate: false }),
      anyBytes,
      anyBytes.map((bytes) => Buffer.from(bytes)),
      // A part of a larger buffer, as drivers and streams return them.
      anyBytes.map((bytes) => Buffer.from(bytes).subarray(bytes.length >> 1)),
    ),
    tie("entries").map((entries) => objectOf(entries)),
    tie("entries").map((entries) => objectOf(entries, null)),
    fc.array(tie("value"), { maxLength: 5 }),
    fc
      .tuple(
        fc.integer({ min: 0, max: 12 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), tie("value")), { maxLength: 4 }),
      )
      .map(([length, elements]) => sparseOf(length, elements)),
    fc.array(fc.tuple(tie("value"), tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
    fc.array(tie("value"), { maxLength: 4 }).map((values) => new Set(values)),
    fc
      .tuple(fc.constantFrom(...TAGS), fc.array(tie("value"), { maxLength: 2 }))
      .map(([tag, content]) => ({ $: [tag, ...content] })),
  ),
})).value;

/** Returns the path of the first difference of two values; `null`: a program can see none. */
export function firstDifference(one: unknown, other: unknown, path = "state"): string | null {
  if (typeof one !== "object" || one === null || typeof other !== "object" || other === null) {
    return Object.is(one, other) ? null : path;
  }
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return `${path} (prototype)`;
  if (one instanceof Date) return Object.is(one.getTime(), (other as Date).getTime()) ? null : path;
  if (one instanceof Uint8Array) return Buffer.compare(one, other as Uint8Array) === 0 ? null : path;
  if (one instanceof Map)
    return firstDifference([...one].flat(1), [...(other as Map<unknown, unknown>)].flat(1), `${path} (map)`);
  if (one instanceof Set) return firstDifference([...one], [...(other as Set<unknown>)], `${path} (set)`);
  if (Array.isArray(one) !== Array.isArray(other)) return `${path} (array)`;
  if (Array.isArray(one) && one.length !== (other as unknown[]).length) return `${path} (length)`;
  const keys = Reflect.ownKeys(one);
  const otherKeys = Reflect.ownKeys(other);
  if (keys.length !== otherKeys.length || keys.some((key, index) => key !== otherKeys[index])) return `${path} (keys)`;
  for (const key of keys) {
    const found = firstDifference(memberOf(one, key), memberOf(other, key), `${path}[${String(key)}]`);
    if (found !== null) return found;
  }
  return null;
}

function memberOf(object: object, key: PropertyKey): unknown {
  return Object.getOwnPropertyDescriptor(object, key)?.value;
}
