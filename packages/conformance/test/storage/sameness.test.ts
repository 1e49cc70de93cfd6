import { describe, expect, it } from "vitest";
import { difference } from "../../src/storage/sameness.ts";
import { SPECIAL_STATES } from "../../src/storage/values.ts";

describe("difference", () => {
  const states = Object.entries(SPECIAL_STATES);

  it.each(states)("finds none between a state and itself: %s", (_, state) => {
    expect(difference(state, state)).toBeNull();
  });

  it("finds one between any two of the special states", () => {
    for (const [name, state] of states) {
      for (const [otherName, other] of states) {
        if (name !== otherName) expect(difference(state, other), `${name} and ${otherName}`).not.toBeNull();
      }
    }
  });

  const pairs: Record<string, readonly [unknown, unknown]> = {
    "0 and -0": [0, -0],
    "a hole and undefined": [new Array(1), [undefined]],
    "an absent member and undefined": [{}, { a: undefined }],
    "the order of keys": [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
    "the order of a Map": [
      new Map([
        [1, 1],
        [2, 2],
      ]),
      new Map([
        [2, 2],
        [1, 1],
      ]),
    ],
    "the order of a Set": [new Set([1, 2]), new Set([2, 1])],
    "no prototype": [{}, Object.create(null)],
    "a Buffer and a Uint8Array": [Buffer.from([1]), new Uint8Array([1])],
    "a Date and its time": [new Date(0), 0],
    "an invalid Date and a valid one": [new Date(Number.NaN), new Date(0)],
    "an own __proto__ and none": [JSON.parse('{"__proto__": 1}'), {}],
    "normalisation forms": ["\u00e9", "e\u0301"],
    "a bigint and a number": [1n, 1],
    "members deep inside": [{ a: [new Map([["k", { b: 1 }]])] }, { a: [new Map([["k", { b: 2 }]])] }],
  };
  it.each(Object.entries(pairs))("tells %s apart", (_, [one, other]) => {
    expect(difference(one, other)).not.toBeNull();
  });
});
