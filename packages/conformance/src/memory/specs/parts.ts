import { insertRecords, removeRecords } from "@waymark/core/kit";
import { ITEMS, SIGNATURES, TERMS, VECTORS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { newItem, newSignature, newTerm, newVector, numbers, signal } from "../rows.ts";

export function describeParts(bench: MemoryBench): void {
  describe("rows that are part of another one", () => {
    const insertAll = async (space: number, all: readonly number[]) => {
      const parts = all.flatMap((number) => [1, 2].map((generation) => ({ number, generation })));
      await bench.records.change(
        [
          insertRecords(
            ITEMS,
            all.map((number) => newItem(space, number)),
          ),
          insertRecords(
            VECTORS,
            parts.map(({ number, generation }) => newVector(space, number, Float32Array.of(1), generation)),
          ),
          insertRecords(
            SIGNATURES,
            parts.map(({ number, generation }) => newSignature(space, number, Uint8Array.of(1, 2), generation)),
          ),
          insertRecords(
            TERMS,
            all.map((number) => newTerm(space, "t", number)),
          ),
        ],
        signal,
      );
    };
    const listParts = async (space: number) => {
      const query = {
        where: { space },
        columns: ["number"],
        order: [
          ["number", "asc"],
          ["generation", "asc"],
        ],
        limit: 9_999,
      } as const;
      const ofVectors = (await bench.records.find(VECTORS, query, signal)).map(({ number }) => number);
      expect((await bench.records.find(SIGNATURES, query, signal)).map(({ number }) => number)).toEqual(ofVectors);
      return ofVectors;
    };

    it("are removed with it, and no other", async () => {
      const [one, other] = [bench.newSpace(), bench.newSpace()];
      for (const space of [one, other]) await insertAll(space, [1, 2, 3]);
      expect(
        await bench.records.change([removeRecords(ITEMS, { space: one, number: { in: [1, 3] } })], signal),
      ).toEqual([2]);
      expect(await listParts(one)).toEqual([2, 2]);
      expect(await listParts(other)).toEqual([1, 1, 2, 2, 3, 3]);
      expect(await bench.records.count(TERMS, { space: one }, signal)).toBe(3); // part of nothing
      // Its number may be used again.
      await bench.records.change(
        [insertRecords(ITEMS, [newItem(one, 1)]), insertRecords(VECTORS, [newVector(one, 1, Float32Array.of(2))])],
        signal,
      );
      expect(await bench.records.count(VECTORS, { space: one }, signal)).toBe(3);
    });

    it("are removed by themselves, and leave it", async () => {
      const space = bench.newSpace();
      await insertAll(space, [1, 2]);
      await bench.records.change(
        [removeRecords(VECTORS, { space, generation: 1 }, 2), removeRecords(SIGNATURES, { space, generation: 1 }, 2)],
        signal,
      );
      expect(await listParts(space)).toEqual([1, 2]);
      expect(await bench.listNumbers(space)).toEqual([1, 2]);
    });

    it("are removed by the hundred, and back again if a guard is not met", async () => {
      const space = bench.newSpace();
      await insertAll(space, numbers(1, 300));
      const removal = removeRecords(ITEMS, { space, number: { to: 250 } }, 250);
      expect(await bench.records.change([removal, removeRecords(ITEMS, { space }, 1)], signal)).toBeNull();
      expect(await listParts(space)).toHaveLength(600);
      expect(await bench.records.change([removal], signal)).toEqual([250]);
      expect(await listParts(space)).toHaveLength(100);
    });
  });
}
