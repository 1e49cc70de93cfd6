import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { firstIdAt, IdClock, idTime, parseId } from "../../src/database/ids.ts";

const NOW = Date.UTC(2026, 6, 1, 12);
const LAST_TIME = Date.UTC(10_000, 0, 1) - 1;

/** Makes an id of this millisecond, with these 18 digits after the version and the variant. */
function idOf(timeMs: number, tail: string): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${tail.slice(0, 3)}-b${tail.slice(3, 6)}-${tail.slice(6)}`;
}

const LAST_TAIL = "f".repeat(18);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a new id", () => {
  test("is a UUIDv7 by RFC 9562: 48 bits of milliseconds, version 7, variant 10", () => {
    const id = new IdClock().next();
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(NOW);
    expect(idTime(id)).toBe(NOW);
  });

  test("is above all earlier ones of its millisecond, ten thousand of them", () => {
    const clock = new IdClock();
    const ids = Array.from({ length: 10_000 }, () => clock.next());
    expect(ids).toEqual([...new Set(ids)].sort());
    expect(idTime(ids.at(-1) as string)).toBe(NOW);
  });

  test("cannot be guessed from the one before", () => {
    const clock = new IdClock();
    const [one, two, three] = [clock.next(), clock.next(), clock.next()].map((id) => BigInt(`0x${id.slice(24)}`));
    expect((two as bigint) - (one as bigint)).not.toBe((three as bigint) - (two as bigint));
  });

  test("is above the earlier ones if the clock goes back by an hour", () => {
    const clock = new IdClock();
    const before = clock.next();
    vi.setSystemTime(NOW - 3_600_000);
    const after = clock.next();
    expect(after > before).toBe(true);
    expect(idTime(after)).toBe(NOW);
    vi.setSystemTime(NOW + 1);
    expect(idTime(clock.next())).toBe(NOW + 1);
  });

  test("is above every observed id, of the past, of this millisecond and of the future", () => {
    const anyId = fc
      .tuple(fc.integer({ min: NOW - 5, max: NOW + 5 }), fc.bigInt({ min: 0n, max: (1n << 72n) - 1n }))
      .map(([time, tail]) => idOf(time, tail.toString(16).padStart(18, "0")));
    fc.assert(
      fc.property(fc.array(fc.oneof(anyId, fc.constant(null)), { maxLength: 30 }), (steps) => {
        const clock = new IdClock();
        let highest = "";
        for (const observed of steps) {
          if (observed === null) {
            const id = clock.next();
            expect(id > highest).toBe(true);
            expect(parseId(id)).toBe(id);
            highest = id;
          } else {
            clock.observe(observed);
            if (observed > highest) highest = observed;
          }
        }
        expect(clock.next() > highest).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  test("is of the next millisecond if all of one are used up", () => {
    const clock = new IdClock();
    const last = idOf(NOW, LAST_TAIL);
    clock.observe(last);
    const next = clock.next();
    expect(next > last).toBe(true);
    expect(idTime(next)).toBe(NOW + 1);
    expect(clock.next() > next).toBe(true);
  });

  test("carries over from each part of its tail into the next", () => {
    for (const tail of [`0000000000${"f".repeat(8)}`, `000fff${"f".repeat(12)}`]) {
      const clock = new IdClock();
      const full = idOf(NOW, tail);
      clock.observe(full);
      const next = clock.next();
      expect(next > full).toBe(true);
      expect(idTime(next)).toBe(NOW);
    }
  });

  test("is above the last id of the year 9999, which another process may have made", () => {
    const clock = new IdClock();
    clock.observe(idOf(LAST_TIME, LAST_TAIL));
    const first = clock.next();
    const second = clock.next();
    expect([parseId(first), parseId(second)]).toEqual([first, second]);
    expect(idOf(LAST_TIME, LAST_TAIL) < first && first < second).toBe(true);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1_700_000_000_000.789, -5])(
    "is well-formed even if a replaced clock returns %d",
    (now) => {
      vi.spyOn(Date, "now").mockReturnValue(now);
      const clock = new IdClock();
      const [one, other] = [clock.next(), clock.next()];
      expect([parseId(one), parseId(other)]).toEqual([one, other]);
      expect(one < other).toBe(true);
    },
  );

  test.each([
    "",
    "nonsense",
    "00000000-0000-0000-0000-000000000000",
    idOf(LAST_TIME + 1, LAST_TAIL),
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
  ])("is not affected by an observed text that is no id of ours: %j", (observed) => {
    const clock = new IdClock();
    clock.observe(observed);
    expect(idTime(clock.next())).toBe(NOW);
  });
});

describe("a text that is parsed as an id", () => {
  test("is changed to lower case", () => {
    const id = new IdClock().next();
    expect(parseId(id.toUpperCase())).toBe(id);
    expect(parseId(id)).toBe(id);
  });

  test.each([
    ["empty", ""],
    ["a UUIDv4", "9b2c8f0e-6d1f-4c0a-9a53-0d2f7f6f7a11"],
    ["the nil UUID", "00000000-0000-0000-0000-000000000000"],
    ["of another variant", "019b2c8f-0e6d-7c0a-ca53-0d2f7f6f7a11"],
    ["in braces", "{019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11}"],
    ["with a space", "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11 "],
    ["with a line break", "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11\n"],
    ["without dashes", "019b2c8f0e6d7c0a9a530d2f7f6f7a11"],
    ["with a letter beyond f", "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a1g"],
    ["with a letter that is ASCII only in lower case", "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a1\u212a"],
  ])("is no id if it is %s", (_name, text) => {
    expect(parseId(text)).toBeNull();
  });
});

test("firstIdAt returns the lowest id of a millisecond", () => {
  expect(firstIdAt(NOW)).toBe(idOf(NOW, "0".repeat(18)).replace("-b", "-8"));
  expect(parseId(firstIdAt(NOW))).toBe(firstIdAt(NOW));
  expect(firstIdAt(-1)).toBe("00000000-0000-7000-8000-000000000000");
  expect(idTime(firstIdAt(Number.MAX_SAFE_INTEGER))).toBe(LAST_TIME);
});
