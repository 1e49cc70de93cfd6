import { expect, it } from "vitest";
import { bindingOf, readerOf, rowReader } from "../../src/records/statements.ts";

it("binds values in the form that the driver takes, and null as null", () => {
  const encoder = { mapToDriverValue: (value: unknown) => `<${value}>` };
  const bind = bindingOf([
    { name: "set.a" },
    { name: "limit" },
    { value: { name: "value.1" }, encoder },
    { value: { name: "set.b" }, encoder },
    7,
    null,
  ]);
  expect(bind({ set: { a: 1, b: null }, value: ["x", "y"], limit: 3 })).toEqual([1, 3, "<y>", null, 7, null]);
});

it("reads a row by the names of its results", () => {
  const text = readerOf({ mapFromDriverValue: (value: number) => String(value) });
  const read = rowReader([
    ["a", text],
    ["b", Number],
    ["c", text],
  ]);
  expect(read([1, "2", null])).toEqual({ a: "1", b: 2, c: null });
});
