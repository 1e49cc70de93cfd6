import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Chunk } from "../../src/codec/chunk.ts";
import { takeSnapshot } from "../../src/codec/snapshot.ts";
import { encodeValue, MAX_DEPTH } from "../../src/codec/values.ts";
import { anyText, objectOf } from "./any-state.ts";

const chunksOf = (tree: unknown): readonly Chunk[] => takeSnapshot(tree).chunks;

const joined = (chunks: readonly Chunk[]) => chunks.map(({ text }) => text).join("");
const names = (chunks: readonly Chunk[]) => chunks.map(({ name }) => name);
/** Counts the chunks that are not among the others. */
const countNew = (chunks: readonly Chunk[], others: readonly Chunk[]) => {
  const otherNames = new Set(names(others));
  return chunks.filter(({ name }) => !otherNames.has(name)).length;
};

const WORDS = ["agent", "à la carte", "🚀🚀", "日本語", '"quoted"', "\\", "\n", "\ud83d", "𝒳", "<b>", "0", "\u2028"];

/** Makes a source of random numbers, the same for the same seed: for trees too large for arbitraries of fast-check. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function prose(draw: (below: number) => number, words: number): string {
  return Array.from({ length: words }, () => WORDS[draw(WORDS.length)] as string).join(draw(2) === 0 ? "" : " ");
}

/** Makes a tree of all kinds of values, from empty to some hundred kilobytes. */
function largeTree(draw: (below: number) => number, depth: number): unknown {
  switch (draw(depth > 5 ? 5 : 9)) {
    case 0:
      return prose(draw, draw(20));
    case 1:
      return prose(draw, draw(4_000));
    case 2:
      return Array.from({ length: draw(3_000) }, () => (draw(2) === 0 ? draw(1_000) : draw(1_000_000) / 7));
    case 3:
      return draw(3) === 0 ? null : draw(2) === 0;
    case 4:
      return draw(2) === 0 ? [] : {};
    case 5:
      return Array.from({ length: draw(40) }, () => largeTree(draw, depth + 2));
    case 6:
      return Array.from({ length: draw(300) }, (_, at) => ({ role: "user", at, content: prose(draw, draw(30)) }));
    case 7:
      return objectOf(
        Array.from({ length: draw(400) }, () => [`${draw(500)}${draw(2) === 0 ? "" : prose(draw, 2)}`, draw(9)]),
      );
    default:
      return objectOf([
        ["__proto__", largeTree(draw, depth + 1)],
        ["10", largeTree(draw, depth + 1)],
        ["toJSON", draw(2)],
        ["9", prose(draw, draw(400))],
        ["$", largeTree(draw, depth + 1)],
      ]);
  }
}

/** Draws a seed, not a tree: an object that was frozen while a property ran must not be used again when it is shrunk. */
const anySeed = fc.nat().map((seed) => () => largeTree(random(seed), 0));
const anySmallTree = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6 },
    anyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("tree")),
    fc.array(fc.tuple(anyText, tie("tree"))).map((entries) => objectOf(entries)),
  ),
})).tree;

function nested(levels: number, innermost: unknown): unknown {
  let tree = innermost;
  for (let level = 0; level < levels; level++) tree = level % 2 === 0 ? [tree, level] : { level, tree };
  return tree;
}

describe("the chunks of a tree", () => {
  test.each([
    ["small", anySmallTree.map((tree) => () => tree), 2_000],
    ["large", anySeed, 80],
  ] as const)("are its exact JSON when joined, each valid UTF-8 and of bounded size: %s", (_name, any, runs) => {
    fc.assert(
      fc.property(any, (treeOf) => {
        const tree = treeOf();
        const text = JSON.stringify(tree);
        const chunks = chunksOf(tree);
        expect(joined(chunks) === text).toBe(true);
        for (const chunk of chunks) {
          const utf8 = Buffer.from(chunk.text, "utf8");
          expect(utf8.toString("utf8") === chunk.text).toBe(true);
          expect(chunk.bytes).toBe(utf8.byteLength);
          expect(chunk.text.length).toBeGreaterThan(0);
          expect(chunk.text.length).toBeLessThanOrEqual(8_193);
        }
        expect(chunks.length).toBeLessThanOrEqual(3 + text.length / 12);
      }),
      { numRuns: runs },
    );
  });

  test.each<[string, unknown]>([
    ["a string of emoji", "🚀".repeat(50_000)],
    ["a string of emoji, shifted by one", `x${"🚀".repeat(50_000)}`],
    ["a string of one character", "x".repeat(100_000)],
    ["a string of characters that are escaped", "\0".repeat(20_000)],
    ["numbers", Array.from({ length: 50_000 }, (_, at) => Math.sin(at))],
    ["small objects", Array.from({ length: 20_000 }, (_, at) => ({ at }))],
    ["empty containers", Array.from({ length: 20_000 }, (_, at) => (at % 2 === 0 ? [] : {}))],
    ["many members", Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`key ${at}`, `value ${at}`]))],
    ["members that are integers", Object.fromEntries(Array.from({ length: 9_000 }, (_, at) => [9_000 - at, at]))],
    ["a key that is long", { ["key".repeat(30_000)]: 1, other: "x".repeat(200) }],
    ["members called __proto__", JSON.parse(`{"__proto__":{"__proto__":"${"x".repeat(9_000)}"}}`)],
    ["many levels", nested(190, "x".repeat(20_000))],
    [
      "more levels than are split by structure",
      nested(
        MAX_DEPTH - 1,
        Array.from({ length: 2_000 }, (_, at) => `text ${at}`),
      ),
    ],
    [
      "large containers in large containers",
      nested(
        14,
        Array.from({ length: 300 }, (_, at) => "y".repeat(at)),
      ),
    ],
    ["nothing", []],
    ["null", null],
  ])("are its exact JSON: %s", (_name, tree) => {
    const chunks = chunksOf(tree);
    expect(joined(chunks) === JSON.stringify(tree)).toBe(true);
    expect(Math.max(...chunks.map((chunk) => chunk.text.length))).toBeLessThanOrEqual(8_193);
    expect(chunks.every(({ text }) => Buffer.from(text).toString() === text)).toBe(true);
    expect(names(chunksOf(tree))).toEqual(names(chunks));
  });

  test("are a single one for a small tree, else one for each large element", () => {
    const turn = (at: number) => ({ at, content: "x".repeat(200) });
    expect(chunksOf([turn(1), turn(2)])).toHaveLength(1);
    const turns = Array.from({ length: 50 }, (_, at) => turn(at));
    expect(names(chunksOf(turns))).toEqual(expect.arrayContaining(turns.flatMap((one) => names(chunksOf(one)))));
    expect(chunksOf({ turns, more: turns }).length).toBeLessThan(4 * 50 + 8);
  });
});

describe("the chunks of a changed tree", () => {
  const draw = random(1);
  const long = prose(draw, 60_000);

  test.each([
    ["at the beginning", 0],
    ["in the middle", long.length >> 1],
    ["near the end", long.length - 10],
  ])("are the same except for a few if text is inserted into a long string %s", (_name, at) => {
    const before = chunksOf({ document: long });
    expect(before.length).toBeGreaterThan(40);
    for (const inserted of ["x", "🚀", "a longer insertion of some words ".repeat(3)]) {
      const after = chunksOf({ document: `${long.slice(0, at)}${inserted}${long.slice(at)}` });
      expect(countNew(after, before)).toBeLessThanOrEqual(4);
    }
  });

  test("are the same except for a few if numbers are inserted into a long list of numbers", () => {
    const numbers = Array.from({ length: 20_000 }, () => draw(1_000_000) / 7);
    const before = chunksOf(numbers);
    expect(before.length).toBeGreaterThan(40);
    expect(countNew(chunksOf(numbers.toSpliced(9_000, 3, 1, 2)), before)).toBeLessThanOrEqual(5);
  });

  test("are the same except for a few if an element or member is added, removed or changed", () => {
    const turns = Array.from({ length: 400 }, (_, at) => ({ at, content: prose(draw, 40) }));
    const before = chunksOf({ turns });
    const added = { at: -1, content: prose(draw, 40) };
    for (const changed of [
      [...turns, added],
      [added, ...turns],
      turns.toSpliced(200, 0, added),
      turns.toSpliced(200, 1),
      turns.with(200, added),
      turns.slice(7),
      turns.slice(0, -7),
    ]) {
      expect(countNew(chunksOf({ turns: changed }), before)).toBeLessThanOrEqual(5);
      expect(countNew(chunksOf({ first: 1, turns: changed, last: [1] }), before)).toBeLessThanOrEqual(7);
    }
  });
});

describe("the chunks of an unchanged tree", () => {
  test("are the same each time, and for a copy", () => {
    fc.assert(
      fc.property(anySeed, fc.boolean(), (treeOf, frozen) => {
        const tree = treeOf();
        const copy = structuredClone(tree);
        const expected = names(chunksOf(copy));
        for (let time = 0; time < 4; time++) {
          if (frozen) encodeValue(tree, true);
          expect(names(chunksOf(tree))).toEqual(expected);
        }
        expect(names(chunksOf(structuredClone(tree)))).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("are the same whatever the tree was a part of before", () => {
    fc.assert(
      fc.property(anySeed, anySeed, fc.nat(2), fc.boolean(), (oneOf, otherOf, levels, frozen) => {
        const [one, other] = [oneOf(), otherOf()];
        const wrapped = [{ one, other }, [one, one, other], nested(levels, [other, one])];
        const expected = wrapped.map((tree) => names(chunksOf(structuredClone(tree))));
        for (let time = 0; time < 3; time++) {
          if (frozen) for (const tree of wrapped) encodeValue(tree, true);
          expect(wrapped.map((tree) => names(chunksOf(tree)))).toEqual(expected);
          expect(names(chunksOf(one))).toEqual(names(chunksOf(structuredClone(one))));
        }
      }),
      { numRuns: 20 },
    );
  });

  const expectSameChunksAtAnyDepth = (frozen: boolean) => {
    const large = Array.from({ length: 100 }, (_, at) => ({ at, content: "x".repeat(100) }));
    for (const levels of [0, 11, 12, 13, 250, 12, 0, 250, 5]) {
      const tree = { padding: "y".repeat(5_000), inner: nested(levels, large) };
      if (frozen) encodeValue(tree, true);
      expect(names(chunksOf(tree)), `${levels} levels`).toEqual(names(chunksOf(structuredClone(tree))));
    }
  };

  test("are the same however deep the tree was nested before", () => expectSameChunksAtAnyDepth(false));
  // A known limit: a frozen value keeps its first chunks, which below a certain depth are split by content.
  test.fails("are the same however deep a frozen tree was nested before", () => expectSameChunksAtAnyDepth(true));
});
