import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Chunk, makeChunk } from "../../src/codec/chunk.ts";
import { alignChunks, ChunkList, deltaSteps, dictionarySource, isCopy, type Step } from "../../src/codec/delta.ts";

/** Few chunks, so that they repeat: short ones, with which no run begins, and long ones. */
const alphabet = [",", "[", "]", "{}", "é".repeat(16), ..."abcdefgh"].map((text) =>
  makeChunk(text.length === 1 && /[a-h]/.test(text) ? text.repeat(40) : text),
);
const anyChunks = fc.array(fc.constantFrom(...alphabet), { maxLength: 60 });
/** Two lists of chunks that are mostly the same, as those of one turn and the next are. */
const anyEdition: fc.Arbitrary<[target: Chunk[], base: Chunk[]]> = fc
  .tuple(anyChunks, fc.array(fc.tuple(fc.nat(60), fc.nat(4), fc.array(fc.constantFrom(...alphabet), { maxLength: 4 }))))
  .map(([base, edits]) => {
    const target = [...base];
    for (const [at, remove, insert] of edits) target.splice(at % (target.length + 1), remove, ...insert);
    return [target, base];
  });
const anyTwo = fc.oneof(fc.tuple(anyChunks, anyChunks), anyEdition);

const text = (chunks: readonly Chunk[]) => chunks.map((chunk) => chunk.text);
const applied = (steps: readonly Step[], base: readonly Chunk[]) => {
  const list = ChunkList.of(base).apply(steps);
  return list.slice(0, list.length);
};
const insertedBy = (steps: readonly Step[]) => steps.flatMap((step) => (isCopy(step) ? [] : step.chunks));
const long = (...names: readonly string[]) => names.map((name) => makeChunk(name.repeat(40)));

describe("a delta", () => {
  test("makes the target of the base, whatever they are", () => {
    fc.assert(
      fc.property(anyTwo, ([target, base]) => {
        expect(text(applied(deltaSteps(target, base), base))).toEqual(text(target));
      }),
      { numRuns: 5_000 },
    );
  });

  test("makes the last list of the first through any chain of others", () => {
    fc.assert(
      fc.property(fc.array(anyChunks, { minLength: 2, maxLength: 6 }), (chain) => {
        let list = ChunkList.of(chain[0] as Chunk[]);
        for (let at = 1; at < chain.length; at++) {
          list = list.apply(deltaSteps(chain[at] as Chunk[], chain[at - 1] as Chunk[]));
        }
        expect(text(list.slice(0, list.length))).toEqual(text(chain.at(-1) as Chunk[]));
      }),
      { numRuns: 1_000 },
    );
  });

  test("has neither empty steps nor two inserts in a row", () => {
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

  test("has the same runs for chunks of equal content as for identical objects", () => {
    fc.assert(
      fc.property(anyTwo, ([target, base]) => {
        const runs = alignChunks(target, base);
        const copies = target.map((chunk) => makeChunk(chunk.text));
        expect(alignChunks(copies, base)).toEqual(runs);
        expect(alignChunks(text(target), base)).toEqual(runs);
        for (const { at, from, count } of runs) {
          expect(text(target.slice(at, at + count))).toEqual(text(base.slice(from, from + count)));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("is a single copy if nothing has changed, and empty if the target is empty", () => {
    const chunks = long("a", "b", "c");
    expect(deltaSteps(chunks, chunks)).toEqual([{ from: 0, count: 3 }]);
    expect(deltaSteps([], chunks)).toEqual([]);
    expect(deltaSteps(chunks, [])).toEqual([{ chunks }]);
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
  ])("inserts only new chunks: %s", (_name, target, base, inserted) => {
    const steps = deltaSteps(long(...target), long(...base));
    expect(text(insertedBy(steps))).toEqual(text(long(...inserted)));
  });

  test("copies chunks that have moved far, past many changes", () => {
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, at) => makeChunk(`chunk ${from + at} `.repeat(5)));
    const base = many(0, 500);
    const target = [...many(1_000, 100), ...many(300, 200), ...many(2_000, 100), ...many(0, 300), ...many(100, 50)];
    expect(insertedBy(deltaSteps(target, base))).toHaveLength(200);
  });

  test("is computed in linear time, even if every chunk repeats", () => {
    const [comma, other] = [makeChunk("{}".repeat(20)), makeChunk("[]".repeat(20))];
    const base = Array.from({ length: 40_000 }, (_, at) => (at % 2 === 0 ? comma : other));
    const target = base.toReversed();
    expect(text(applied(deltaSteps(target, base), base))).toEqual(text(target));
    expect(deltaSteps(target, base).length).toBeLessThan(10);
  });
});

describe("a damaged delta", () => {
  const base = ChunkList.of(long("a", "b", "c"));

  test.each([
    [0, 4],
    [1, 3],
    [3, 1],
    [4, 0],
    [2 ** 40, 1],
    [0, 2 ** 53 - 1],
  ])("is refused if it copies chunks that do not exist: from %d, count %d", (from, count) => {
    expect(() =>
      base.apply([
        { from: 0, count: 1 },
        { from, count },
      ]),
    ).toThrow(RangeError);
  });

  test("is refused exactly if it copies beyond the end", () => {
    fc.assert(
      fc.property(anyChunks, fc.nat(70), fc.nat(70), (chunks, from, count) => {
        const apply = () => ChunkList.of(chunks).apply([{ from, count }]);
        if (from + count > chunks.length) expect(apply).toThrow(RangeError);
        else expect(text(apply().slice(0, count))).toEqual(text(chunks.slice(from, from + count)));
      }),
    );
  });
});

describe("a chunk list", () => {
  test("is sliced as an array is, across all of its runs", () => {
    fc.assert(
      fc.property(anyChunks, anyChunks, fc.nat(70), fc.nat(70), (target, base, one, other) => {
        const list = ChunkList.of(base).apply(deltaSteps(target, base));
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        expect(list.length).toBe(target.length);
        expect(text(list.slice(from, to))).toEqual(text(target.slice(from, to)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("has the same chunk objects as its base, and leaves the base unchanged", () => {
    const chunks = long("a", "b", "c");
    const list = ChunkList.of(chunks);
    expect(list.apply([{ from: 1, count: 2 }]).slice(0, 2)[0]).toBe(chunks[1]);
    expect(text(list.slice(0, 3))).toEqual(text(chunks));
    expect(ChunkList.of([]).slice(0, 0)).toEqual([]);
  });
});

describe("the dictionary source of a delta", () => {
  test("is the last bytes of the base that no step copies, the same for steps that were read back", () => {
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
        const left = base.filter((_, at) => !copied.has(at)).map((chunk) => chunk.text);
        const bytes = Buffer.from(left.join(""));
        const all = dictionarySource(steps, ChunkList.of(base), 1_000_000);
        expect(all.equals(bytes)).toBe(true);
        if (maxBytes > 0) expect(all.subarray(-maxBytes).equals(dictionary)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
