import { expect, it } from "vitest";
import { atTime, idAt, timeOf } from "../../src/storage/ids.ts";

it("makes UUIDv7s of the given time, never the same twice", () => {
  const ids = [0, 1, 1_700_000_000_123, 253_402_300_799_999].map((time) => [time, idAt(time), idAt(time)] as const);
  for (const [time, one, other] of ids) {
    expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([timeOf(one), timeOf(other)]).toEqual([time, time]);
    expect(one).not.toBe(other);
  }
});

it("stops the clock during the work, also if it throws", () => {
  expect(atTime(7, () => [Date.now(), Date.now()])).toEqual([7, 7]);
  expect(() =>
    atTime(7, () => {
      throw new RangeError("work");
    }),
  ).toThrow("work");
  expect(Date.now()).toBeGreaterThan(1_700_000_000_000);
});
