import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Chunk, chunkOfUtf8, makeChunk, textOfChunks, utf8OfChunks } from "../../src/codec/chunk.ts";
import { takeSnapshot } from "../../src/codec/snapshot.ts";
import { encodeValue, MAX_DEPTH } from "../../src/codec/values.ts";
import { anyText, objectOf } from "./any-state.ts";

const cut = (tree: unknown): readonly Chunk[] => takeSnapshot(tree).chunks;

const joined = (pieces: readonly Chunk[]) => pieces.map(({ text }) => text).join("");
const names = (pieces: readonly Chunk[]) => pieces.map(({ name }) => name);
/** How many of the pieces are not in the others. */
const fresh = (pieces: readonly Chunk[], others: readonly Chunk[]) => {
  const known = new Set(names(others));
  return pieces.filter(({ name }) => !known.has(name)).length;
};

const WORDS = ["agent", "à la carte", "🚀🚀", "日本語", '"quoted"', "\\", "\n", "\ud83d", "𝒳", "<b>", "0", "\u2028"];

/** Numbers that are the same for the same seed, for trees too large to be drawn one by one. */
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

/** All that can be in a tree, in sizes from nothing to some hundred kilobytes. */
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

/** Drawn as a number: what is frozen while a property runs must not come back when it is shrunk. */
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

describe("the pieces of a tree", () => {
  test.each([
    ["small", anySmallTree.map((tree) => () => tree), 2_000],
    ["large", anySeed, 80],
  ] as const)(
    "they are, joined, exactly its JSON, each of them UTF-8 and of a bounded size: %s",
    (_name, any, runs) => {
      fc.assert(
        fc.property(any, (treeOf) => {
          const tree = treeOf();
          const text = JSON.stringify(tree);
          const pieces = cut(tree);
          expect(joined(pieces) === text).toBe(true);
          for (const piece of pieces) {
            const utf8 = Buffer.from(piece.text, "utf8");
            expect(utf8.toString("utf8") === piece.text).toBe(true);
            expect(piece.bytes).toBe(utf8.byteLength);
            expect(piece.text.length).toBeGreaterThan(0);
            expect(piece.text.length).toBeLessThanOrEqual(8_193);
          }
          expect(pieces.length).toBeLessThanOrEqual(3 + text.length / 12);
        }),
        { numRuns: runs },
      );
    },
  );

  test.each<[string, unknown]>([
    ["a string of emoji", "🚀".repeat(50_000)],
    ["a string of emoji, shifted by one", `x${"🚀".repeat(50_000)}`],
    ["a string of one character", "x".repeat(100_000)],
    ["a string of characters that are escaped", "\0".repeat(20_000)],
    ["numbers", Array.from({ length: 50_000 }, (_, at) => Math.sin(at))],
    ["small objects", Array.from({ length: 20_000 }, (_, at) => ({ at }))],
    ["empty ones", Array.from({ length: 20_000 }, (_, at) => (at % 2 === 0 ? [] : {}))],
    ["many members", Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`key ${at}`, `value ${at}`]))],
    ["members that are integers", Object.fromEntries(Array.from({ length: 9_000 }, (_, at) => [9_000 - at, at]))],
    ["a key that is long", { ["key".repeat(30_000)]: 1, other: "x".repeat(200) }],
    ["members called __proto__", JSON.parse(`{"__proto__":{"__proto__":"${"x".repeat(9_000)}"}}`)],
    ["many levels", nested(190, "x".repeat(20_000))],
    [
      "more levels than are opened",
      nested(
        MAX_DEPTH - 1,
        Array.from({ length: 2_000 }, (_, at) => `text ${at}`),
      ),
    ],
    [
      "large ones in large ones",
      nested(
        14,
        Array.from({ length: 300 }, (_, at) => "y".repeat(at)),
      ),
    ],
    ["nothing", []],
    ["null", null],
  ])("they are its JSON: %s", (_name, tree) => {
    const pieces = cut(tree);
    expect(joined(pieces) === JSON.stringify(tree)).toBe(true);
    expect(Math.max(...pieces.map((piece) => piece.text.length))).toBeLessThanOrEqual(8_193);
    expect(pieces.every(({ text }) => Buffer.from(text).toString() === text)).toBe(true);
    expect(names(cut(tree))).toEqual(names(pieces));
  });

  test("they are one piece where the tree is small, and else one for each element that is not", () => {
    const turn = (at: number) => ({ at, content: "x".repeat(200) });
    expect(cut([turn(1), turn(2)])).toHaveLength(1);
    const turns = Array.from({ length: 50 }, (_, at) => turn(at));
    expect(names(cut(turns))).toEqual(expect.arrayContaining(turns.flatMap((one) => names(cut(one)))));
    expect(cut({ turns, more: turns }).length).toBeLessThan(4 * 50 + 8);
  });
});

describe("the pieces of a tree that has changed", () => {
  const draw = random(1);
  const long = prose(draw, 60_000);

  test.each([
    ["at the beginning", 0],
    ["in the middle", long.length >> 1],
    ["near the end", long.length - 10],
  ])("they are the same but for a few, when something is inserted into a long string %s", (_name, at) => {
    const before = cut({ document: long });
    expect(before.length).toBeGreaterThan(40);
    for (const inserted of ["x", "🚀", "a longer insertion of some words ".repeat(3)]) {
      const after = cut({ document: `${long.slice(0, at)}${inserted}${long.slice(at)}` });
      expect(fresh(after, before)).toBeLessThanOrEqual(4);
    }
  });

  test("they are the same but for a few, when numbers are inserted into a long list of them", () => {
    const numbers = Array.from({ length: 20_000 }, () => draw(1_000_000) / 7);
    const before = cut(numbers);
    expect(before.length).toBeGreaterThan(40);
    expect(fresh(cut(numbers.toSpliced(9_000, 3, 1, 2)), before)).toBeLessThanOrEqual(5);
  });

  test("they are the same but for a few, when an element or member is added, removed or changed", () => {
    const turns = Array.from({ length: 400 }, (_, at) => ({ at, content: prose(draw, 40) }));
    const before = cut({ turns });
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
      expect(fresh(cut({ turns: changed }), before)).toBeLessThanOrEqual(5);
      expect(fresh(cut({ first: 1, turns: changed, last: [1] }), before)).toBeLessThanOrEqual(7);
    }
  });
});

describe("the pieces of the same tree", () => {
  test("they are the same again, and those of a copy of it", () => {
    fc.assert(
      fc.property(anySeed, fc.boolean(), (treeOf, frozen) => {
        const tree = treeOf();
        const copy = structuredClone(tree);
        const expected = names(cut(copy));
        for (let time = 0; time < 4; time++) {
          if (frozen) encodeValue(tree, true);
          expect(names(cut(tree))).toEqual(expected);
        }
        expect(names(cut(structuredClone(tree)))).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  test("they are the same whatever it was a part of before", () => {
    fc.assert(
      fc.property(anySeed, anySeed, fc.nat(2), fc.boolean(), (oneOf, otherOf, levels, frozen) => {
        const [one, other] = [oneOf(), otherOf()];
        const wrapped = [{ one, other }, [one, one, other], nested(levels, [other, one])];
        const expected = wrapped.map((tree) => names(cut(structuredClone(tree))));
        for (let time = 0; time < 3; time++) {
          if (frozen) for (const tree of wrapped) encodeValue(tree, true);
          expect(wrapped.map((tree) => names(cut(tree)))).toEqual(expected);
          expect(names(cut(one))).toEqual(names(cut(structuredClone(one))));
        }
      }),
      { numRuns: 20 },
    );
  });

  const samePiecesAtAnyDepth = (frozen: boolean) => {
    const large = Array.from({ length: 100 }, (_, at) => ({ at, content: "x".repeat(100) }));
    for (const levels of [0, 11, 12, 13, 250, 12, 0, 250, 5]) {
      const tree = { padding: "y".repeat(5_000), inner: nested(levels, large) };
      if (frozen) encodeValue(tree, true);
      expect(names(cut(tree)), `${levels} levels`).toEqual(names(cut(structuredClone(tree))));
    }
  };

  test("they are the same however deep it was before", () => samePiecesAtAnyDepth(false));
  // What is frozen keeps the pieces that it was cut into first: below the containers that are opened, by its content.
  test.fails("they are the same however deep it was before, if it is frozen", () => samePiecesAtAnyDepth(true));
});

describe("a piece", () => {
  const anyUnits = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 120 }),
    fc.string({ maxLength: 60 }),
    fc.nat(40).map((length) => "🚀".repeat(length)),
    fc.nat(40).map((length) => "日".repeat(length)),
  );

  test("it is the same piece after it was written and read", () => {
    fc.assert(
      fc.property(anyUnits, (text) => {
        const made = makeChunk(text);
        const read = chunkOfUtf8(Buffer.from(text, "utf8"));
        expect([read.name, read.bytes, read.text]).toEqual([made.name, made.bytes, text]);
        expect(read.bytes).toBe(Buffer.byteLength(text));
      }),
      { numRuns: 3_000 },
    );
  });

  test("it is named by its text if that is short, else by its SHA-256", () => {
    expect(makeChunk("x".repeat(31)).name).toBe(`31:${"x".repeat(31)}`);
    const text = "à".repeat(32);
    expect(makeChunk(text).name).toBe(`#${createHash("sha256").update(text).digest("base64")}`);
  });

  test("it has a name of its own: no other text has it", () => {
    fc.assert(
      fc.property(anyUnits, anyUnits, (one, other) => {
        expect(makeChunk(one).name === makeChunk(other).name).toBe(one === other);
      }),
    );
  });

  test("it has another name than the text that its bytes become, if they are no UTF-8", () => {
    for (const length of [1, 40, 200]) {
      const damaged = chunkOfUtf8(Buffer.alloc(length, 0xff));
      const honest = makeChunk("\ufffd".repeat(length));
      if (length > 31) expect(damaged.name).not.toBe(honest.name);
      expect(damaged.text).toBe(honest.text);
    }
  });

  test("it is joined with others to the same text and bytes, whether they were decoded or not", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyUnits, fc.constantFrom("made", "read", "decoded"))), (parts) => {
        const pieces = parts.map(([text, how]) => {
          const piece = how === "made" ? makeChunk(text) : chunkOfUtf8(Buffer.from(text));
          if (how === "decoded") expect(piece.text).toBe(text);
          return piece;
        });
        const text = parts.map(([part]) => part).join("");
        expect(utf8OfChunks(pieces).equals(Buffer.from(text))).toBe(true);
        expect(textOfChunks(pieces)).toBe(text);
      }),
    );
  });
});
