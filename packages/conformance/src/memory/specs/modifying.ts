import { insertRecords } from "@waymark/core/kit";
import { ITEMS, THREADS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { comparable, newItem, newThread, signal, uuidOf } from "../rows.ts";

export function describeModifying(bench: MemoryBench): void {
  describe("modifying a row", () => {
    it("hands over the whole row, sets what is returned, and returns the row as it is then", async () => {
      const space = bench.newSpace();
      const item = newItem(space, 1, {
        key: "k",
        value: Uint8Array.of(0, 255),
        metadata: "\na=1\n",
        checkpointId: uuidOf(3),
      });
      await bench.records.change([insertRecords(ITEMS, [item, newItem(space, 2)])], signal);
      const set = {
        metadata: null,
        text: "it's \\ 😀",
        value: Uint8Array.of(39),
        importance: 0.25,
        pending: 2 ** 53 - 1,
      };
      let given: object = {};
      const decide = (row: object) => {
        given = row;
        return set;
      };
      const returned = await bench.records.modify(ITEMS, { space, key: "k" }, decide, signal);
      expect(comparable([given, returned ?? {}])).toEqual(comparable([item, { ...item, ...set }]));
      expect(comparable(await bench.readItems(space))).toEqual(comparable([{ ...item, ...set }, newItem(space, 2)]));
    });

    it("sets nothing if nothing is to be set", async () => {
      const owner = bench.newOwner();
      const thread = newThread(owner, "a", { title: "title" });
      await bench.records.change([insertRecords(THREADS, [thread])], signal);
      for (const nothing of [null, {}, { title: undefined } as never]) {
        expect(await bench.records.modify(THREADS, { owner, id: "a" }, () => nothing, signal)).toEqual(thread);
      }
      expect(await bench.records.find(THREADS, { where: { owner }, limit: 9 }, signal)).toEqual([thread]);
    });

    it("returns null where there is no row, and decides nothing", async () => {
      const owner = bench.newOwner();
      const decide = () => {
        throw new RangeError("decided without a row");
      };
      expect(await bench.records.modify(THREADS, { owner, id: "a" }, decide, signal)).toBeNull();
    });

    it("changes nothing if the decision throws, and rejects with what it threw", async () => {
      const owner = bench.newOwner();
      await bench.records.change([insertRecords(THREADS, [newThread(owner, "a")])], signal);
      const thrown = new RangeError("no");
      const decide = () => {
        throw thrown;
      };
      await expect(bench.records.modify(THREADS, { owner }, decide, signal)).rejects.toBe(thrown);
      const renamed = await bench.records.modify(THREADS, { owner }, () => ({ title: "next" }), signal);
      expect(renamed).toEqual(newThread(owner, "a", { title: "next" }));
    });

    it("changes nothing if the values are refused", async () => {
      const space = bench.newSpace();
      await bench.records.change([insertRecords(ITEMS, [newItem(space, 1, { key: "k" }), newItem(space, 2)])], signal);
      const refused = bench.records.modify(ITEMS, { space, number: 2 }, () => ({ key: "k", role: "r" }), signal);
      expect(await bench.faultOf(refused)).toBe("duplicate");
      expect((await bench.readItems(space))[1]).toEqual(newItem(space, 2));
    });

    it("sets columns of the primary key too", async () => {
      const owner = bench.newOwner();
      await bench.records.change([insertRecords(THREADS, [newThread(owner, "a")])], signal);
      const moved = newThread(owner, "b");
      expect(await bench.records.modify(THREADS, { owner, id: "a" }, () => ({ id: "b" }), signal)).toEqual(moved);
      expect(await bench.records.find(THREADS, { where: { owner }, limit: 9 }, signal)).toEqual([moved]);
    });
  });
}
