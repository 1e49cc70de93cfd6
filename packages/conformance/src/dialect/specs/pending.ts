import type { OutboxChange, Row } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  baseOf,
  comparable,
  comparableHeads,
  digestOf,
  headsOf,
  idOf,
  LAST_TIME,
  newRow,
  newTombstone,
  newWrite,
  numbers,
  readBases,
  readPending,
  signal,
  sortById,
} from "../rows.ts";

export function describePending(bench: DialectBench): void {
  describe("pending rows", () => {
    it("are listed up to a time, the earliest first, with their stored sizes", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [
        newRow(1, { pending: 30 }),
        newRow(2),
        newRow(3, {
          pending: 10,
          baseId: idOf(1),
          parentId: idOf(9),
          metadata: "\nlabel\n",
          state: Buffer.alloc(100_000, 1),
        }),
        newRow(4, { pending: LAST_TIME, agentId: "other", state: new Uint8Array(0) }),
        newRow(5, { pending: 10, state: Buffer.from("漢") }),
        newRow(6, { pending: 0, stateBytes: 9 }),
      ];
      const tombstone = newTombstone(7, 70, 10);
      expect(await dialect.outbox.pending(LAST_TIME, 10, signal)).toEqual([]);
      await dialect.outbox.commit({ insert, insertTombstones: [tombstone] }, signal);

      const inOrder = [6, 3, 5, 7, 1, 4].map((number) => [...insert, tombstone][number - 1] as Row);
      const expected = headsOf(inOrder).map((head, index) => ({
        ...head,
        storedBytes: inOrder[index]?.state.byteLength,
      }));
      const list = async (until: number, limit: number) =>
        comparableHeads(await dialect.outbox.pending(until, limit, signal));
      expect(await list(LAST_TIME, 10)).toEqual(expected);
      expect(await list(LAST_TIME, 2)).toEqual(expected.slice(0, 2));
      expect(await list(30, 10)).toEqual(expected.slice(0, 5));
      expect(await list(29, 10)).toEqual(expected.slice(0, 4));
      expect(await list(0, 10)).toEqual(expected.slice(0, 1));
      expect(await list(-1, 10)).toEqual([]);
    });

    it("have their flag in every list", async () => {
      const dialect = await bench.openWithOutbox();
      const rows = [
        newRow(1, { pending: LAST_TIME }),
        newRow(2, { baseId: idOf(1) }),
        newRow(3, { baseId: idOf(1), pending: 0 }),
      ];
      await dialect.outbox.commit({ insert: rows, insertTombstones: [newTombstone(4, 0, 6)] }, signal);
      expect(await readPending(dialect)).toEqual({ 1: LAST_TIME, 2: null, 3: 0, 4: 6 });
      const newestFirst = headsOf([...rows].reverse());
      expect(comparableHeads(await dialect.list({ limit: 10 }, signal))).toEqual(newestFirst);
      expect(comparableHeads(await dialect.dependents([idOf(1)], signal))).toEqual(newestFirst.slice(0, 2));
      const query = { agentId: "agent", namespace: "", since: idOf(2), limit: 1 };
      expect(comparableHeads(await dialect.list(query, signal))).toEqual(newestFirst.slice(0, 1));
    });

    it("are counted by the backlog, with their bytes and the earliest time", async () => {
      const dialect = await bench.openWithOutbox();
      const nothing = { rows: 0, storedBytes: 0, oldest: null };
      expect(await dialect.outbox.backlog(signal)).toEqual(nothing);
      await dialect.commit({ insert: [newRow(1, { state: Buffer.alloc(50) })] }, signal);
      expect(await dialect.outbox.backlog(signal)).toEqual(nothing);
      const insert = [
        newRow(2, { pending: 30, state: Buffer.alloc(100_000), stateBytes: 7 }),
        newRow(3, { pending: LAST_TIME, agentId: "other", state: Buffer.from("漢") }),
      ];
      await dialect.outbox.commit({ insert, insertTombstones: [newTombstone(4, 0, 20)] }, signal);
      expect(await dialect.outbox.backlog(signal)).toEqual({ rows: 3, storedBytes: 100_003, oldest: 20 });
      await dialect.commit({ remove: [idOf(4), idOf(2)] }, signal);
      expect(await dialect.outbox.backlog(signal)).toMatchObject({ rows: 1, oldest: LAST_TIME });
    });

    it("become pending later than they were when they are marked, so that an acknowledgement under way misses", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [newRow(1), newRow(2, { pending: 20 }), newRow(3, { pending: 5 })];
      await dialect.commit({ insert }, signal);
      const marks = numbers(1, 3).map((number) => ({ id: idOf(number), pending: 10 }));
      const append = numbers(1, 3).map((number) => newWrite(number));
      expect(await dialect.outbox.commit({ append, markPending: marks }, signal)).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: 10, 2: 21, 3: 10 });
      const again = { append: [newWrite(1)], markPending: [{ id: idOf(1), pending: 10 }] };
      expect(await dialect.outbox.commit(again, signal)).toBe(true);
      const missing = [
        { id: idOf(3), pending: 4 },
        { id: idOf(9), pending: 1 },
      ];
      expect(await dialect.outbox.commit({ markPending: missing }, signal)).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: 11, 2: 21, 3: 11 });
      await dialect.outbox.commit({ acknowledge: [{ ...baseOf(2), pending: 20 }] }, signal);
      expect(await readPending(dialect)).toEqual({ 1: 11, 2: 21, 3: 11 });
    });
  });

  it("counts the rows between two ids, without these two and without tombstones", async () => {
    const dialect = await bench.openWithOutbox();
    const count = async (since?: number, before?: number) => {
      const range = { ...(since && { since: idOf(since) }), ...(before && { before: idOf(before) }) };
      return await dialect.outbox.count(range, signal);
    };
    expect(await count()).toBe(0);
    const insertTombstones = [5, 15, 16].map((number) => newTombstone(number));
    const insert = numbers(1, 20).map((number) => newRow(number, { agentId: number % 2 === 0 ? "even" : "odd" }));
    await dialect.outbox.commit({ insert, remove: [16, 15, 5].map(idOf), insertTombstones }, signal);
    expect(await count()).toBe(17);
    expect([await count(4), await count(5), await count(6)]).toEqual([13, 13, 12]);
    expect([await count(undefined, 5), await count(undefined, 6)]).toEqual([4, 4]);
    expect([await count(4, 6), await count(3, 7), await count(1, 20), await count(10, 10)]).toEqual([0, 2, 15, 0]);
    expect([await count(20), await count(undefined, 1), await count(12, 3)]).toEqual([0, 0, 0]);
  });

  it("applies all parts of an outbox change in their order, all or none", async () => {
    const dialect = await bench.openWithOutbox();
    const old = [newRow(1, { pending: 1 }), newRow(2, { pending: 2, baseId: idOf(1) }), newRow(3, { pending: 3 })];
    await dialect.commit({ insert: old }, signal);
    const before = await readPending(dialect);
    const change: OutboxChange = {
      expected: [baseOf(1)],
      insert: [newRow(11, { pending: 11, baseId: idOf(1) }), newRow(12, { pending: 12 })],
      rewrite: [
        {
          id: idOf(2),
          fromBaseId: idOf(1),
          baseId: null,
          encoding: "other",
          state: Buffer.from("2"),
          digest: digestOf(22),
        },
      ],
      remove: [idOf(3)],
      insertTombstones: [newTombstone(3, 0, 33)],
      // A rewritten row has its new digest by now, and a removed one that of its tombstone: both are skipped.
      acknowledge: [
        { ...baseOf(11), pending: 11 },
        { ...baseOf(2), pending: 2 },
        { ...baseOf(3), pending: 3 },
      ],
      lease: [
        { id: idOf(12), fromPending: 12, pending: 120 },
        { id: idOf(3), fromPending: 33, pending: 330 },
        { id: idOf(2), fromPending: 2, pending: 20 },
      ],
    };
    const acknowledged = { id: idOf(11), fromPending: 11, pending: 110 };
    const missed = { ...change, lease: [...(change.lease ?? []), acknowledged] };
    expect(await dialect.outbox.commit(missed, signal)).toBe(false);
    expect(await readPending(dialect)).toEqual(before);
    const rows = await dialect.readRows([1, 2, 3].map(idOf), signal);
    expect(comparable(sortById(rows))).toEqual(comparable(old));

    expect(await dialect.outbox.commit(change, signal)).toBe(true);
    expect(await readPending(dialect)).toEqual({ 1: 1, 2: 20, 3: 330, 11: null, 12: 120 });
    expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 11: 1, 12: null });
  });
}
