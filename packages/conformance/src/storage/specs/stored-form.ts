import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { firstDifference } from "../first-difference.ts";
import type { StoredRow } from "../target.ts";

export function describeStoredForm(bench: Bench): void {
  /** Stores a state and returns its row. */
  const storedRow = async (state: unknown) => {
    const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));
    return (await bench.store.readRow(id)) as StoredRow;
  };

  describe("the stored form of a state", () => {
    const { encrypted = false } = bench.target;
    const asText = "is exactly JSON.stringify(state) with its SHA-256 as digest, if the state is plain JSON and short";
    it.skipIf(encrypted)(asText, async () => {
      const property = fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), async (state) => {
        const row = await storedRow(state);
        // JSON has no -0: JSON.stringify would lose it, so such a state is not plain.
        fc.pre(firstDifference(JSON.parse(JSON.stringify(state)), state) === null);
        const bytes = Buffer.from(JSON.stringify(state));
        expect(row.stateBytes).toBe(bytes.byteLength);
        fc.pre(row.encoding === "json"); // a longer one may be compressed or chunked
        expect(Buffer.from(row.state).toString("utf8")).toBe(bytes.toString());
        expect(Buffer.from(row.digest).toString("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
      });
      await fc.assert(property, { numRuns: 50 });
    });

    it.runIf(encrypted)("of an encrypted store shows neither the state nor its SHA-256, but its length", async () => {
      const property = fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), async (state) => {
        const row = await storedRow(state);
        fc.pre(firstDifference(JSON.parse(JSON.stringify(state)), state) === null);
        const bytes = Buffer.from(JSON.stringify(state));
        expect(row.stateBytes).toBe(bytes.byteLength);
        expect(row.encoding).toMatch(/\+sealed$/);
        expect(Buffer.from(row.digest).toString("hex")).not.toBe(createHash("sha256").update(bytes).digest("hex"));
        fc.pre(bytes.byteLength > 4); // a shorter one may occur by chance
        expect(Buffer.from(row.state).includes(bytes)).toBe(false);
      });
      await fc.assert(property, { numRuns: 50 });
    });

    it("counts the bytes of JSON.stringify(state) as stateBytes if the state is plain JSON, and is compressed if the state is long", async () => {
      const state = {
        turns: Array.from({ length: 2_000 }, (_, turn) => ({ turn, text: `Grüße, again and again 🚀` })),
      };
      const row = await storedRow(state);
      expect(row.stateBytes).toBe(Buffer.byteLength(JSON.stringify(state)));
      expect(row.state.byteLength).toBeLessThan(row.stateBytes / 4);
    });
  });
}
