import type { Lease } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { comparable, idOf, LAST_TIME, newRow, newTombstone, numbers, outcomeOf, readPending, signal } from "../rows.ts";

export function describeLeases(bench: DialectBench): void {
  describe("leasing rows", () => {
    it("takes all of them, only while each is pending from the time that was read", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [newRow(1, { pending: 1 }), newRow(2, { pending: 2 }), newRow(3)];
      await dialect.outbox.commit({ insert, insertTombstones: [newTombstone(4, 0, 4)] }, signal);
      const before = { 1: 1, 2: 2, 3: null, 4: 4 };
      const lease = (number: number, fromPending = number, pending = 100 + number): Lease => {
        return { id: idOf(number), fromPending, pending };
      };
      const commit = (...leases: Lease[]) => dialect.outbox.commit({ lease: leases }, signal);

      const misses = [lease(1, 2), lease(3, 0), lease(9)];
      for (const miss of misses) {
        expect(await commit(miss)).toBe(false);
        expect(await commit(lease(2), miss, lease(4))).toBe(false);
        expect(await commit(lease(2), lease(4), miss)).toBe(false);
      }
      expect(await commit(lease(1, 2), lease(2, 1))).toBe(false); // neither has the other's time
      expect(await readPending(dialect)).toEqual(before);

      expect(await commit(lease(1))).toBe(true);
      expect(await commit(lease(1))).toBe(false);
      expect(await commit(lease(1, 101, 101), lease(2, 2, 0), lease(4, 4, LAST_TIME))).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: 101, 2: 0, 3: null, 4: LAST_TIME });
      expect(await commit(lease(1, 101, 101))).toBe(true); // though nothing changes
      const chain = await dialect.readChain(idOf(1), signal);
      expect(comparable(chain)).toEqual(comparable([newRow(1, { pending: 101 })]));
    });

    it("takes hundreds of rows in one commit", async () => {
      const dialect = await bench.openWithOutbox();
      const all = numbers(1, 1_300);
      await dialect.commit({ insert: all.map((number) => newRow(number, { pending: number })) }, signal);
      const lease = all.map((number) => ({ id: idOf(number), fromPending: number, pending: 10_000 - number }));
      const miss = { id: idOf(2_000), fromPending: 1, pending: 2 };
      expect(await dialect.outbox.commit({ lease: [...lease, miss] }, signal)).toBe(false);
      expect(await dialect.outbox.backlog(signal)).toMatchObject({ rows: 1_300, oldest: 1 });
      expect(await dialect.outbox.commit({ lease }, signal)).toBe(true);
      const earliest = await dialect.outbox.pending(10_000, 2, signal);
      expect(earliest.map(({ id }) => id)).toEqual([idOf(1_300), idOf(1_299)]);
    });

    it("succeeds for one of two clients that want the same rows", async () => {
      const clients = await bench.openTwo();
      const all = numbers(1, 8);
      await clients[0].commit({ insert: all.map((number) => newRow(number, { pending: 0 })) }, signal);
      for (const round of numbers(1, 30)) {
        const leases = (client: number) =>
          all.map((number) => ({ id: idOf(number), fromPending: (round - 1) * 10, pending: round * 10 + client }));
        const outcomes = await Promise.all([
          outcomeOf(clients[0], { lease: leases(1) }),
          outcomeOf(clients[1], { lease: leases(2).reverse() }),
        ]);
        expect([...outcomes].sort()).toEqual(["done", "guard missed"]);
        const leased = round * 10 + (outcomes[0] === "done" ? 1 : 2);
        const held = await readPending(clients[0]);
        expect(held).toEqual(Object.fromEntries(all.map((number) => [number, leased])));
        // The other client reads them again, and succeeds.
        const next = all.map((number) => ({ id: idOf(number), fromPending: leased, pending: round * 10 }));
        expect(await outcomeOf(clients[1], { lease: next })).toBe("done");
      }
    });
  });
}
