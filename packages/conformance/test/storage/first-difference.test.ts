import { describe, expect, it } from "vitest";
import { firstDifference } from "../../src/storage/first-difference.ts";
import { SPECIAL_STATES } from "../../src/storage/values.ts";

describe("firstDifference", () => {
  const states = Object.entries(SPECIAL_STATES);

  it.each(states)("finds none between a state and itself: %s", (_, state) => {
    expect(firstDifference(state, state)).toBeNull();
  });

  it("finds one between any two special states", () => {
    for (const [name, state] of states) {
      for (const [otherName, other] of states) {
        if (name !== otherName) expect(firstDifference(state, other), `${name} and ${otherName}`).not.toBeNull();
      }
    }
  });

  const pairs: Record<string, readonly [unknown, unknown]> = {
    "0 and -0": [0, -0],
    "a hole and undefined": [new Array(1), [undefined]],
    "an absent member and undefined": [{}, { a: undefined }],
    "two orders of keys": [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
    "two orders of a Map": [
      new Map([
        [1, 1],
        [2, 2],
      ]),
      new Map([
        [2, 2],
        [1, 1],
      ]),
    ],
    "two orders of a Set": [new Set([1, 2]), new Set([2, 1])],
    "an object with and one without a prototype": [{}, Object.create(null)],
    "a Buffer and a Uint8Array": [Buffer.from([1]), new Uint8Array([1])],
    "a Date and its time": [new Date(0), 0],
    "an invalid Date and a valid one": [new Date(Number.NaN), new Date(0)],
    "an object with and one without an own __proto__": [JSON.parse('{"__proto__": 1}'), {}],
    "two normalisation forms": ["\u00e9", "e\u0301"],
    "a bigint and a number": [1n, 1],
    "two deeply nested members": [{ a: [new Map([["k", { b: 1 }]])] }, { a: [new Map([["k", { b: 2 }]])] }],
  };
  it.each(Object.entries(pairs))("finds one between %s", (_, [one, other]) => {
    expect(firstDifference(one, other)).not.toBeNull();
  });
});
