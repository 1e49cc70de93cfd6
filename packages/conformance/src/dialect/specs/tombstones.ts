import { NIL_ID, NO_AGENT, type OutboxChange, type Row } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  baseOf,
  comparable,
  comparableHeads,
  headsOf,
  idOf,
  listNumbers,
  newRow,
  newTombstone,
  numbers,
  readBases,
  readPending,
  refusalOf,
  signal,
  sortById,
} from "../rows.ts";

export function describeTombstones(bench: DialectBench): void {
  describe("tombstones", () => {
    const tombstones = (...all: number[]) => all.map((number) => newTombstone(number, 1_000 + number, number));

    it("take the place of rows that are removed, and of rows that never were there", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [
        newRow(1),
        newRow(2, { baseId: idOf(1) }),
        newRow(3, { agentId: "other", namespace: "n" }),
        newRow(4),
      ];
      await dialect.commit({ insert }, signal);
      const change = { remove: [3, 2].map(idOf), insertTombstones: tombstones(2, 3, 7) };
      expect(await dialect.outbox.commit(change, signal)).toBe(true);
      expect(await dialect.outbox.commit({ insertTombstones: tombstones(5) }, signal)).toBe(true);
      const all = sortById(await dialect.readRows(numbers(1, 9).map(idOf), signal));
      const [two, three, seven, five] = tombstones(2, 3, 7, 5) as [Row, Row, Row, Row];
      expect(comparable(all)).toEqual(comparable([newRow(1), two, three, newRow(4), five, seven]));
      expect(comparable(await dialect.readChain(idOf(2), signal))).toEqual(comparable([two]));
    });

    it("are in no list, count or agent but in lists that ask for their id or agent", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = numbers(1, 6).map((number) =>
        newRow(number, { name: "turn", agentId: number < 4 ? "agent" : "other" }),
      );
      await dialect.commit({ insert }, signal);
      const change = { remove: [6, 5, 4, 2].map(idOf), insertTombstones: tombstones(2, 4, 5, 6, 8) };
      await dialect.outbox.commit(change, signal);
      expect(await listNumbers(dialect)).toEqual([3, 1]);
      expect(await listNumbers(dialect, { before: idOf(9), since: idOf(1) })).toEqual([3]);
      expect(await listNumbers(dialect, { namespace: "" })).toEqual([3, 1]);
      expect(await listNumbers(dialect, { name: "" })).toEqual([]);
      expect((await dialect.list({ limit: 1 }, signal)).map(({ id }) => id)).toEqual([idOf(3)]);
      expect(await listNumbers(dialect, { agentId: "agent" })).toEqual([3, 1]);
      expect(await listNumbers(dialect, { agentId: "other" })).toEqual([]);
      expect(await dialect.agents(null, 10, signal)).toEqual(["agent"]);
      expect(await dialect.agents("", 1, signal)).toEqual(["agent"]);
      expect(await dialect.stats(null, signal)).toEqual({ rows: 2, storedBytes: 2, stateBytes: 2, longestChain: 1 });
      expect(await dialect.outbox.count({}, signal)).toBe(2);

      expect(await listNumbers(dialect, { id: idOf(4) })).toEqual([4]);
      expect(await listNumbers(dialect, { id: idOf(4), agentId: "other" })).toEqual([]);
      expect(await listNumbers(dialect, { agentId: NO_AGENT })).toEqual([8, 6, 5, 4, 2]);
      expect(await listNumbers(dialect, { agentId: NO_AGENT, before: idOf(8), since: idOf(2) })).toEqual([6, 5, 4]);
      const found = await dialect.list({ id: idOf(4), limit: 1 }, signal);
      expect(comparableHeads(found)).toEqual(headsOf(tombstones(4)));

      await dialect.commit({ remove: [3, 1].map(idOf) }, signal);
      expect(await listNumbers(dialect)).toEqual([]);
      expect(await dialect.agents(null, 10, signal)).toEqual([]);
      expect(await dialect.stats(null, signal)).toEqual({ rows: 0, storedBytes: 0, stateBytes: 0, longestChain: 0 });
      expect(await dialect.outbox.count({}, signal)).toBe(0);
    });

    it("keep their ids taken until they are removed themselves", async () => {
      const dialect = await bench.openWithOutbox();
      await dialect.outbox.commit({ insert: [newRow(1), newRow(2)], insertTombstones: tombstones(3) }, signal);
      const changes: OutboxChange[] = [
        { insert: [newRow(3)] },
        { insert: [newRow(3, { afterId: idOf(2) })] },
        { insert: [newRow(4), newRow(3)] },
        { insert: [newRow(3)], expected: [baseOf(1)] },
        { insertTombstones: tombstones(3) },
        { insertTombstones: tombstones(4, 3) },
        { insertTombstones: tombstones(2) }, // row 2 is not removed
        { remove: [idOf(1)], insertTombstones: tombstones(1, 2) },
        { insert: [newRow(4)], insertTombstones: tombstones(4) },
      ];
      for (const change of changes) expect(await refusalOf(dialect, change)).toBe("duplicate");
      expect(await readPending(dialect)).toEqual({ 1: null, 2: null, 3: 3 });
      const replaced = { remove: [idOf(3)], insertTombstones: [newTombstone(3)] };
      expect(await dialect.outbox.commit(replaced, signal)).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: null, 2: null, 3: null });
      expect(await dialect.commit({ remove: [idOf(3)] }, signal)).toBe(true);
      expect(await dialect.commit({ insert: [newRow(3)] }, signal)).toBe(true);
      expect(await listNumbers(dialect)).toEqual([3, 2, 1]);
    });

    it("do not take the place of a row that another one builds on", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [newRow(1), newRow(2, { baseId: idOf(1) }), newRow(3, { baseId: idOf(2) }), newRow(4)];
      await dialect.commit({ insert }, signal);
      const changes: OutboxChange[] = [
        { remove: [idOf(1)], insertTombstones: tombstones(1) },
        { remove: [4, 2].map(idOf), insertTombstones: tombstones(4, 2) },
        { insert: [newRow(5)], remove: [2, 1].map(idOf), insertTombstones: tombstones(1, 2) },
      ];
      for (const change of changes) expect(await refusalOf(dialect, change)).toBe("foreign-key");
      expect(await readBases(dialect)).toEqual({ 1: null, 2: 1, 3: 2, 4: null });
      expect(await listNumbers(dialect, { agentId: NO_AGENT })).toEqual([]);
      const rewrite = [{ id: idOf(3), fromBaseId: idOf(2), baseId: null, encoding: "json", state: Buffer.from("3") }];
      const change = { rewrite, remove: [2, 1].map(idOf), insertTombstones: tombstones(1, 2) };
      expect(await dialect.outbox.commit(change, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({ 3: null, 4: null });
      expect(await listNumbers(dialect, { agentId: NO_AGENT })).toEqual([2, 1]);
    });

    it("are no bases for a change that names its bases", async () => {
      const dialect = await bench.openWithOutbox();
      await dialect.commit({ insert: [newRow(1)] }, signal);
      await dialect.outbox.commit({ remove: [idOf(1)], insertTombstones: tombstones(1) }, signal);
      for (const insert of [[newRow(2, { baseId: idOf(1) })], [newRow(2, { baseId: idOf(1) }), newRow(3)]]) {
        expect(await dialect.commit({ insert, expected: [baseOf(1)] }, signal)).toBe(false);
      }
      expect(await listNumbers(dialect)).toEqual([]);
    });

    it("are no agent's latest row", async () => {
      const dialect = await bench.openWithOutbox();
      await dialect.commit({ insert: [newRow(1, { afterId: NIL_ID }), newRow(2, { afterId: idOf(1) })] }, signal);
      await dialect.outbox.commit({ remove: [idOf(2)], insertTombstones: tombstones(2, 8, 9) }, signal);
      const insert = (row: Row) => dialect.commit({ insert: [row] }, signal);
      expect(await insert(newRow(10, { afterId: idOf(9) }))).toBe(false);
      expect(await insert(newRow(10, { afterId: idOf(2) }))).toBe(false);
      expect(await insert(newRow(10, { afterId: idOf(1) }))).toBe(true);
      expect(await insert(newRow(11, { afterId: NIL_ID, agentId: "new" }))).toBe(true);
    });

    it("take the place of thousands of rows in one commit", async () => {
      const dialect = await bench.openWithOutbox();
      const all = numbers(1, 2_500);
      const insert = all.map((number) => newRow(number, { baseId: number % 250 === 1 ? null : idOf(number - 1) }));
      await dialect.commit({ insert: [...insert, newRow(3_000)] }, signal);
      const change = { remove: [...all].reverse().map(idOf), insertTombstones: tombstones(...all) };
      expect(await dialect.outbox.commit(change, signal)).toBe(true);
      expect(await listNumbers(dialect)).toEqual([3_000]);
      expect(await listNumbers(dialect, { agentId: NO_AGENT })).toEqual([...all].reverse());
      expect(await dialect.outbox.backlog(signal)).toEqual({ rows: 2_500, storedBytes: 0, oldest: 1 });
    });
  });
}
