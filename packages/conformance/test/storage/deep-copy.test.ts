import { describe, expect, it } from "vitest";
import { deepCopy } from "../../src/storage/deep-copy.ts";
import { firstDifference } from "../../src/storage/first-difference.ts";
import { SPECIAL_STATES } from "../../src/storage/values.ts";

describe("deepCopy", () => {
  it.each(Object.entries(SPECIAL_STATES))("makes an equal copy: %s", (_, state) => {
    expect(firstDifference(deepCopy(state), state)).toBeNull();
  });

  it("shares nothing with the original", () => {
    const state = { list: [{ a: 1 }], map: new Map([["k", { b: [1] }]]), bytes: new Uint8Array([1]), at: new Date(0) };
    const copied = deepCopy(state);
    state.list[0] = { a: 2 };
    state.map.get("k")?.b.push(2);
    state.bytes[0] = 2;
    state.at.setTime(1);
    expect(copied).toStrictEqual({
      list: [{ a: 1 }],
      map: new Map([["k", { b: [1] }]]),
      bytes: new Uint8Array([1]),
      at: new Date(0),
    });
  });

  it("makes a copy that is not frozen of a frozen original", () => {
    const state = Object.freeze({ list: Object.freeze([Object.freeze({ a: 1 })]) });
    const copied = deepCopy(state);
    expect([copied, copied.list, copied.list[0]].map((value) => Object.isFrozen(value))).toStrictEqual([
      false,
      false,
      false,
    ]);
  });
});
