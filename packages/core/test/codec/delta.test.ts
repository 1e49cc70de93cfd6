import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Chunk, makeChunk } from "../../src/codec/chunk.ts";
import { alignChunks, ChunkList, deltaSteps, dictionarySource, isCopy, type Step } from "../../src/codec/delta.ts";

/** Few, so that they repeat; short ones, which runs do not begin with, and long ones. */
const alphabet = [",", "[", "]", "{}", "é".repeat(16), ..."abcdefgh"].map((text) =>
  makeChunk(text.length === 1 && /[a-h]/.test(text) ? text.repeat(40) : text),
);
const anyPieces = fc.array(fc.constantFrom(...alphabet), { maxLength: 60 });
/** The one is mostly the other, as one turn's pieces are the next one's. */
const anyEdition: fc.Arbitrary<[target: Chunk[], base: Chunk[]]> = fc
  .tuple(anyPieces, fc.array(fc.tuple(fc.nat(60), fc.nat(4), fc.array(fc.constantFrom(...alphabet), { maxLength: 4 }))))
  .map(([base, edits]) => {
    const target = [...base];
    for (const [at, remove, insert] of edits) target.splice(at % (target.length + 1), remove, ...insert);
    return [target, base];
  });
const anyTwo = fc.oneof(fc.tuple(anyPieces, anyPieces), anyEdition);

const text = (pieces: readonly Chunk[]) => pieces.map((piece) => piece.text);
const applied = (steps: readonly Step[], base: readonly Chunk[]) => {
  const list = ChunkList.of(base).apply(steps);
  return list.slice(0, list.length);
};
const insertedBy = (steps: readonly Step[]) => steps.flatMap((step) => (isCopy(step) ? [] : step.chunks));
const long = (...names: readonly string[]) => names.map((name) => makeChunk(name.repeat(40)));

describe("the difference of two lists of pieces", () => {
  test("it turns the one into the other, whatever they are", () => {
    fc.assert(
      fc.property(anyTwo, ([target, base]) => {
        expect(text(applied(deltaSteps(target, base), base))).toEqual(text(target));
      }),
      { numRuns: 5_000 },
    );
  });

  test("it turns the one into the other through any chain of others", () => {
    fc.assert(
      fc.property(fc.array(anyPieces, { minLength: 2, maxLength: 6 }), (chain) => {
        let list = ChunkList.of(chain[0] as Chunk[]);
        for (let at = 1; at < chain.length; at++) {
          list = list.apply(deltaSteps(chain[at] as Chunk[], chain[at - 1] as Chunk[]));
        }
        expect(text(list.slice(0, list.length))).toEqual(text(chain.at(-1) as Chunk[]));
      }),
      { numRuns: 1_000 },
    );
  });

  test("it has neither empty steps nor steps that belong together", () => {
    fc.assert(
      fc.property(anyTwo, ([target, base]) => {
        const steps = deltaSteps(target, base);
        for (const step of steps) expect(isCopy(step) ? step.count : step.chunks.length).toBeGreaterThan(0);
        for (let at = 1; at < steps.length; at++) {
          expect(isCopy(steps[at] as Step) || isCopy(steps[at - 1] as Step)).toBe(true);
        }
      }),
    );
  });

  test("it finds the same runs in pieces of equal content as in the very same ones", () => {
    fc.assert(
      fc.property(anyTwo, ([target, base]) => {
        const runs = alignChunks(target, base);
        const copies = target.map((piece) => makeChunk(piece.text));
        expect(alignChunks(copies, base)).toEqual(runs);
        expect(alignChunks(text(target), base)).toEqual(runs);
        for (const { at, from, count } of runs) {
          expect(text(target.slice(at, at + count))).toEqual(text(base.slice(from, from + count)));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("it is one copy where nothing has changed, and nothing at all where nothing is", () => {
    const pieces = long("a", "b", "c");
    expect(deltaSteps(pieces, pieces)).toEqual([{ from: 0, count: 3 }]);
    expect(deltaSteps([], pieces)).toEqual([]);
    expect(deltaSteps(pieces, [])).toEqual([{ pieces }]);
  });

  test.each<[string, string, string, string]>([
    ["added at the end", "abcdefx", "abcdef", "x"],
    ["added at the beginning", "xabcdef", "abcdef", "x"],
    ["added in the middle", "abcxdef", "abcdef", "x"],
    ["removed at the beginning", "cdef", "abcdef", ""],
    ["removed in the middle", "abef", "abcdef", ""],
    ["changed in the middle", "abxdef", "abcdef", "x"],
    ["changed in several places", "axcdyfg", "abcdefg", "xy"],
    ["the beginning moved away", "defgh", "abcdefgh", ""],
  ])("it inserts no more than what is new: %s", (_name, target, base, inserted) => {
    const steps = deltaSteps(long(...target), long(...base));
    expect(text(insertedBy(steps))).toEqual(text(long(...inserted)));
  });

  test("it finds what has moved far, past many changes", () => {
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, at) => makeChunk(`piece ${from + at} `.repeat(5)));
    const base = many(0, 500);
    const target = [...many(1_000, 100), ...many(300, 200), ...many(2_000, 100), ...many(0, 300), ...many(100, 50)];
    expect(insertedBy(deltaSteps(target, base))).toHaveLength(200);
  });

  test("it is found in time that grows with the lists, also where every piece repeats", () => {
    const [comma, other] = [makeChunk("{}".repeat(20)), makeChunk("[]".repeat(20))];
    const base = Array.from({ length: 40_000 }, (_, at) => (at % 2 === 0 ? comma : other));
    const target = base.toReversed();
    expect(text(applied(deltaSteps(target, base), base))).toEqual(text(target));
    expect(deltaSteps(target, base).length).toBeLessThan(10);
  });
});

describe("steps of a damaged difference", () => {
  const base = ChunkList.of(long("a", "b", "c"));

  test.each([
    [0, 4],
    [1, 3],
    [3, 1],
    [4, 0],
    [2 ** 40, 1],
    [0, 2 ** 53 - 1],
  ])("they are refused if they copy what is not there: %d and %d more", (from, count) => {
    expect(() =>
      base.apply([
        { from: 0, count: 1 },
        { from, count },
      ]),
    ).toThrow(RangeError);
  });

  test("they are refused exactly if they go beyond the end", () => {
    fc.assert(
      fc.property(anyPieces, fc.nat(70), fc.nat(70), (pieces, from, count) => {
        const apply = () => ChunkList.of(pieces).apply([{ from, count }]);
        if (from + count > pieces.length) expect(apply).toThrow(RangeError);
        else expect(text(apply().slice(0, count))).toEqual(text(pieces.slice(from, from + count)));
      }),
    );
  });
});

describe("a list of pieces", () => {
  test("it is cut as an array is, through all the runs that it is made of", () => {
    fc.assert(
      fc.property(anyPieces, anyPieces, fc.nat(70), fc.nat(70), (target, base, one, other) => {
        const list = ChunkList.of(base).apply(deltaSteps(target, base));
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        expect(list.length).toBe(target.length);
        expect(text(list.slice(from, to))).toEqual(text(target.slice(from, to)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("it holds the very same pieces, and leaves the list that it was made of alone", () => {
    const pieces = long("a", "b", "c");
    const list = ChunkList.of(pieces);
    expect(list.apply([{ from: 1, count: 2 }]).slice(0, 2)[0]).toBe(pieces[1]);
    expect(text(list.slice(0, 3))).toEqual(text(pieces));
    expect(ChunkList.of([]).slice(0, 0)).toEqual([]);
  });
});

describe("what no step copies", () => {
  test("it is the end of it, as bytes, the same for steps that were read back", () => {
    fc.assert(
      fc.property(anyTwo, fc.nat(2_000), ([target, base], maxBytes) => {
        const steps = deltaSteps(target, base);
        const copied = new Set<number>();
        for (const step of steps) {
          if (isCopy(step)) for (let at = 0; at < step.count; at++) copied.add(step.from + at);
        }
        const dictionary = dictionarySource(steps, ChunkList.of(base), maxBytes);
        expect(dictionary.length).toBeLessThanOrEqual(maxBytes);
        expect(dictionarySource(steps.filter(isCopy), ChunkList.of(base), maxBytes).equals(dictionary)).toBe(true);
        const left = base.filter((_, at) => !copied.has(at)).map((piece) => piece.text);
        const bytes = Buffer.from(left.join(""));
        const whole = dictionarySource(steps, ChunkList.of(base), 1_000_000);
        expect(whole.equals(bytes)).toBe(true);
        if (maxBytes > 0) expect(whole.subarray(-maxBytes).equals(dictionary)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
