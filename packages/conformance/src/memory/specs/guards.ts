import { expectRecords, insertRecords, removeRecords, updateRecords } from "@waymark/core/kit";
import { ITEMS, TERMS, THREADS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { newItem, newTerm, newThread, numbers, signal, uuidOf } from "../rows.ts";

export function describeGuards(bench: MemoryBench): void {
  const change = (...steps: Parameters<typeof bench.records.change>[0]) => bench.records.change(steps, signal);

  describe("a guard", () => {
    it("that is met lets the change take place", async () => {
      const space = bench.newSpace();
      const items = numbers(1, 4).map((number) => newItem(space, number));
      expect(
        await change(
          insertRecords(ITEMS, items),
          updateRecords(ITEMS, { space, number: { to: 2 } }, { role: "r" }, 2),
          updateRecords(ITEMS, { space, role: "nobody" }, { role: "r" }, 0),
          removeRecords(ITEMS, { space, role: "r" }, 2),
          removeRecords(ITEMS, { space, role: "r" }, 0),
        ),
      ).toEqual([4, 2, 0, 2, 0]);
      expect(await bench.listNumbers(space)).toEqual([3, 4]);
    });

    it("that is not met undoes the steps before it, keeps those behind it from running, and is no error", async () => {
      const space = bench.newSpace();
      const owner = bench.newOwner();
      await change(
        insertRecords(ITEMS, [newItem(space, 1), newItem(space, 2)]),
        insertRecords(THREADS, [newThread(owner, "a")]),
      );
      for (const guard of [
        updateRecords(ITEMS, { space, number: 1 }, { role: "r" }, 0),
        updateRecords(ITEMS, { space, number: 1 }, { role: "r" }, 2),
        updateRecords(ITEMS, { space, number: 9 }, { role: "r" }, 1),
        removeRecords(ITEMS, { space }, 1),
        removeRecords(ITEMS, { space, number: { in: [] } }, 1),
        removeRecords(THREADS, { owner, id: "a" }, 0),
        expectRecords(ITEMS, { space }, 3),
        expectRecords(ITEMS, { space, role: "nobody" }, 1),
        expectRecords(THREADS, { owner, title: null }, 1), // by now it has another
      ]) {
        expect(
          await change(
            insertRecords(TERMS, [newTerm(space, "t", 1)]),
            updateRecords(THREADS, { owner }, { title: "changed" }),
            removeRecords(ITEMS, { space, number: 2 }),
            insertRecords(ITEMS, [newItem(space, 2)]),
            guard,
            insertRecords(ITEMS, [newItem(space, 3)]),
            insertRecords(ITEMS, [newItem(space, 3)]), // would fail
          ),
        ).toBeNull();
        expect(await bench.readItems(space)).toEqual([newItem(space, 1), newItem(space, 2)]);
        expect(await bench.records.count(TERMS, { space }, signal)).toBe(0);
        expect(await bench.records.find(THREADS, { where: { owner }, limit: 9 }, signal)).toEqual([
          newThread(owner, "a"),
        ]);
      }
    });

    it("counts rows that are set to what they are", async () => {
      const space = bench.newSpace();
      await change(insertRecords(ITEMS, [newItem(space, 1, { role: "r" }), newItem(space, 2)]));
      expect(await change(updateRecords(ITEMS, { space }, { role: "r" }, 2))).toEqual([2]);
      expect(await change(updateRecords(ITEMS, { space }, { role: "r" }, 2))).toEqual([2]);
    });

    it("sees what earlier steps have done", async () => {
      const space = bench.newSpace();
      const ours = uuidOf(77);
      // Insert if it is not there, and go on only if it is ours.
      const claim = (revision: string) =>
        change(
          insertRecords(ITEMS, [newItem(space, 1, { revision })], "ignore"),
          updateRecords(ITEMS, { space, revision }, { pending: 1 }, 1),
        );
      expect(await claim(ours)).not.toBeNull();
      expect(await claim(uuidOf(78))).toBeNull();
      expect((await bench.readItems(space)).map(({ revision }) => revision)).toEqual([ours]);
    });

    it("alone changes nothing, and returns the number of rows", async () => {
      const space = bench.newSpace();
      const rows = numbers(1, 300).map((number) => newItem(space, number));
      expect(
        await change(
          expectRecords(ITEMS, { space }, 0),
          insertRecords(ITEMS, rows),
          expectRecords(ITEMS, { space }, 300),
          expectRecords(ITEMS, { space, number: { in: [1, 300, 301] } }, 2),
          expectRecords(ITEMS, { space, number: { in: [] } }, 0),
        ),
      ).toEqual([0, 300, 300, 2, 0]);
      expect(await bench.readItems(space)).toEqual(rows);
    });
  });
}
