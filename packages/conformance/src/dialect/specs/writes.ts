import { type IdRange, rankOf, type TaskWriteRow } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  ALL_BYTES,
  commit,
  comparableWrites,
  digestOf,
  HOSTILE_TEXT,
  hex,
  idOf,
  keyOf,
  newRow,
  newTombstone,
  newWrite,
  numbers,
  readPending,
  readValues,
  signal,
} from "../rows.ts";

export function describeWrites(bench: DialectBench): void {
  describe("appending writes", () => {
    it("keeps every column, of one write and of several, and makes no rows of them", async () => {
      const dialect = await bench.open();
      const text = HOSTILE_TEXT;
      await dialect.commit({ insert: [newRow(1), newRow(2)] }, signal);
      const appended = [
        newWrite(1, { taskId: text, channel: text, taskPath: text, state: ALL_BYTES }),
        newWrite(1, {
          taskId: "a",
          index: -2_147_483_648,
          state: new Uint8Array(0),
          stateBytes: Number.MAX_SAFE_INTEGER,
        }),
        newWrite(1, { taskId: "a", index: 2_147_483_647, state: Buffer.alloc(100_000, 7) }),
        newWrite(2, { taskId: "a ", rank: "ffffffff-ffff-ffff-ffff-ffffffffffff" }),
        newWrite(2, { taskId: "A", rank: "00000000-0000-0000-0000-000000000001" }),
      ];
      const [first, ...others] = appended;
      expect(await dialect.commit({ append: [first as TaskWriteRow] }, signal)).toBe(true);
      expect(await dialect.commit({ append: others }, signal)).toBe(true);
      const read = async (...rows: number[]) => comparableWrites(await dialect.readTaskWrites(rows.map(idOf), signal));
      expect(await read(1, 2, 3)).toEqual(comparableWrites(appended));
      expect(await read()).toEqual([]);
      expect(await dialect.list({ limit: 10 }, signal)).toHaveLength(2);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 2 });
    });

    it("takes hundreds of writes in one commit, of hundreds of rows", async () => {
      const dialect = await bench.open();
      const rows = numbers(1, 1_200);
      await dialect.commit({ insert: rows.map((number) => newRow(number)) }, signal);
      const append = rows.flatMap((number) => [newWrite(number, { index: 1 }), newWrite(number, { index: 2 })]);
      expect(await dialect.commit({ append }, signal)).toBe(true);
      expect(await dialect.readTaskWrites(rows.map(idOf), signal)).toHaveLength(2_400);
    });

    it("replaces a write with the same key, unless that one's rank is higher", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: [newRow(1), newRow(2)] }, signal);
      const ranked = (rank: number, value: number, index = 0) =>
        newWrite(1, {
          rank: idOf(rank),
          state: Buffer.from([value]),
          index,
          channel: `c${value}`,
          digest: digestOf(value),
        });
      const append = async (...writes: TaskWriteRow[]) => await dialect.commit({ append: writes }, signal);
      expect(await append(ranked(5, 50), ranked(5, 51, 1), newWrite(2))).toBe(true);
      expect(await append(ranked(4, 40), ranked(6, 61, 1))).toBe(true);
      expect(await readValues(dialect, 1)).toEqual({ "1 task 0": 50, "1 task 1": 61 });
      expect(await append(ranked(5, 52))).toBe(true);
      const [first] = comparableWrites(await dialect.readTaskWrites([idOf(1)], signal));
      expect(first).toMatchObject({ channel: "c52", state: "34", rank: idOf(5), digest: hex(digestOf(52)) });
      expect(await append(ranked(4, 41, 1), ranked(5, 42, -1), ranked(9, 90))).toBe(true);
      expect(await readValues(dialect, 1)).toEqual({ "1 task -1": 42, "1 task 0": 90, "1 task 1": 61 });
    });

    it("refuses all writes of a commit if the row of one is missing or a tombstone", async () => {
      const dialect = await bench.open();
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(2)] } : {};
      await commit(dialect, { insert: [newRow(1)], ...tombstones });
      const before = await readPending(dialect);
      for (const append of [[newWrite(9)], [newWrite(2)], [newWrite(1), newWrite(9)], [newWrite(2), newWrite(1)]]) {
        expect(await dialect.commit({ append }, signal)).toBe(false);
        if (bench.hasOutbox) {
          expect(await commit(dialect, { append, markPending: [{ id: idOf(1), pending: 7 }] })).toBe(false);
        }
        expect(await dialect.commit({ insert: [newRow(5)], append }, signal)).toBe(false);
      }
      expect(await readValues(dialect, 1, 2, 5, 9)).toEqual({});
      expect(await readPending(dialect)).toEqual(before);
      expect(before).toEqual(bench.hasOutbox ? { 1: null, 2: null } : { 1: null });
    });

    it("takes writes together with the rows that they belong to", async () => {
      const dialect = await bench.open();
      const change = { insert: [newRow(1), newRow(2)], append: [newWrite(2), newWrite(1)] };
      expect(await dialect.commit(change, signal)).toBe(true);
      expect(await readValues(dialect, 1, 2)).toEqual({ "1 task 0": 1, "2 task 0": 2 });
    });
  });

  describe("writes", () => {
    it("have their keys listed by ranges of rows, without their values", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: numbers(1, 4).map((number) => newRow(number)) }, signal);
      const append = numbers(1, 4).flatMap((number) => [newWrite(number), newWrite(number, { index: -1 })]);
      await dialect.commit({ append }, signal);
      const keys = async (range: IdRange) => (await dialect.taskWriteKeys(range, signal)).map(keyOf).sort();
      expect(await keys({})).toEqual(append.map(keyOf).sort());
      expect(await keys({ since: idOf(1), before: idOf(3) })).toEqual(["2 task -1", "2 task 0"]);
      const [key] = await dialect.taskWriteKeys({ since: idOf(3) }, signal);
      expect(key).toMatchObject({ checkpointId: idOf(4), taskId: "task", rank: idOf(1) });
    });

    it("have their keys listed by tasks of one row", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: [newRow(1), newRow(2)] }, signal);
      const tasks = [
        "a",
        "A",
        'a "quoted" \\ {task}',
        "null",
        "é🙂",
        "a,b",
        ...numbers(1, 1_200).map((at) => `task ${at}`),
      ];
      const append = tasks.flatMap((taskId) => [newWrite(1, { taskId }), newWrite(1, { taskId, index: -1 })]);
      await dialect.commit({ append: [...append, newWrite(2, { taskId: "a" })] }, signal);
      const keys = async (taskIds: string[]) =>
        (await dialect.writeKeysOfTasks(idOf(1), taskIds, signal)).map(keyOf).sort();
      expect(await keys([])).toEqual([]);
      expect(await keys(["a", "none"])).toEqual(["1 a -1", "1 a 0"]);
      expect(await keys(tasks)).toEqual(append.map(keyOf).sort());
      expect(await dialect.writeKeysOfTasks(idOf(3), ["a"], signal)).toEqual([]);
      const [key] = await dialect.writeKeysOfTasks(idOf(2), ["a"], signal);
      expect(key).toMatchObject({ checkpointId: idOf(2), taskId: "a", index: 0, rank: idOf(1) });
    });

    it("are told apart by the ids that their ranks were made of, earlier and later, overwritten ones and others", async () => {
      const dialect = await bench.open();
      const rows = numbers(1, 1_200);
      await dialect.commit({ insert: rows.map((number) => newRow(number)) }, signal);
      const writtenAt = (row: number, at: number, index: number) =>
        newWrite(row, { index, rank: rankOf(idOf(at), index) });
      const append = [
        ...rows.flatMap((row) => [writtenAt(row, 5, 0), writtenAt(row, 5, -1)]),
        writtenAt(7, 6, 1),
        writtenAt(1_200, 6, -2),
      ];
      await dialect.commit({ append }, signal);
      const areWritten = (some: readonly number[], at: number) =>
        dialect.areWrittenSince(some.map(idOf), idOf(at), signal);
      for (const some of [[7], [1_200], [8, 7], [1_200, 9], rows]) {
        expect([await areWritten(some, 5), await areWritten(some, 6)]).toEqual([true, false]);
      }
      for (const some of [[8], [9, 8], rows.filter((row) => row !== 7 && row !== 1_200)]) {
        expect([await areWritten(some, 4), await areWritten(some, 5)]).toEqual([true, false]);
      }
      expect([await areWritten([], 0), await areWritten([9_999], 0)]).toEqual([false, false]);
    });

    it("are removed with their row, and do not come back with another row of its id", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: [newRow(1), newRow(2), newRow(3)] }, signal);
      await dialect.commit({ append: [newWrite(1), newWrite(2), newWrite(2, { index: 1 }), newWrite(3)] }, signal);
      await dialect.commit({ remove: [idOf(1)] }, signal);
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(2)] } : {};
      await commit(dialect, { remove: [idOf(2)], ...tombstones });
      expect(await readValues(dialect, 1, 2, 3)).toEqual({ "3 task 0": 3 });
      await dialect.commit({ insert: [newRow(1)] }, signal);
      expect(await readValues(dialect, 1, 2, 3)).toEqual({ "3 task 0": 3 });
    });

    it("stay when their row is rewritten or leased", async () => {
      const dialect = await bench.open();
      const pending = bench.hasOutbox ? 5 : null;
      await dialect.commit({ insert: [newRow(1), newRow(2, { baseId: idOf(1), pending })] }, signal);
      await dialect.commit({ append: [newWrite(2)] }, signal);
      const rewrite = [{ id: idOf(2), fromBaseId: idOf(1), baseId: null, encoding: "other", state: Buffer.from("2") }];
      expect(await dialect.commit({ rewrite, remove: [idOf(1)] }, signal)).toBe(true);
      if (bench.hasOutbox) {
        expect(await commit(dialect, { lease: [{ id: idOf(2), fromPending: 5, pending: 6 }] })).toBe(true);
      }
      expect(await readValues(dialect, 2)).toEqual({ "2 task 0": 2 });
    });
  });
}
