import { Addition, insertRecords, removeKeys, removeRecords, updateRecords } from "@waymark/core/kit";
import { ITEMS, SIGNATURES, TERMS, THREADS, VECTORS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import {
  comparable,
  newItem,
  newSignature,
  newTerm,
  newThread,
  newVector,
  numbers,
  randomFrom,
  signal,
  uuidOf,
} from "../rows.ts";

export function describeChanging(bench: MemoryBench): void {
  const change = (...steps: Parameters<typeof bench.records.change>[0]) => bench.records.change(steps, signal);
  const readThreads = (owner: string) =>
    bench.records.find(THREADS, { where: { owner }, order: [["id", "asc"]], limit: 99 }, signal);

  describe("a change", () => {
    it("without steps, or with steps without rows, does nothing", async () => {
      const space = bench.newSpace();
      expect(await change()).toEqual([]);
      expect(
        await change(
          insertRecords(ITEMS, []),
          insertRecords(TERMS, [], "ignore"),
          insertRecords(THREADS, [], "update"),
        ),
      ).toEqual([0, 0, 0]);
      expect(
        await change(removeRecords(ITEMS, { space, number: { in: [] } }), removeRecords(ITEMS, { space })),
      ).toEqual([0, 0]);
    });

    it("applies its steps in order, and returns the number of rows of each", async () => {
      const space = bench.newSpace();
      const keyed = (number: number) => newItem(space, number, { key: "key" });
      expect(
        await change(
          insertRecords(ITEMS, [keyed(1)]),
          updateRecords(ITEMS, { space, key: "key" }, { key: null }),
          insertRecords(ITEMS, [keyed(2)]), // its key is free by now
          removeRecords(ITEMS, { space, key: "key" }),
          insertRecords(ITEMS, [keyed(3)]),
          insertRecords(ITEMS, [newItem(space, 2)]), // and so is this number
          updateRecords(ITEMS, { space }, { role: "role" }),
          updateRecords(ITEMS, { space, number: { above: 5 } }, { role: "other" }),
          removeRecords(ITEMS, { space, number: { from: 2 } }),
        ),
      ).toEqual([1, 1, 1, 1, 1, 1, 3, 0, 2]);
      expect(comparable(await bench.readItems(space))).toEqual(comparable([newItem(space, 1, { role: "role" })]));
    });

    it("inserts more than a thousand rows with long texts and vectors", async () => {
      const space = bench.newSpace();
      const random = randomFrom(6);
      const all = numbers(1, 1_200);
      const items = all.map((number) =>
        newItem(space, number, {
          text: `${number} '\\"漢😀 `.repeat(150),
          value: Uint8Array.from({ length: 200 }, () => Math.floor(random() * 256)),
          metadata: `\nn=${number}\n`,
        }),
      );
      const vectors = all.map((number) =>
        newVector(
          space,
          number,
          new Float32Array(128).map(() => random() - 0.5),
        ),
      );
      const signatures = all.map((number) => newSignature(space, number, Uint8Array.of(number >> 8, number & 255)));
      const terms = all.flatMap((number) => ["all", `t${number % 7}`].map((term) => newTerm(space, term, number)));
      expect(
        await change(
          insertRecords(ITEMS, items),
          insertRecords(VECTORS, vectors),
          insertRecords(SIGNATURES, signatures),
          insertRecords(TERMS, terms),
        ),
      ).toEqual([1_200, 1_200, 1_200, 2_400]);
      const where = { space, number: { in: [1, 600, 1_200] } };
      const order = [["number", "asc"]] as const;
      const three = <Row extends { readonly number: number }>(rows: readonly Row[]) =>
        comparable(rows.filter(({ number }) => where.number.in.includes(number)));
      expect(comparable(await bench.records.find(ITEMS, { where, order, limit: 9 }, signal))).toEqual(three(items));
      expect(comparable(await bench.records.find(VECTORS, { where, order, limit: 9 }, signal))).toEqual(three(vectors));
      expect(comparable(await bench.records.find(SIGNATURES, { where, order, limit: 9 }, signal))).toEqual(
        three(signatures),
      );
      expect(await bench.listNumbers(space)).toEqual(all);
      expect(await bench.records.count(TERMS, { space }, signal)).toBe(2_400);

      expect(
        await change(
          updateRecords(ITEMS, { space }, { text: "short" }, 1_200),
          removeRecords(TERMS, { space, term: { in: ["all", "t3"] } }),
          removeRecords(ITEMS, { space, number: { in: numbers(1, 1_100) } }, 1_100),
        ),
      ).toEqual([1_200, 1_372, 1_100]);
      expect(await bench.records.count(VECTORS, { space }, signal)).toBe(100);
    });

    it("fails with all its steps if one of them fails, and the next change works", async () => {
      const space = bench.newSpace();
      await change(insertRecords(ITEMS, [newItem(space, 1, { key: "key" })]));
      const before = comparable(await bench.readItems(space));
      const good = [insertRecords(ITEMS, [newItem(space, 2)]), updateRecords(ITEMS, { space }, { role: "changed" })];
      const orphan = newVector(space, 9, Float32Array.of(1));
      for (const [step, fault] of [
        [insertRecords(ITEMS, [newItem(space, 3), newItem(space, 1, { id: uuidOf(99) })]), "duplicate"],
        [insertRecords(ITEMS, [newItem(space, 3, { key: "key" })]), "duplicate"],
        [insertRecords(ITEMS, [newItem(space, 3), newItem(space, 3, { id: uuidOf(99) })]), "duplicate"],
        [updateRecords(ITEMS, { space }, { key: "same" }), "duplicate"],
        [insertRecords(VECTORS, [orphan]), "foreign-key"],
        [insertRecords(VECTORS, [orphan], "ignore"), "foreign-key"],
        [insertRecords(VECTORS, [orphan], "update"), "foreign-key"],
      ] as const) {
        expect(await bench.faultOf(change(...good, step, removeRecords(ITEMS, { space })))).toBe(fault);
        expect(comparable(await bench.readItems(space))).toEqual(before);
      }
      expect(await change(...good)).toEqual([1, 2]);
    });

    it("inserts, on request, only rows none of whose unique keys is taken", async () => {
      const space = bench.newSpace();
      const taken = newItem(space, 1, { key: "key", textDigest: Uint8Array.of(1) });
      await change(insertRecords(ITEMS, [taken]));
      const offered = [
        newItem(space, 1, { id: uuidOf(51), text: "another" }),
        newItem(space, 2, { id: taken.id }),
        newItem(space, 3, { key: "key" }),
        newItem(space, 4, { textDigest: Uint8Array.of(1) }),
        newItem(space, 5),
        newItem(space, 5, { id: uuidOf(52), text: "later in the same step" }),
      ];
      const counts = await change(
        insertRecords(ITEMS, offered, "ignore"),
        insertRecords(TERMS, [newTerm(space, "t", 1)], "ignore"),
      );
      expect(counts).toHaveLength(2);
      expect(comparable(await bench.readItems(space))).toEqual(comparable([taken, newItem(space, 5)]));
    });

    it("inserts, on request, rows in place of those with the same primary key", async () => {
      const owner = bench.newOwner();
      const before = [newThread(owner, "a", { title: "before", metadata: "m", items: 7 }), newThread(owner, "b")];
      const after = [
        newThread(owner, "a", { title: "after", updatedAt: 5 }),
        newThread(owner, "A"),
        newThread(owner, "c", { title: "once" }),
        newThread(owner, "c", { title: "twice", pending: 3 }),
      ];
      await change(insertRecords(THREADS, before));
      expect(await change(insertRecords(THREADS, after.slice(0, 2), "update"))).toHaveLength(1);
      await change(
        insertRecords(THREADS, after.slice(2, 3), "update"),
        insertRecords(THREADS, after.slice(3), "update"),
      );
      expect(await readThreads(owner)).toEqual([after[1], after[0], before[1], after[3]]);

      const space = bench.newSpace();
      await change(
        insertRecords(ITEMS, [newItem(space, 1)]),
        insertRecords(VECTORS, [newVector(space, 1, Float32Array.of(1))]),
      );
      const replaced = [newVector(space, 1, Float32Array.of(2, 3)), newVector(space, 1, Float32Array.of(4), 2)];
      await change(insertRecords(VECTORS, replaced, "update"));
      const order = [["generation", "asc"]] as const;
      expect(comparable(await bench.records.find(VECTORS, { where: { space }, order, limit: 9 }, signal))).toEqual(
        comparable(replaced),
      );
    });

    it("sets values of every kind", async () => {
      const space = bench.newSpace();
      const item = newItem(space, 1);
      await change(
        insertRecords(ITEMS, [item, newItem(space, 2)]),
        insertRecords(VECTORS, [newVector(space, 1, Float32Array.of(1))]),
        insertRecords(SIGNATURES, [newSignature(space, 1, Uint8Array.of(1, 1))]),
      );
      const set = {
        text: "a '\\ 😀",
        key: "k",
        id: uuidOf(2 ** 50),
        checkpointId: uuidOf(4),
        pending: 2 ** 53 - 1,
        importance: 0.1,
        textDigest: Uint8Array.of(0, 39, 255),
        value: new Uint8Array(0),
      };
      await change(
        updateRecords(ITEMS, { space, number: 1 }, set, 1),
        updateRecords(VECTORS, { space, number: 1 }, { vector: Float32Array.of(0.5, -2), dimensions: 2 }, 1),
        updateRecords(SIGNATURES, { space, number: 1 }, { signature: Uint8Array.of(128, 0, 0, 1) }, 1),
      );
      expect(comparable(await bench.readItems(space))).toEqual(comparable([{ ...item, ...set }, newItem(space, 2)]));
      const [vector] = await bench.records.find(VECTORS, { where: { space }, limit: 9 }, signal);
      expect(vector).toMatchObject({ dimensions: 2, vector: Float32Array.of(0.5, -2) });
      const [signature] = await bench.records.find(SIGNATURES, { where: { space }, limit: 9 }, signal);
      expect([...(signature?.signature ?? [])]).toEqual([128, 0, 0, 1]);
    });

    it("adds to numbers, each row to its own", async () => {
      const owner = bench.newOwner();
      await change(
        insertRecords(THREADS, [newThread(owner, "a", { items: 5 }), newThread(owner, "b", { items: 2 ** 53 - 3 })]),
      );
      const set = { items: new Addition(2), updatedAt: new Addition(-1_700_000_000_001), title: "set", pending: 1 };
      expect(
        await change(
          updateRecords(THREADS, { owner, items: { above: 4 } }, set),
          updateRecords(THREADS, { owner, id: "a" }, { items: new Addition(-10) }),
        ),
      ).toEqual([2, 1]);
      expect(
        (await readThreads(owner)).map(({ items, updatedAt, title, pending }) => [items, updatedAt, title, pending]),
      ).toEqual([
        [-3, -1, "set", 1],
        [2 ** 53 - 1, -1, "set", 1],
      ]);
      const space = bench.newSpace();
      await change(
        insertRecords(ITEMS, [newItem(space, 1, { importance: 0.1 })]),
        updateRecords(ITEMS, { space }, { importance: new Addition(0.2) }),
      );
      expect((await bench.readItems(space))[0]?.importance).toBe(0.1 + 0.2);
    });

    it("removes rows by their keys, none of which stands for another, and skips those that are not there", async () => {
      const [space, other] = [bench.newSpace(), bench.newSpace()];
      const pairs = ["a", "A", "a ", "'"].flatMap((term) => numbers(1, 3).map((number) => ({ term, number })));
      const terms = pairs.map(({ term, number }) => newTerm(space, term, number));
      await change(
        insertRecords(TERMS, [...terms, newTerm(other, "a", 1)]),
        insertRecords(ITEMS, [newItem(space, 1), newItem(space, 2), newItem(other, 1)]),
        insertRecords(VECTORS, [newVector(space, 1, Float32Array.of(1)), newVector(space, 2, Float32Array.of(1))]),
      );
      const keys = [
        { space, term: "a", number: 1 },
        { space, term: "A", number: 2 },
        { space, term: "'", number: 3 },
        { space, term: "none", number: 1 },
        { space, term: "a", number: 4 },
        { space, term: "a", number: 1 },
      ];
      expect(
        await change(
          removeKeys(TERMS, keys),
          removeKeys(ITEMS, [{ space, number: 2 }]),
          removeKeys(ITEMS, []),
          removeKeys(THREADS, [{ owner: "nobody's", id: "a" }]),
        ),
      ).toEqual([3, 1, 0, 0]);
      const left = await bench.records.find(TERMS, { where: { space: { in: [space, other] } }, limit: 99 }, signal);
      const wanted = pairs.filter(({ term, number }) =>
        `a1 A2 '3`.split(" ").every((gone) => gone !== `${term}${number}`),
      );
      expect(left).toHaveLength(wanted.length + 1);
      expect(left).toEqual(expect.arrayContaining(wanted.map(({ term, number }) => newTerm(space, term, number))));
      expect(await bench.listNumbers(space)).toEqual([1]);
      expect(await bench.listNumbers(other)).toEqual([1]);
      expect(await bench.records.count(VECTORS, { space }, signal)).toBe(1);
    });

    it("removes thousands of rows by their keys, or none if a later step does not take place", async () => {
      const space = bench.newSpace();
      const terms = numbers(1, 2_500).map((number) => newTerm(space, `t${number % 50}`, number));
      await change(insertRecords(TERMS, terms));
      const removal = removeKeys(
        TERMS,
        terms.slice(0, 2_400).map(({ term, number }) => ({ space, term, number })),
      );
      expect(await change(removal, removeRecords(TERMS, { space }, 99))).toBeNull();
      expect(await bench.records.count(TERMS, { space }, signal)).toBe(2_500);
      expect(await change(removal)).toEqual([2_400]);
      expect(await bench.records.count(TERMS, { space, number: { above: 2_400 } }, signal)).toBe(100);
    });
  });
}
