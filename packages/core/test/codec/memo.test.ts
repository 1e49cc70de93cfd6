import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { validMemo } from "../../src/codec/memo.ts";
import { decodeSnapshot, type Snapshot, takeSnapshot } from "../../src/codec/snapshot.ts";
import { UnsupportedValue } from "../../src/codec/values.ts";
import { firstDifference } from "./any-state.ts";

/** Loads the codec once more, without memos. */
async function freshCodec(): Promise<typeof takeSnapshot> {
  vi.resetModules();
  return (await import("../../src/codec/snapshot.ts")).takeSnapshot;
}

/** Returns the text of a snapshot, or the message that the value is refused with. */
function outcomeOf(take: () => Snapshot): { text: string } | { refused: string } {
  try {
    const { form, chunks } = take();
    return { text: `${form} ${chunks.map(({ text }) => text).join("")}` };
  } catch (error) {
    return { refused: (error as Error).message };
  }
}

/** Takes a snapshot with the memos so far, and expects the one that a codec without memos takes. */
async function expectFreshOutcome(state: unknown): Promise<void> {
  const takeFreshSnapshot = await freshCodec();
  expect(outcomeOf(() => takeSnapshot(state))).toEqual(outcomeOf(() => takeFreshSnapshot(state)));
}

function expectRoundTrip(state: unknown): void {
  expect(firstDifference(decodeSnapshot(takeSnapshot(state)), state)).toBeNull();
}

const long = (text: string) => `${text} `.repeat(200 / (text.length + 1) + 1);
const turn = (at: number) => ({ at, role: "user", content: long(`turn ${at}`) });
const turns = (count: number) => Array.from({ length: count }, (_, at) => turn(at));
function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
    Object.freeze(value);
    for (const key of Reflect.ownKeys(value)) deepFreeze(Object.getOwnPropertyDescriptor(value, key)?.value);
  }
  return value;
}

describe("a deeply frozen value", () => {
  test("is recognised by identity, as are all values in it", async () => {
    const frozen = deepFreeze({ turns: turns(3), nested: { a: [1, null, "x"] }, nothing: undefined });
    expect(validMemo(frozen)).toBeUndefined();
    takeSnapshot(frozen);
    expect(validMemo(frozen)?.shadow).toBeNull();
    expect(validMemo(frozen.turns)?.shadow).toBeNull();
    expect(validMemo(frozen.turns[1] as object)?.shadow).toBeNull();
    expectRoundTrip(frozen);
    await expectFreshOutcome({ other: [frozen, frozen] });
  });

  test("is recognised after the codec froze it", () => {
    const state = { turns: turns(3), $: [1, -0] };
    takeSnapshot(state, { freeze: true });
    expect(validMemo(state)?.shadow).toBeNull();
    expectRoundTrip(state);
    expect(Object.isFrozen(state.turns[0])).toBe(true);
  });

  test("is not inspected again", () => {
    let looks = 0;
    const state = deepFreeze({ inner: { text: long("text") } });
    takeSnapshot(state);
    const { getOwnPropertySymbols } = Object;
    const spy = vi.spyOn(Object, "getOwnPropertySymbols").mockImplementation((value) => {
      if (value === state || value === state.inner) looks += 1;
      return getOwnPropertySymbols(value);
    });
    takeSnapshot([state]);
    spy.mockRestore();
    expect(looks).toBe(0);
  });

  test.each<[string, () => { held: object; change: () => void }]>([
    [
      "a Date",
      () => {
        const date = new Date(0);
        return { held: date, change: () => date.setTime(5) };
      },
    ],
    [
      "a Map",
      () => {
        const map = new Map([["a", 1]]);
        return { held: map, change: () => map.set("b", 2) };
      },
    ],
    [
      "a Set",
      () => {
        const set = new Set(["a"]);
        return { held: set, change: () => set.add("b") };
      },
    ],
    [
      "an object in a Map",
      () => {
        const inner = { text: long("a") };
        return { held: new Map([["a", inner]]), change: () => Object.assign(inner, { text: long("b") }) };
      },
    ],
    [
      "a byte array",
      () => {
        const bytes = new Uint8Array(300);
        return { held: bytes, change: () => bytes.fill(7, 3, 5) };
      },
    ],
    [
      "an object that is not frozen",
      () => {
        const loose = { text: long("a"), more: [1] };
        return { held: loose, change: () => loose.more.push(2) };
      },
    ],
    [
      "an array that is not frozen",
      () => {
        const loose = [long("a"), 1];
        return { held: loose, change: () => loose.push(2) };
      },
    ],
    [
      "a getter",
      () => {
        let text = long("a");
        const held = Object.defineProperty({ b: 1 }, "text", { get: () => text, enumerable: true });
        return {
          held: Object.freeze(held),
          change: () => {
            text = long("b");
          },
        };
      },
    ],
    [
      "a getter in an array",
      () => {
        let text = long("a");
        const held: unknown[] = [1, 2];
        Object.defineProperty(held, 1, { get: () => text, enumerable: true });
        return {
          held: Object.freeze(held),
          change: () => {
            text = long("b");
          },
        };
      },
    ],
    [
      "a proxy",
      () => {
        let text = long("a");
        const target = { text: "" };
        const get = (_: object, key: PropertyKey) => (key === "text" ? text : undefined);
        const held = new Proxy(target, {
          get,
          isExtensible: () => true,
          getOwnPropertyDescriptor: () => ({ value: text, configurable: true, enumerable: true, writable: true }),
        });
        return {
          held,
          change: () => {
            text = long("b");
          },
        };
      },
    ],
  ])("is not treated as one if it holds %s, whose change is noticed", async (_name, make) => {
    for (const times of [1, 2, 3]) {
      const { held, change } = make();
      const state = Object.freeze({
        first: Object.freeze({ text: long("first") }),
        list: Object.freeze([1, held, long("x")]),
        history: Object.freeze([...turns(20).map(deepFreeze), held, held]),
      });
      for (let time = 0; time < times; time++) await expectFreshOutcome(state);
      expect(validMemo(state)?.shadow).not.toBeNull();
      change();
      await expectFreshOutcome(state);
      await expectFreshOutcome(state);
    }
  });

  test("is not treated as one if only its outermost level is frozen", async () => {
    const state = Object.freeze({ inner: { list: [long("a")] } });
    for (let time = 0; time < 3; time++) takeSnapshot(state);
    state.inner.list.push("b");
    expectRoundTrip(state);
    await expectFreshOutcome(state);
  });

  test("is refused where it is nested too deep, though it has a memo", async () => {
    let state: unknown = deepFreeze({ a: [1] });
    for (let level = 0; level < 600; level++) state = deepFreeze([state]);
    takeSnapshot(state);
    let deeper = state;
    for (let level = 0; level < 600; level++) deeper = [deeper];
    expect(() => takeSnapshot(deeper)).toThrow(UnsupportedValue);
    await expectFreshOutcome(deeper);
    expectRoundTrip(state);
  });

  test("is not treated as one if an element of its history is behind a getter", async () => {
    const elements = turns(20).map(deepFreeze);
    let answer = deepFreeze(turn(98));
    const array: unknown[] = [...elements];
    Object.defineProperty(array, 7, { get: () => answer, enumerable: true });
    const state = { array: Object.freeze(array) };
    await expectFreshOutcome(state);
    answer = deepFreeze(turn(99));
    await expectFreshOutcome(state);
  });

  // A getter may return another element each time.
  test("is not treated as one if an element that has a memo is now behind a getter", async () => {
    const elements = turns(20).map(deepFreeze);
    takeSnapshot([...elements]);
    let [answer] = elements;
    const array: unknown[] = [...elements];
    Object.defineProperty(array, 0, { get: () => answer, enumerable: true });
    const state = { array: Object.freeze(array) };
    await expectFreshOutcome(state);
    answer = deepFreeze(turn(99));
    await expectFreshOutcome(state);
  });
});

/** A part of a state that is large enough for a memo. */
type Part = { text: string; number: number; inner: { list: unknown[]; at: Date; a: number; b: number } };
const part = (): Part => ({
  text: long("text"),
  number: 0,
  inner: { list: [1, "two", { three: 3 }, null], at: new Date(0), a: 1, b: 2 },
});
/** Makes the same part without values that JSON lacks. */
const plainPart = () => {
  const { inner, ...rest } = part();
  return { ...rest, inner: { ...inner, at: [0] as unknown } };
};
const smallPart = () => ({ text: "t", number: 0, inner: { list: [1], at: 0 as unknown, a: 1, b: 2 } });

/** Changes of a part, each of which has to be noticed. */
const CHANGES: readonly [string, (part: Part) => void][] = [
  ["a value", (part) => Object.assign(part, { text: `${part.text.slice(0, -1)}!` })],
  ["a nested value", (part) => Object.assign(part.inner, { a: 2 })],
  ["a value to one of another type", (part) => Object.assign(part, { number: "0" })],
  ["a value to null", (part) => Object.assign(part, { number: null })],
  ["a value to undefined", (part) => Object.assign(part, { number: undefined })],
  ["0 to -0", (part) => Object.assign(part, { number: -0 })],
  ["a number to NaN", (part) => Object.assign(part, { number: Number.NaN })],
  ["a number to Infinity", (part) => Object.assign(part, { number: Number.POSITIVE_INFINITY })],
  ["a number to a bigint", (part) => Object.assign(part, { number: 0n })],
  ["two values for each other", ({ inner }) => Object.assign(inner, { a: inner.b, b: inner.a })],
  [
    "the order of keys",
    ({ inner }) => {
      const { a } = inner;
      Reflect.deleteProperty(inner, "a");
      inner.a = a;
    },
  ],
  ["a member more", ({ inner }) => Object.assign(inner, { c: 3 })],
  ["a member with $ more", ({ inner }) => Object.assign(inner, { $c: 3 })],
  ["a member called __proto__ more", ({ inner }) => Object.defineProperty(inner, "__proto__", ENUMERABLE)],
  ["a member less", ({ inner }) => Reflect.deleteProperty(inner, "b")],
  [
    "the name of a member",
    ({ inner }) => {
      Reflect.deleteProperty(inner, "b");
      Object.assign(inner, { B: 2 });
    },
  ],
  ["a symbol as a member", ({ inner }) => Object.assign(inner, { [Symbol("s")]: 1 })],
  ["a member that cannot be enumerated", ({ inner }) => Object.defineProperty(inner, "hidden", { value: 1 })],
  ["a member to one that cannot be enumerated", ({ inner }) => hide(inner, "b")],
  ["a value to a getter of another", ({ inner }) => Object.defineProperty(inner, "b", { get: () => 7 })],
  ["a value to a function", ({ inner }) => Object.assign(inner, { b: () => 1 })],
  ["the prototype to a class", ({ inner }) => Object.setPrototypeOf(inner, class {}.prototype)],
  ["the prototype to null", ({ inner }) => Object.setPrototypeOf(inner, null)],
  ["the prototype of an array", ({ inner }) => Object.setPrototypeOf(inner.list, class extends Array {}.prototype)],
  ["an element", ({ inner }) => inner.list.splice(0, 1, 7)],
  ["an element more", ({ inner }) => inner.list.push(1)],
  ["an element less", ({ inner }) => inner.list.pop()],
  ["an element at the beginning", ({ inner }) => inner.list.unshift(0)],
  ["no elements", ({ inner }) => inner.list.splice(0)],
  ["the length", ({ inner }) => Object.assign(inner.list, { length: 9 })],
  ["an element to a hole", ({ inner }) => Reflect.deleteProperty(inner.list, 0)],
  ["a member of an array", ({ inner }) => Object.assign(inner.list, { extra: 1 })],
  ["a symbol of an array", ({ inner }) => Object.assign(inner.list, { [Symbol("s")]: 1 })],
  ["an element to one that cannot be enumerated", ({ inner }) => hide(inner.list, "0")],
  ["an array to an object", ({ inner }) => Object.assign(inner, { list: { ...inner.list } })],
  ["an object to an array", (part) => Object.assign(part, { inner: Object.values(part.inner) })],
  ["an object to a Map", (part) => Object.assign(part, { inner: new Map(Object.entries(part.inner)) })],
  ["an array to a proxy of another", ({ inner }) => Object.assign(inner, { list: new Proxy([7], {}) })],
  ["an array to itself in itself", ({ inner }) => inner.list.push(inner)],
];
const ENUMERABLE = { value: 1, enumerable: true, configurable: true, writable: true };
function hide(object: object, key: string): void {
  Object.defineProperty(object, key, { enumerable: false });
}

const DATE_CHANGES: readonly [string, (part: Part) => void][] = [
  ["the time of a Date", ({ inner }) => inner.at.setTime(1)],
  ["a Date to an invalid one", ({ inner }) => inner.at.setTime(Number.NaN)],
  ["a Date to another", ({ inner }) => Object.assign(inner, { at: new Date(7) })],
  ["a Date to its time", ({ inner }) => Object.assign(inner, { at: 0 })],
  [
    "a Date to an object with its prototype",
    ({ inner }) => Object.assign(inner, { at: Object.create(Date.prototype) }),
  ],
  ["a member of a Date", ({ inner }) => Object.assign(inner.at, { extra: 1 })],
  ["a hidden member of a Date", ({ inner }) => Object.defineProperty(inner.at, "hidden", { value: 1 })],
  ["the prototype of a Date", ({ inner }) => Object.setPrototypeOf(inner.at, class extends Date {}.prototype)],
];

/** Places of the part in a state, each with another kind of memo. */
const PLACES: readonly [string, (part: unknown) => unknown][] = [
  ["a member", (part) => ({ padding: long("padding").repeat(30), part })],
  ["an element", (part) => [...turns(3), part, long("end").repeat(30)]],
  ["an element of a history", (part) => ({ turns: [...turns(10), part, ...turns(10)] })],
  ["the first element of a history", (part) => [part, ...turns(20)]],
  ["the last element of a history", (part) => [...turns(20), part]],
  ["at the end of a history of frozen elements", (part) => [...turns(20).map(deepFreeze), part, part]],
  ["in a Map", (part) => ({ map: new Map([["part", part]]), turns: turns(20) })],
  ["beside a value that JSON lacks", (part) => ({ turns: [...turns(20), part], nothing: undefined })],
  ["in a frozen value", (part) => Object.freeze([...turns(20).map(deepFreeze), Object.freeze({ part })])],
  ["the state itself", (part) => part],
];

describe("a mutable value that changes between two snapshots", () => {
  const everyPart: readonly [string, () => Part, readonly (typeof CHANGES)[number][]][] = [
    ["a large part", part, [...CHANGES, ...DATE_CHANGES]],
    ["a large part of plain JSON", plainPart as () => Part, CHANGES],
    ["a small part", smallPart as () => Part, CHANGES],
  ];
  const cases = everyPart.flatMap(([kind, make, changes]) =>
    PLACES.map(([place, placed]) => [kind, place, make, placed, changes] as const),
  );

  test.each(cases)("is stored or refused as it is now: %s, %s", async (_kind, _place, make, placed, changes) => {
    const takeFreshSnapshot = await freshCodec();
    for (const [what, change] of changes) {
      for (const seen of [1, 2, 4]) {
        const changing = make();
        const state = placed(changing);
        for (let time = 0; time < seen; time++) takeSnapshot(state);
        change(changing);
        const outcome = outcomeOf(() => takeSnapshot(state));
        expect([what, seen, outcome]).toEqual([what, seen, outcomeOf(() => takeFreshSnapshot(state))]);
        expect([what, outcomeOf(() => takeSnapshot(state))]).toEqual([what, outcome]);
      }
    }
  });

  // Not noticed in a long array: that would take a list of all its keys, each time.
  test("is refused if an array has gained a member that cannot be enumerated", () => {
    const state = { list: Array.from({ length: 40 }, (_, at) => ({ at, text: long("x") })), part: part() };
    for (let time = 0; time < 3; time++) takeSnapshot(state);
    Object.defineProperty(state.part.inner.list, "hidden", { value: 1 });
    expect(() => takeSnapshot(state)).toThrow(UnsupportedValue);
  });

  test("is stored as before once the change is undone", async () => {
    const state = { turns: turns(20), part: part() };
    const first = outcomeOf(() => takeSnapshot(state));
    for (let time = 0; time < 6; time++) {
      state.part.inner.a = time % 2 === 0 ? 7 : 1;
      (state.turns[5] as { content: string }).content = long(time % 2 === 0 ? "changed" : "turn 5");
      await expectFreshOutcome(state);
    }
    expect(outcomeOf(() => takeSnapshot(state))).toEqual(first);
  });

  // The memo of the history has the element as small, its own memo as it was in between.
  test("is stored as before after it was large in another state meanwhile", async () => {
    const element: { text: string } = { text: "small" };
    const history = [...turns(20), element];
    for (let time = 0; time < 3; time++) takeSnapshot(history);
    element.text = long("large");
    for (let time = 0; time < 3; time++) takeSnapshot({ padding: long("padding").repeat(30), element });
    element.text = "small";
    await expectFreshOutcome(history);
  });
});

describe("an array that resembles an earlier one", () => {
  const base = turns(40);
  const others: readonly [string, readonly unknown[]][] = [
    ["continued", [...base, turn(40)]],
    ["continued by small elements", [...base, 1, "x", null, { a: 1 }]],
    ["shortened at the end", base.slice(0, 25)],
    ["shortened at the beginning", base.slice(7)],
    ["shortened below the length that is remembered", base.slice(0, 5)],
    ["shortened to one element", base.slice(0, 1)],
    ["with another first element", [turn(-1), ...base.slice(1)]],
    ["with an element inserted", base.toSpliced(20, 0, turn(-1))],
    ["with an element removed", base.toSpliced(20, 1)],
    ["with an element replaced", base.with(20, turn(-1))],
    ["reversed", base.toReversed()],
    ["reversed after the first", [...base.slice(0, 1), ...base.slice(1).toReversed()]],
    ["doubled", [...base, ...base]],
    ["made of copies", structuredClone(base)],
    ["with the same first element, and else another agent's", [base[0], ...turns(80).slice(50)]],
    ["with small elements between", base.flatMap((one, at) => (at % 3 === 0 ? [one, at, `${at}`] : [one]))],
    ["with a hole", Object.assign([...base], { length: 50 })],
    ["with -0", [...base, -0]],
    ["with undefined", [...base, undefined]],
    ["empty", []],
  ];

  test.each(others)("is stored as it is: %s", async (_name, array) => {
    for (const freeze of [false, true]) {
      for (let time = 0; time < 2; time++) {
        takeSnapshot({ turns: base });
        for (const state of [{ turns: array }, array, { other: [array], turns: base }]) {
          await expectFreshOutcome(state);
          expectRoundTrip(state);
          if (freeze) takeSnapshot(state, { freeze });
        }
      }
    }
  });

  test("is stored as it is, whatever happens to the histories of two agents that begin alike", () => {
    const anyStep = fc.record({
      agent: fc.nat(1),
      kind: fc.constantFrom("push", "pushSmall", "pop", "shift", "splice", "edit", "copy", "cut", "share", "odd"),
      at: fc.nat(60),
      freeze: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 25 }), fc.boolean(), (steps, mayFreeze) => {
        const system = turn(-1);
        const agents: unknown[][] = [0, 1].map((agent) => [system, ...turns(18 + agent)]);
        let count = 100;
        for (const { agent, kind, at, freeze } of steps) {
          let history = agents[agent] as unknown[];
          if (Object.isFrozen(history)) history = [...history];
          const place = at % (history.length + 1);
          count += 1;
          if (kind === "push") history.push(turn(count));
          else if (kind === "pushSmall") history.push(at % 2 === 0 ? count : { count });
          else if (kind === "pop") history.pop();
          else if (kind === "shift") history.shift();
          else if (kind === "splice") history.splice(place, at % 3, turn(count));
          else if (kind === "copy") history = [...history];
          else if (kind === "cut") history = history.slice(0, place);
          else if (kind === "share") history.push(...(agents[1 - agent] as unknown[]).slice(place, place + 3));
          else if (kind === "odd") history.push([undefined, -0, { $: count }, new Date(at)][at % 4]);
          else {
            const element = history[place % history.length];
            if (Object.hasOwn(Object(element) as object, "content") && !Object.isFrozen(element)) {
              Object.assign(element as object, { content: at % 2 === 0 ? "small" : long(`edit ${count}`) });
            }
          }
          agents[agent] = history;
          const state = { turns: history, count };
          const snapshot = takeSnapshot(state, { freeze: freeze && mayFreeze });
          const first = takeSnapshot(structuredClone(state));
          expect(snapshot.chunks.map(({ text }) => text)).toEqual(first.chunks.map(({ text }) => text));
          expect(firstDifference(decodeSnapshot(snapshot), state)).toBeNull();
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe("a value in states of both text forms", () => {
  test("is written in the form of each state that it is a part of", async () => {
    for (const freeze of [false, true]) {
      const shared = { $: ["undefined"], $ref: long("ref"), list: [{ $: 1, text: long("text") }], plain: turn(1) };
      const history = [shared, ...turns(20), { $small: 1 }, shared];
      for (let time = 0; time < 6; time++) {
        const state = time % 2 === 0 ? { shared, history } : { shared, history, nothing: undefined };
        if (freeze) takeSnapshot(state, { freeze });
        await expectFreshOutcome(state);
        expectRoundTrip(state);
        expect(takeSnapshot(state).form).toBe(time % 2 === 0 ? "json" : "tagged");
      }
    }
  });

  test("is written as it is if it changes between two states", async () => {
    const shared = { $key: long("key"), list: [1, { $: 2 }] as unknown[] };
    for (let time = 0; time < 9; time++) {
      shared.list.push(time % 3 === 0 ? { $: time } : time);
      if (time % 4 === 0) Object.assign(shared, { [`$${time}`]: time });
      for (const state of [{ shared }, { shared, date: new Date(0) }, [shared, -0, shared], new Map([[shared, 1]])]) {
        await expectFreshOutcome(state);
        expectRoundTrip(state);
      }
    }
  });
});
