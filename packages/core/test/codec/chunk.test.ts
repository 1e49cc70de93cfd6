import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chunkOfUtf8, makeChunk, textOfChunks, utf8OfChunks } from "../../src/codec/chunk.ts";

describe("a chunk", () => {
  const anyUnits = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 120 }),
    fc.string({ maxLength: 60 }),
    fc.nat(40).map((length) => "🚀".repeat(length)),
    fc.nat(40).map((length) => "日".repeat(length)),
  );

  test("is the same after it was written and read", () => {
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

  test("is named by its text if that is short, else by its SHA-256", () => {
    expect(makeChunk("x".repeat(31)).name).toBe(`31:${"x".repeat(31)}`);
    const text = "à".repeat(32);
    expect(makeChunk(text).name).toBe(`#${createHash("sha256").update(text).digest("base64")}`);
  });

  test("has a name that no other text has", () => {
    fc.assert(
      fc.property(anyUnits, anyUnits, (one, other) => {
        expect(makeChunk(one).name === makeChunk(other).name).toBe(one === other);
      }),
    );
  });

  test("has another name than the decoded text if its bytes are not UTF-8", () => {
    for (const length of [1, 40, 200]) {
      const damaged = chunkOfUtf8(Buffer.alloc(length, 0xff));
      const honest = makeChunk("\ufffd".repeat(length));
      if (length > 31) expect(damaged.name).not.toBe(honest.name);
      expect(damaged.text).toBe(honest.text);
    }
  });

  test("joins to the same text and bytes with others, decoded or not", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyUnits, fc.constantFrom("made", "read", "decoded"))), (parts) => {
        const chunks = parts.map(([text, how]) => {
          const chunk = how === "made" ? makeChunk(text) : chunkOfUtf8(Buffer.from(text));
          if (how === "decoded") expect(chunk.text).toBe(text);
          return chunk;
        });
        const text = parts.map(([part]) => part).join("");
        expect(utf8OfChunks(chunks).equals(Buffer.from(text))).toBe(true);
        expect(textOfChunks(chunks)).toBe(text);
      }),
    );
  });
});
