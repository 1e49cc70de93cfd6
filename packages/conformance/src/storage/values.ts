import fc from "fast-check";

/** States that a careless encoding loses or changes, by name. */
export const SPECIAL_STATES: Readonly<Record<string, unknown>> = {
  "null at the top": null,
  "undefined at the top": undefined,
  "true at the top": true,
  "a number at the top": 0.1,
  "a string at the top": "text",
  "an empty string": "",
  "an empty object": {},
  "an empty array": [],
  "undefined in objects and arrays": { a: undefined, list: [undefined, 1, undefined] },
  "-0": [-0, { zero: -0 }, 0],
  "-0 at the top": -0,
  "NaN and the infinities": [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  "the largest and smallest numbers": [
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    Number.MIN_VALUE,
    Number.MAX_SAFE_INTEGER,
    2 ** 53,
    1e21,
    1e-7,
  ],
  bigints: [0n, -1n, 2n ** 64n, -(2n ** 200n), 9_007_199_254_740_993n],
  "a Date": { at: new Date(1_700_000_000_123), before: new Date(-1) },
  "the earliest and the latest Date": [new Date(-8_640_000_000_000_000), new Date(8_640_000_000_000_000), new Date(0)],
  "a Date that is invalid": new Date(Number.NaN),
  "a Map": new Map<unknown, unknown>([
    ["a", 1],
    [1, "number"],
    ["1", "text"],
    [null, undefined],
    [undefined, null],
    [Number.NaN, 0],
  ]),
  "a Map with containers as keys and values": new Map([[{ key: [1] }, new Map([[[2], new Set([3])]])]]),
  "a Map whose entries are not sorted": new Map([
    ["z", 1],
    ["a", 2],
    ["m", 3],
  ]),
  "an empty Map and an empty Set": [new Map(), new Set()],
  "a Set": new Set<unknown>(["b", "a", 1, "1", null, undefined, Number.NaN, { a: 1 }]),
  "a Uint8Array": new Uint8Array([0, 1, 127, 128, 255]),
  "a Uint8Array that is part of a larger buffer": new Uint8Array(new Uint8Array([9, 1, 2, 3, 9]).buffer, 1, 3),
  "a Uint8Array without bytes": new Uint8Array(0),
  "a Buffer": Buffer.from("bytes"),
  "every byte": Uint8Array.from({ length: 256 }, (_, byte) => byte),
  "NUL in text and keys": { "a\0b": "\0", "\0": ["\0\0"] },
  "lone surrogates in text and keys": { "\ud800": "\udc00", a: "x\ud83d", b: "\udc00\ud800" },
  "every kind of line break and control character":
    Array.from({ length: 33 }, (_, code) => String.fromCharCode(code)).join("") + "\u007f\u0085\u2028\u2029\ufeff",
  "characters beyond the basic plane": "🚀👨‍👩‍👧\u{10ffff}\u{e000}\uffff\ufffe",
  "quotes and backslashes": `'"\`\\ \\' \\" '' "" \\u0000 \\x00 %s $1 ? :a`,
  "unnormalised text": ["e\u0301", "\u00e9", "\u212b"],
  "a sparse array": sparse(5, [
    [1, "one"],
    [3, undefined],
  ]),
  "a sparse array of holes only": sparse(1_000, []),
  "an own __proto__ key": JSON.parse('{"__proto__": {"polluted": true}, "a": 1}'),
  "an own __proto__ key beside a value that JSON cannot represent": Object.assign(
    JSON.parse('{"__proto__": {"polluted": true}}'),
    {
      a: 1n,
    },
  ),
  "keys of Object.prototype": {
    constructor: 1,
    toString: "a",
    hasOwnProperty: null,
    valueOf: [],
    __defineGetter__: {},
  },
  "a toJSON member that is data": { toJSON: "text", nested: [{ toJSON: { a: 1 } }] },
  "an object without a prototype": Object.assign(Object.create(null), { a: 1, b: { c: [] } }),
  "keys that look like numbers": { 2: "b", 1: "a", "-1": "c", "01": "d", "1.5": "e", "4294967295": "f" },
  "an empty key": { "": { "": [""] } },
  "objects that look like Waymark's own encoding": [
    { $: ["undefined"] },
    { $: ["number", "-0"] },
    { $: ["map", ["a", 1]] },
    { $: ["bytes", "AAEC"] },
    { $: { $: ["date", 0] } },
    { $$: 1, $: 2, $$$: 3 },
    { $: ["no such tag"] },
    { $type: "Map", $date: 0, $numberLong: "1", __type: "Set", "@type": "x", json: {}, meta: { values: {} } },
  ],
  "an object that looks like Waymark's own encoding, beside a value that JSON cannot represent": {
    a: { $: ["undefined"], $$: 1 },
    b: undefined,
  },
  "one of Waymark's own encodings as text": '{"$":["undefined"]}',
  "nesting of 900 levels": nested(900, (inner) => [inner]),
  "nesting of 900 levels of Maps": nested(900, (inner) => new Map([["k", inner]])),
  "one object at several places": shared({ a: [1, 2] }),
  "10,000 members": Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key ${index}`, index])),
};

function sparse(length: number, elements: readonly (readonly [number, unknown])[]): unknown[] {
  const array: unknown[] = [];
  array.length = length;
  for (const [index, value] of elements) array[index] = value;
  return array;
}

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = "core";
  for (let level = 0; level < levels; level++) value = wrap(value);
  return value;
}

function shared(value: unknown): unknown {
  return { one: value, other: value, list: [value, value] };
}

class Point {
  x = 1;
}

/** States that cannot be stored without loss, and the path that the error names. */
export const UNSUPPORTED_STATES: Readonly<Record<string, readonly [state: unknown, path: string]>> = {
  "a function": [{ tools: [{}, {}, { run: () => 1 }] }, "state.tools[2].run"],
  "a function at the top": [() => 1, "state"],
  "a symbol": [{ list: [Symbol("s")] }, "state.list[0]"],
  "a symbol as a key": [{ a: { [Symbol("s")]: 1 } }, "state.a"],
  "an instance of a class": [{ point: new Point() }, "state.point"],
  "an instance of a class that extends Map": [{ a: new (class Registry extends Map {})() }, "state.a"],
  "an array of a class of its own": [{ a: new (class List extends Array {})() }, "state.a"],
  "an Error": [{ error: new RangeError("text") }, "state.error"],
  "a RegExp": [[/a/], "state[0]"],
  "a Promise": [{ later: Promise.resolve(1) }, "state.later"],
  "a WeakMap": [{ cache: new WeakMap() }, "state.cache"],
  "a boxed number": [{ count: Object(1) }, "state.count"],
  "a Float64Array": [{ vector: new Float64Array(2) }, "state.vector"],
  "an ArrayBuffer": [{ raw: new ArrayBuffer(2) }, "state.raw"],
  "a URL": [{ link: new URL("https://example.org/") }, "state.link"],
  "a toJSON method": [{ a: { toJSON: () => 1 } }, "state.a.toJSON"],
  "a non-enumerable member": [{ a: Object.defineProperty({}, "hidden", { value: 1 }) }, "state.a"],
  "an array with members beside its elements": [{ a: Object.assign([1], { more: 2 }) }, "state.a"],
  "a Map with members of its own": [{ a: Object.assign(new Map(), { more: 2 }) }, "state.a"],
  "a Uint8Array with members of its own": [{ a: Object.assign(new Uint8Array(1), { more: 2 }) }, "state.a"],
  "a Date with members of its own": [{ a: Object.assign(new Date(0), { more: 2 }) }, "state.a"],
  "a function in a Map": [{ a: new Map([["k", () => 1]]) }, "state.a"],
  "a function in a Set": [{ a: new Set([() => 1]) }, "state.a"],
  "a function under a key that is not a plain word": [{ "a key": { "": () => 1 } }, 'state["a key"][""]'],
  "a cycle": [cyclic((self) => ({ self })), "state"],
  "a cycle of arrays": [cyclic((self) => [1, self]), "state"],
  "a cycle through a Map": [cyclic((self) => new Map([["self", self]])), "state"],
  "nesting of 2,000 levels": [nested(2_000, (inner) => ({ inner })), "state.inner"],
  "nesting of 100,000 levels": [nested(100_000, (inner) => [inner]), "state[0]"],
};

/** Returns a value that contains itself, one level down. */
function cyclic(wrap: (self: unknown[]) => unknown): unknown {
  const self: unknown[] = [];
  self.push(wrap(self));
  return self;
}

const text = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) });

const key = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom("__proto__", "constructor", "toJSON", "$", "$$", "length", "0", "") },
);

const leaf = fc.oneof(
  fc.constantFrom(undefined, null, true, false, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.double(),
  fc.integer(),
  fc.bigInt(),
  text,
  fc.date({ noInvalidDate: false }),
  fc.uint8Array(),
);

/** Generates any value that a state may contain, nested. */
export const anyState: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: "state" },
    leaf,
    fc.array(tie("value"), { maxLength: 5, depthIdentifier: "state" }),
    fc.dictionary(key, tie("value"), { maxKeys: 5, depthIdentifier: "state", noNullPrototype: false }),
    fc
      .array(fc.tuple(tie("value"), tie("value")), { maxLength: 4, depthIdentifier: "state" })
      .map((entries) => new Map(entries)),
    fc.array(tie("value"), { maxLength: 4, depthIdentifier: "state" }).map((values) => new Set(values)),
    fc.sparseArray(tie("value"), { maxNumElements: 3, maxLength: 8, depthIdentifier: "state" }),
    fc
      .tuple(fc.constantFrom("undefined", "number", "map", "set", "bytes", "sparse", "?"), tie("value"))
      .map((tag) => ({ $: tag })),
  ),
})).value;
