import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { enableMapSet, produce } from "immer";
import { describe, expect, test, vi } from "vitest";
import {
  decodeValue,
  type EncodedText,
  encodeValue,
  MAX_DEPTH,
  MalformedText,
  type TextForm,
  UnsupportedValue,
} from "../../src/codec/values.ts";
import { anyState, firstDifference, objectOf } from "./any-state.ts";

/** Encodes a value as the text that the chunks of a snapshot make up. */
function encodeText(value: unknown): EncodedText {
  const { form, tree } = encodeValue(value);
  return { form, text: JSON.stringify(tree) };
}

function roundTrip(value: unknown): unknown {
  return decodeValue(encodeText(value));
}

/** Returns the message that a value is refused with. */
function refusal(value: unknown): string {
  try {
    encodeText(value);
  } catch (error) {
    expect(error).toBeInstanceOf(UnsupportedValue);
    return (error as Error).message;
  }
  return "(accepted)";
}

/** Returns an array with a hole before its only element. */
function sparse(element: unknown): unknown[] {
  const array: unknown[] = [];
  array[1] = element;
  return array;
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? { a: value } : [value];
  return value;
}

describe("a state that is encoded and decoded", () => {
  test("is strictly equal to the original, whatever it holds", () => {
    fc.assert(
      fc.property(anyState, (state) => {
        expect(firstDifference(roundTrip(state), state)).toBeNull();
      }),
      { numRuns: 20_000 },
    );
  });

  test("is not changed by encoding", () => {
    fc.assert(
      fc.property(
        anyState.map((state) => [state, roundTrip(state)] as const),
        ([state, copy]) => {
          encodeText(state);
          expect(firstDifference(state, copy)).toBeNull();
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("has the same text each time, so that equal states have equal digests", () => {
    fc.assert(
      fc.property(anyState, (state) => {
        expect(encodeText(roundTrip(state))).toEqual(encodeText(state));
      }),
      { numRuns: 2_000 },
    );
  });

  test.each<[string, unknown]>([
    ["null", null],
    ["undefined", undefined],
    ["true", true],
    ["zero", 0],
    ["minus zero", -0],
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["minus Infinity", Number.NEGATIVE_INFINITY],
    ["an empty string", ""],
    ["NUL", "\0"],
    ["a lone surrogate", "\ud83d"],
    ["a bigint", -(2n ** 200n)],
    ["a Date", new Date(1_234_567_890_123)],
    ["a Date before the epoch", new Date(-1)],
    ["the last Date", new Date(8.64e15)],
    ["an invalid Date", new Date(Number.NaN)],
    ["an empty Map", new Map()],
    [
      "a Map with keys of all kinds",
      new Map<unknown, unknown>([
        [Number.NaN, 1],
        [undefined, 2],
        [{ a: 1 }, -0],
        [new Map(), 3n],
      ]),
    ],
    ["a Set with members that look alike", new Set<unknown>([1, "1", 1n, {}, {}])],
    ["an empty Uint8Array", new Uint8Array()],
    ["a Buffer", Buffer.from([0, 255, 128])],
    ["a part of a larger buffer", new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
    ["an array of holes", new Array(5)],
    // biome-ignore lint/suspicious/noSparseArray: the test is about holes
    ["holes beside undefined", [, undefined, , 1, ,]],
    ["an object without a prototype", Object.create(null)],
    ["an own __proto__ member", JSON.parse('{"__proto__":{"polluted":true},"a":{"__proto__":1}}')],
    ["our own tags", { $: ["map", [1, 2]] }],
    ["our own tags, escaped once", { $$: [{ $: ["undefined"] }] }],
    ["a tag beside another member", { $: ["undefined"], a: undefined }],
    ["members that JSON.stringify would call, if they were functions", { toJSON: 1, a: { toJSON: { b: null } } }],
    ["members named as those of every object", { constructor: 1, hasOwnProperty: 2, valueOf: null, toString: "" }],
  ])("is equal to the original if it is %s", (_name, state) => {
    expect(firstDifference(roundTrip(state), state)).toBeNull();
    expect(firstDifference(roundTrip({ in: [state] }), { in: [state] })).toBeNull();
  });

  test.each<[string, string, unknown]>([
    ["objects and arrays", "({ a: [1, { b: [] }], c: undefined })", { a: [1, { b: [] }], c: undefined }],
    ["a Date", "new Date(1)", new Date(1)],
    ["an invalid Date", "new Date(NaN)", new Date(Number.NaN)],
    ["a Map", "new Map([[{ a: 1 }, new Set([2])]])", new Map([[{ a: 1 }, new Set([2])]])],
    ["bytes", "new Uint8Array([0, 1, 2]).subarray(1)", new Uint8Array([1, 2])],
    ["holes", "[, new Date(1)]", sparse(new Date(1))],
  ])("is of this realm if the original is of another realm: %s", (_name, source, expected) => {
    expect(firstDifference(roundTrip(runInNewContext(source)), expected)).toBeNull();
    expect(firstDifference(roundTrip(runInNewContext(`({ in: [${source}] })`)), { in: [expected] })).toBeNull();
  });

  test("may be of Immer, which replaces methods of the Maps and Sets that it freezes", () => {
    enableMapSet();
    const before = { seen: new Set(["a"]), notes: new Map([["a", new Set([1])]]) };
    const after = produce(before, ({ seen, notes }) => {
      seen.add("b");
      notes.get("a")?.add(2);
    });
    const expected = { seen: new Set(["a", "b"]), notes: new Map([["a", new Set([1, 2])]]) };
    for (let time = 0; time < 3; time++) expect(firstDifference(roundTrip(after), expected)).toBeNull();
  });

  test("may hold dates that were made under fake timers", () => {
    vi.useFakeTimers({ now: 1 });
    const dates = [new Date(), new Date(2)];
    vi.useRealTimers();
    for (let time = 0; time < 3; time++) {
      expect(firstDifference(roundTrip(dates), [new Date(1), new Date(2)])).toBeNull();
    }
  });

  test(`may be nested ${MAX_DEPTH} levels deep, plain or tagged`, () => {
    const plain = nested(MAX_DEPTH - 1);
    expect(encodeText(plain).form).toBe("json");
    expect(firstDifference(roundTrip(plain), plain)).toBeNull();
    let tagged: unknown = new Map();
    for (let level = 0; level < MAX_DEPTH - 1; level++) tagged = new Map([[1, tagged]]);
    expect(encodeText(roundTrip(tagged))).toEqual(encodeText(tagged));
  });

  test("may be an array with a single element at its far end", () => {
    const far: unknown[] = [];
    far[0xffff_fffe] = "last";
    const { form, text } = encodeText(far);
    expect([form, text]).toEqual(["tagged", '{"$":["sparse",4294967295,[4294967294,"last"]]}']);
    const back = decodeValue({ form, text }) as unknown[];
    expect([back.length, Object.keys(back), back[0xffff_fffe]]).toEqual([4_294_967_295, ["4294967294"], "last"]);
  });

  test("is decoded in its own form only: a tag in plain JSON is a member", () => {
    const state = { $: ["undefined"] };
    expect(decodeValue({ form: "json", text: JSON.stringify(state) })).toEqual(state);
    expect(decodeValue({ form: "tagged", text: JSON.stringify(state) })).toBeUndefined();
  });
});

describe("a state that is plain JSON", () => {
  test("is encoded exactly as JSON.stringify does", () => {
    const anyJson = fc
      .jsonValue({ noUnicodeString: false })
      .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(encodeText(value)).toEqual({ form: "json", text: JSON.stringify(value) });
      }),
      { numRuns: 5_000 },
    );
  });

  test("is encoded so even with keys that look like tags", () => {
    const state = { $: ["bigint", "1"], $$: 1, __proto: [] };
    expect(encodeText(state)).toEqual({ form: "json", text: JSON.stringify(state) });
  });
});

describe("an unsupported value", () => {
  class Tool {
    name = "search";
  }
  function Impostor() {}
  Impostor.prototype = Object.create(Map.prototype);
  class OwnMap extends Map {}
  class OwnDate extends Date {}
  class OwnArray extends Array {}
  class OwnBytes extends Uint8Array {}
  const nonEnumerable = Object.defineProperty({ a: 1 }, "hidden", { value: "secret", enumerable: false });
  const withSymbolKey = { [Symbol("secret")]: 1 };
  const listed = Object.assign([1, 2], { total: 2 });

  test.each<[string, unknown, string]>([
    ["a function", () => "secret", "is a function"],
    ["a class", Tool, "is a function"],
    ["a proxy over a function", new Proxy(() => 1, {}), "is a function"],
    ["a symbol", Symbol("secret"), "is a symbol"],
    ["a registered symbol", Symbol.for("secret"), "is a symbol"],
    ["an object with a symbol key", withSymbolKey, "has a symbol or a non-enumerable property as a member"],
    ["an object with a hidden member", nonEnumerable, "has a symbol or a non-enumerable property as a member"],
    ["a class instance", new Tool(), "is an instance of Tool"],
    ["an instance of a class without a name", new (class {})(), "is an instance of a class"],
    ["a Map of a subclass", new OwnMap(), "is an instance of OwnMap"],
    ["a Date of a subclass", new OwnDate(), "is an instance of OwnDate"],
    ["an array of a subclass", new OwnArray(), "is an instance of OwnArray"],
    ["bytes of a subclass", new OwnBytes(), "is an instance of OwnBytes"],
    ["a boxed number", Object(1), "is an instance of Number"],
    ["a boxed string", Object("secret"), "is an instance of String"],
    ["a boxed boolean", Object(true), "is an instance of Boolean"],
    ["a boxed bigint", Object(1n), "is an instance of BigInt"],
    ["an error", new TypeError("secret"), "is an instance of TypeError"],
    ["a regular expression", /secret/, "is an instance of RegExp"],
    ["a URL", new URL("https://secret@example.com"), "is an instance of URL"],
    ["a promise", Promise.resolve("secret"), "is an instance of Promise"],
    ["a WeakMap", new WeakMap(), "is an instance of WeakMap"],
    ["a Float64Array", new Float64Array(2), "is an instance of Float64Array"],
    ["a Uint8ClampedArray", new Uint8ClampedArray(2), "is an instance of Uint8ClampedArray"],
    ["an Int8Array", new Int8Array(2), "is an instance of Int8Array"],
    ["an ArrayBuffer", new ArrayBuffer(2), "is an instance of ArrayBuffer"],
    ["a DataView", new DataView(new ArrayBuffer(2)), "is an instance of DataView"],
    ["an AbortSignal", new AbortController().signal, "is an instance of AbortSignal"],
    ["an object with the prototype of a Date", Object.create(Date.prototype), "is an instance of Date"],
    ["an object with the prototype of a Map", Object.create(Map.prototype), "is an instance of Map"],
    ["an object with the prototype of an array", Object.create(Array.prototype), "is an instance of Array"],
    ["an object that inherits from data", Object.create({ a: 1 }), "is an instance of Object"],
    ["an array with members beside its elements", listed, "is an array with members beside its elements"],
    [
      "a class of another realm",
      runInNewContext("const D = Date; new ({ Date: class Date extends D {} }).Date()"),
      "is an instance of Date",
    ],
    ["a Map whose class says that it is a Map", Reflect.construct(Map, [], Impostor), "is an instance of Map"],
    [
      "an object of another realm with the prototype of a Date",
      runInNewContext("Object.create(Date.prototype)"),
      "is an instance of Date",
    ],
    ["an Error of another realm", runInNewContext("new Error('secret')"), "is an instance of Error"],
    [
      "a Map of another realm with a member",
      runInNewContext("Object.assign(new Map(), { a: 1 })"),
      "is a Map with members of its own",
    ],
    [
      "bytes of another realm with a member",
      runInNewContext("Object.assign(new Uint8Array(1), { a: 1 })"),
      "is a byte array with members of its own",
    ],
    ["a Set with data in place of a method", Object.assign(new Set(), { add: 1 }), "is a Set with members of its own"],
    ["a Date with a member", Object.assign(new Date(), { zone: "secret" }), "is a Date with members of its own"],
    ["a Map with a member", Object.assign(new Map(), { a: 1 }), "is a Map with members of its own"],
    ["a Set with a member", Object.assign(new Set(), { a: 1 }), "is a Set with members of its own"],
    ["bytes with a member", Object.assign(new Uint8Array(2), { a: 1 }), "is a byte array with members of its own"],
    ["a Buffer with a member", Object.assign(Buffer.alloc(2), { a: 1 }), "is a byte array with members of its own"],
  ])("is refused with its path: %s", (_name, value, problem) => {
    expect(refusal(value)).toBe(`state ${problem}`);
    expect(refusal({ tools: [1, 2, { run: value }] })).toBe(`state.tools[2].run ${problem}`);
    expect(refusal(new Map([[1, { a: value }]]))).toMatch(new RegExp(`^state\\[1\\]\\.a ${problem}$`));
    expect(refusal({ after: new Date(), "a key": new Set([0, value]) })).toBe(`state["a key"][1] ${problem}`);
  });

  test("is refused with its path in a state that is JSON otherwise, and in one that is not", () => {
    expect(refusal([undefined, 1n, { f() {} }])).toBe("state[2].f is a function");
    expect(refusal([1, { f() {} }, undefined])).toBe("state[1].f is a function");
  });

  test("is refused with both paths if an object contains itself", () => {
    const itself: Record<string, unknown> = {};
    itself["self"] = itself;
    expect(refusal(itself)).toBe("state.self is a cycle: it is state again");
    const far: Record<string, unknown> = { a: { b: [{}] } };
    ((far["a"] as { b: object[] }).b[0] as Record<string, unknown>)["up"] = far["a"];
    expect(refusal(far)).toBe("state.a.b[0].up is a cycle: it is state.a again");
    const map = new Map<string, unknown>();
    map.set("me", map);
    expect(refusal({ map })).toBe("state.map[1] is a cycle: it is state.map again");
    const named = () => encodeValue(itself, false, "items[0].value");
    expect(named).toThrow(new UnsupportedValue("items[0].value.self is a cycle: it is items[0].value again"));
  });

  test("is not a cycle: one object in two places is supported", () => {
    const shared = { a: 1 };
    expect(firstDifference(roundTrip([shared, { shared }]), [{ a: 1 }, { shared: { a: 1 } }])).toBeNull();
  });

  test.each([MAX_DEPTH + 1, 100_000])("is refused at a depth of %d", (levels) => {
    const message = refusal(nested(levels));
    expect(message).toMatch(/is nested deeper than 1000 levels$/);
    expect(message.length).toBeLessThan(200);
  });

  test("is refused with a short message, which has only the beginning of a long key", () => {
    const key = `secret ${"x".repeat(10_000)}`;
    expect(refusal({ [key]: () => 1 }).length).toBeLessThan(120);
  });
});

describe("a decoded text", () => {
  /** Prototypes of all objects that decoding may create, of this realm. */
  const DATA = new Set<unknown>([
    Object.prototype,
    Array.prototype,
    Date.prototype,
    Map.prototype,
    Set.prototype,
    Uint8Array.prototype,
    Buffer.prototype,
    null,
  ]);

  function isData(value: unknown): boolean {
    if (typeof value === "function" || typeof value === "symbol") return false;
    if (typeof value !== "object" || value === null) return true;
    if (!DATA.has(Object.getPrototypeOf(value))) return false;
    if (value instanceof Uint8Array || value instanceof Date) return true;
    if (value instanceof Map) return [...value].flat(1).every(isData);
    if (value instanceof Set) return [...value].every(isData);
    const own = Object.getOwnPropertyDescriptors(value) as Record<string, PropertyDescriptor>;
    return Object.values(own).every(
      (member) => member.get === undefined && member.set === undefined && isData(member.value),
    );
  }

  const prototypes = [Object, Array, Map, Set, Date, Uint8Array, Buffer, Function].map(
    (builtIn) => [builtIn.prototype, Reflect.ownKeys(builtIn.prototype).length] as const,
  );

  function decodeOrRefuse(form: TextForm, text: string): void {
    try {
      expect(isData(decodeValue({ form, text }))).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedText);
    }
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    for (const [prototype, members] of prototypes) expect(Reflect.ownKeys(prototype).length).toBe(members);
  }

  const anyTagged = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: "small" },
      fc.constantFrom<unknown>(
        null,
        true,
        0,
        -1,
        1.5,
        4_294_967_295,
        4_294_967_296,
        "",
        "1",
        "-0",
        "NaN",
        "AAAA",
        "not base64!",
      ),
      fc.array(tie("value"), { maxLength: 4 }),
      fc
        .array(fc.tuple(fc.constantFrom("$", "$$", "$a", "a", "__proto__", "constructor", "polluted"), tie("value")), {
          maxLength: 4,
        })
        .map((entries) => objectOf(entries)),
      fc
        .tuple(
          fc.constantFrom(
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
            "x",
          ),
          fc.array(tie("value"), { maxLength: 3 }),
        )
        .map(([tag, content]) => ({ $: [tag, ...content] })),
    ),
  })).value;

  test("becomes data or is refused, whatever tags it holds", () => {
    fc.assert(
      fc.property(anyTagged, (value) => decodeOrRefuse("tagged", JSON.stringify(value))),
      { numRuns: 10_000 },
    );
  });

  test("becomes data or is refused if some of its characters were changed", () => {
    const changes = fc.array(
      fc.tuple(fc.nat(), fc.constantFrom("", "$", "[", "]", "{", "}", '"', ",", ":", "0", "\\", "\0")),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(anyState, changes, fc.constantFrom<TextForm>("json", "tagged"), (state, places, form) => {
        let { text } = encodeText(state);
        for (const [at, change] of places) {
          const cut = at % (text.length + 1);
          text = text.slice(0, cut) + change + text.slice(cut + 1);
        }
        decodeOrRefuse(form, text);
      }),
      { numRuns: 5_000 },
    );
  });

  test("becomes data or is refused if it is arbitrary text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => decodeOrRefuse("tagged", text)),
      { numRuns: 2_000 },
    );
  });

  test.each([
    "",
    "{",
    '{"$":1}',
    '{"$":[]}',
    '{"$":["Function","return 1"]}',
    '{"$":["undefined"],"a":1}',
    '{"$a":1}',
    '{"$":["bigint","1.5"]}',
    '{"$":["bigint",""]}',
    '{"$":["number","7"]}',
    '{"$":["date","now"]}',
    '{"$":["map",[1]]}',
    '{"$":["set",{}]}',
    '{"$":["bytes",[1,2]]}',
    '{"$":["sparse",2,[5,1]]}',
    '{"$":["sparse",-1,[]]}',
    '{"$":["sparse",4294967296,[]]}',
    '{"$":["sparse",2,["length",1]]}',
    '{"$":["null-prototype",[]]}',
  ])("is refused if the codec cannot have written it: %s", (text) => {
    expect(() => decodeValue({ form: "tagged", text })).toThrow(MalformedText);
  });

  test("is refused without being quoted", () => {
    expect(() => decodeValue({ form: "json", text: '{"password":"hunter2"' })).toThrow(/^not JSON$/);
  });

  test("keeps a __proto__ member as a member", () => {
    for (const form of ["json", "tagged"] as const) {
      const decoded = decodeValue({ form, text: '{"__proto__":{"polluted":true}}' }) as object;
      expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
      expect(Object.keys(decoded)).toEqual(["__proto__"]);
    }
  });
});
