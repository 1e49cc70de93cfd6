import { Addition, expectRecords, insertRecords, removeRecords, type Step, updateRecords } from "@waymark/core/kit";
import { ITEMS, type MemoryDialect, THREADS, VECTORS } from "@waymark/core/memory/kit";
import { beforeAll, describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { newItem, newThread, newVector, numbers, signal, uuidOf } from "../rows.ts";

const CLIENTS = 4;
const ROUNDS = 8;

export function describeContention(bench: MemoryBench): void {
  describe("several clients at once", () => {
    let clients: readonly MemoryDialect[] = [];
    beforeAll(async () => {
      clients = await bench.openAll(CLIENTS);
    });

    /** Lets each client do something a few times in turn, all clients at once. */
    const inTurns = async (work: (client: MemoryDialect, at: number, round: number) => Promise<unknown>) => {
      const one = async (client: MemoryDialect, at: number) => {
        for (const round of numbers(1, ROUNDS)) await work(client, at, round);
      };
      await Promise.all(clients.map(one));
    };
    const newCounter = async () => {
      const owner = bench.newOwner();
      await bench.records.change([insertRecords(THREADS, [newThread(owner, "a")])], signal);
      const read = async () => (await bench.records.find(THREADS, { where: { owner }, limit: 1 }, signal))[0]?.items;
      return { owner, read };
    };

    it("modify a row: no update is lost, and each sees the one before", async () => {
      const { owner, read } = await newCounter();
      const seen: number[] = [];
      await inTurns(async (client) => {
        const decide = ({ items }: { readonly items: number }) => ({ items: items + 1 });
        const row = await insist(client, () => client.records.modify(THREADS, { owner, id: "a" }, decide, signal));
        seen.push(row?.items as number);
      });
      expect(await read()).toBe(CLIENTS * ROUNDS);
      expect(seen.sort((one, other) => one - other)).toEqual(numbers(1, CLIENTS * ROUNDS));
    });

    it("add to a number: the sum is that of all", async () => {
      const { owner, read } = await newCounter();
      await inTurns((client, at) =>
        change(client, [updateRecords(THREADS, { owner, id: "a" }, { items: new Addition(at + 1) }, 1)]),
      );
      expect(await read()).toBe(ROUNDS * ((CLIENTS * (CLIENTS + 1)) / 2));
    });

    it("set a row if nobody else has set it: exactly one does, each time", async () => {
      const { owner } = await newCounter();
      for (const round of numbers(1, ROUNDS)) {
        const where = { owner, id: "a", revision: uuidOf(round) };
        const outcomes = await Promise.all(
          clients.map((client) => change(client, [updateRecords(THREADS, where, { revision: uuidOf(round + 1) }, 1)])),
        );
        expect(outcomes.filter((outcome) => outcome !== null)).toEqual([[1]]);
      }
    });

    it("insert rows with one unique key: exactly one does, and the others' steps are undone", async () => {
      const space = bench.newSpace();
      for (const round of numbers(1, ROUNDS)) {
        const outcomes = await Promise.all(
          clients.map((client, at) => {
            const number = round * CLIENTS + at;
            const key = `${round}`;
            const other = newItem(space, 1_000 + number);
            return bench.faultOf(
              change(client, [insertRecords(ITEMS, [other]), insertRecords(ITEMS, [newItem(space, number, { key })])]),
            );
          }),
        );
        expect(outcomes.sort()).toEqual([...numbers(1, CLIENTS - 1).map(() => "duplicate"), null]);
      }
      expect(await bench.listNumbers(space)).toHaveLength(2 * ROUNDS);
    });

    it("insert the same rows, and ignore those that are there: each is there once", async () => {
      const space = bench.newSpace();
      await inTurns((client, at, round) => {
        const rows = numbers(1, 5).map((number) => newItem(space, round * 10 + number, { role: `${at}` }));
        return change(client, [insertRecords(ITEMS, rows, "ignore")]);
      });
      expect(await bench.listNumbers(space)).toEqual(
        numbers(1, ROUNDS).flatMap((round) => numbers(1, 5).map((number) => round * 10 + number)),
      );
    });

    it("remove a row and insert a part of it: no part is left without its row", async () => {
      const space = bench.newSpace();
      const [one, other] = clients as readonly [MemoryDialect, MemoryDialect];
      for (const number of numbers(1, 2 * ROUNDS)) {
        await change(one, [insertRecords(ITEMS, [newItem(space, number)])]);
        const insert = () =>
          bench.faultOf(change(one, [insertRecords(VECTORS, [newVector(space, number, Float32Array.of(1))])]));
        const remove = () => bench.faultOf(change(other, [removeRecords(ITEMS, { space, number }, 1)]));
        const outcomes = await Promise.all(number % 2 === 0 ? [insert(), remove()] : [remove(), insert()].reverse());
        expect([null, "foreign-key"]).toContain(outcomes[0]);
        expect(outcomes[1]).toBeNull();
      }
      expect(await bench.listNumbers(space)).toEqual([]);
      expect(await bench.records.count(VECTORS, { space }, signal)).toBe(0);
    });

    it("insert a row that needs another, and remove that if nothing needs it: one of the two takes place", async () => {
      const [space, owner] = [bench.newSpace(), bench.newOwner()];
      const [one, other] = clients as readonly [MemoryDialect, MemoryDialect];
      for (const number of numbers(1, 2 * ROUNDS)) {
        const id = `${number}`;
        await change(one, [insertRecords(THREADS, [newThread(owner, id)])]);
        const insert = () =>
          change(one, [
            expectRecords(THREADS, { owner, id }, 1),
            insertRecords(ITEMS, [newItem(space, number, { thread: id })]),
          ]);
        const remove = () =>
          change(other, [removeRecords(THREADS, { owner, id }, 1), expectRecords(ITEMS, { space, thread: id }, 0)]);
        const outcomes = await Promise.all(number % 2 === 0 ? [insert(), remove()] : [remove(), insert()]);
        expect(outcomes.filter((outcome) => outcome === null)).toHaveLength(1);
        expect(await one.records.count(THREADS, { owner, id }, signal)).toBe(
          await one.records.count(ITEMS, { space, thread: id }, signal),
        );
      }
    });

    it("see all of a change of another, or nothing", async () => {
      const { owner } = await newCounter();
      const [writer, ...readers] = clients as readonly [MemoryDialect, ...MemoryDialect[]];
      await change(writer, [insertRecords(THREADS, [newThread(owner, "b")])]);
      const write = async () => {
        for (const items of numbers(1, ROUNDS)) {
          await change(writer, [
            updateRecords(THREADS, { owner, id: "a" }, { items }),
            updateRecords(THREADS, { owner, id: "b" }, { items }),
          ]);
        }
      };
      const read = async (reader: MemoryDialect) => {
        for (const _ of numbers(1, ROUNDS)) {
          const rows = await reader.records.find(THREADS, { where: { owner }, columns: ["items"], limit: 9 }, signal);
          expect(new Set(rows.map(({ items }) => items)).size).toBe(1);
        }
      };
      await Promise.all([write(), ...readers.map(read)]);
    });
  });
}

/** Applies a change, again where the database has decided for another client: a deadlock, or a lock that was not free in time. */
async function change(client: MemoryDialect, steps: readonly Step[]): Promise<number[] | null> {
  return await insist(client, () => client.records.change(steps, signal));
}

async function insist<Result>(client: MemoryDialect, call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === 50 || !["busy", "serialization"].includes(client.classify(error))) throw error;
    }
  }
}
