import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DamagedBytes, readVarint, writeVarint } from "../../src/codec/varint.ts";

function bytesOf(...values: readonly number[]): Uint8Array {
  const bytes: number[] = [];
  for (const value of values) writeVarint(bytes, value);
  return Uint8Array.from(bytes);
}

describe("a varint", () => {
  test("is read as it was written, up to the beginning of the next one", () => {
    const anyNumber = fc.oneof(
      fc.nat(),
      fc.maxSafeNat(),
      fc.nat({ max: 52 }).chain((bits) => fc.integer({ min: 2 ** bits - 1, max: 2 ** bits + 1 })),
    );
    fc.assert(
      fc.property(fc.array(anyNumber, { maxLength: 8 }), (values) => {
        const at = { position: 0 };
        const bytes = bytesOf(...values);
        expect(values.map(() => readVarint(bytes, at))).toEqual(values);
        expect(at.position).toBe(bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    [0, [0]],
    [1, [1]],
    [0x7f, [0x7f]],
    [0x80, [0x80, 1]],
    [300, [0xac, 2]],
    [2 ** 31, [0x80, 0x80, 0x80, 0x80, 8]],
    [2 ** 32 + 1, [0x81, 0x80, 0x80, 0x80, 0x10]],
    [2 ** 53 - 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf]],
  ])("is written in the stored format: %d", (value, bytes) => {
    expect([...bytesOf(value)]).toEqual(bytes);
    expect(readVarint(Uint8Array.from(bytes), { position: 0 })).toBe(value);
  });
});

describe("a damaged varint", () => {
  test("is refused if it is cut off", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(), (value, cut) => {
        const bytes = bytesOf(value);
        const left = bytes.subarray(0, cut % bytes.length);
        expect(() => readVarint(left, { position: 0 })).toThrow(DamagedBytes);
      }),
    );
  });

  test("is refused if it has no end", () => {
    expect(() => readVarint(new Uint8Array(100).fill(0xff), { position: 0 })).toThrow(DamagedBytes);
    expect(() => readVarint(new Uint8Array(), { position: 0 })).toThrow(DamagedBytes);
    expect(() => readVarint(bytesOf(1), { position: 7 })).toThrow(DamagedBytes);
  });

  test("is read as a number or refused, whatever its bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const at = { position: 0 };
        try {
          const value = readVarint(bytes, at);
          expect(Number.isInteger(value) && value >= 0).toBe(true);
          expect(at.position).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedBytes);
        }
      }),
    );
  });
});
