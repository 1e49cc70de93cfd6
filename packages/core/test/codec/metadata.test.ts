import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeMetadata, encodeLabels, encodeMetadata } from "../../src/codec/metadata.ts";
import type { CheckpointMetadata } from "../../src/contract/checkpoints.ts";
import { anyText, objectOf } from "../codec/any-state.ts";

const encode = (metadata: CheckpointMetadata) => encodeMetadata("metadata", metadata);

describe("metadata", () => {
  const anyLabel = fc.oneof(
    anyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.constant(-0),
  );
  const anyMetadata = fc
    .array(fc.tuple(fc.oneof(anyText, fc.constantFrom("__proto__", "constructor")), anyLabel), { maxLength: 6 })
    .map((entries) => objectOf(entries) as CheckpointMetadata);

  test("is decoded as it was, whatever its keys and values hold", () => {
    fc.assert(
      fc.property(anyMetadata, (metadata) => {
        const back = decodeMetadata(encode(metadata));
        expect(Object.keys(back).sort()).toEqual(Object.keys(metadata).sort());
        for (const key of Object.keys(metadata)) expect(Object.is(back[key], metadata[key])).toBe(true);
        expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
      }),
      { numRuns: 3_000 },
    );
  });

  test("may be of another realm, and may not be an instance of a class", () => {
    expect(decodeMetadata(encode(runInNewContext("({ user: '42' })")))).toEqual({ user: "42" });
    for (const source of ["new (class { user = '42' })()", "new Map()", "Object.create({ user: '42' })"]) {
      expect(() => encode(runInNewContext(source))).toThrow("a plain object of strings");
    }
  });

  test("matches exactly the filters whose labels it has", () => {
    const value = fc.constantFrom<string | number | boolean | null>(
      "1",
      1,
      true,
      "true",
      null,
      "null",
      "",
      0,
      -0,
      "a\nb",
      '"',
      "\\n",
    );
    const labels = fc.dictionary(fc.constantFrom("a", "b", 'a":1', "a\n"), value, { maxKeys: 3 });
    fc.assert(
      fc.property(labels, labels, (stored, filter) => {
        const text = encode(stored);
        const found = encodeLabels("metadata", filter).every((label) => text.includes(label));
        const has = Object.keys(filter).every(
          (key) => Object.hasOwn(stored, key) && Object.is(stored[key], filter[key]),
        );
        expect(found).toBe(has);
      }),
      { numRuns: 5_000 },
    );
  });

  test("is encoded as a line per label, which databases compare", () => {
    expect(encode({ b: "x\ny", a: -0 })).toBe('\n"b":"x\\ny"\n"a":-0\n');
  });
});
