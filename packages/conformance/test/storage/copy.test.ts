import { describe, expect, it } from "vitest";
import { copyOf } from "../../src/storage/copy.ts";
import { difference } from "../../src/storage/sameness.ts";
import { SPECIAL_STATES } from "../../src/storage/values.ts";

describe("a copy", () => {
  it.each(Object.entries(SPECIAL_STATES))("is the same as what it was made of: %s", (_, state) => {
    expect(difference(copyOf(state), state)).toBeNull();
  });

  it("shares nothing with what it was made of", () => {
    const state = { list: [{ a: 1 }], map: new Map([["k", { b: [1] }]]), bytes: new Uint8Array([1]), at: new Date(0) };
    const copied = copyOf(state);
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

  it("is not frozen, though what it was made of is", () => {
    const state = Object.freeze({ list: Object.freeze([Object.freeze({ a: 1 })]) });
    const copied = copyOf(state);
    expect([copied, copied.list, copied.list[0]].map((value) => Object.isFrozen(value))).toStrictEqual([
      false,
      false,
      false,
    ]);
  });
});
