import { expect, it } from "vitest";
import { guarded, modification, refusal } from "../../src/records/guards.ts";
import { removeRecords } from "../../src/records/records.ts";

const TABLE = {
  name: "t",
  columns: { a: { name: "a", kind: "integer" }, b: { name: "b", kind: "text", nullable: true } },
  key: ["a"],
} as const;

it("ends a change whose guard is not met, and with no other error", () => {
  expect(guarded(removeRecords(TABLE, { a: 1 }, 1), 1)).toBe(1);
  expect(guarded(removeRecords(TABLE, { a: 1 }), 7)).toBe(7);
  const refused = () => {
    try {
      return guarded(removeRecords(TABLE, { a: 1 }, 1), 2);
    } catch (error) {
      return refusal(error);
    }
  };
  expect(refused()).toBe(null);
  expect(() => refusal(new TypeError("another one"))).toThrow("another one");
});

it("modifies a row by its key, with what was decided", () => {
  const row = { a: 1, b: "x" };
  expect(modification(TABLE, row, () => ({ b: "y", a: undefined }))).toEqual({
    modified: { a: 1, b: "y" },
    step: { verb: "update", table: TABLE, where: { a: 1 }, set: { b: "y" }, expect: null },
  });
  for (const nothing of [null, {}, { b: undefined }]) {
    expect(modification(TABLE, row, () => nothing)).toEqual({ modified: row, step: null });
  }
});
