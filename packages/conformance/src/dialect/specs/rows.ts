import { NIL_ID, type Row, rankOf } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  ALL_BYTES,
  commit,
  comparable,
  HOSTILE_TEXT,
  idOf,
  newRow,
  newTombstone,
  newWrite,
  numbers,
  readBases,
  refusalOf,
  signal,
} from "../rows.ts";

export function describeRows(bench: DialectBench): void {
  describe("inserting rows", () => {
    it("keeps every column, of one row and of several in one commit", async () => {
      const dialect = await bench.open();
      const text = HOSTILE_TEXT;
      const rows = [
        newRow(1, { agentId: text, namespace: text, name: text, metadata: text, state: ALL_BYTES }),
        newRow(2, {
          baseId: idOf(1),
          parentId: idOf(9),
          pending: bench.hasOutbox ? 5 : null,
          createdAt: -8_640_000_000_000_000,
        }),
        newRow(3, { baseId: idOf(2), state: new Uint8Array(0), createdAt: 8_640_000_000_000_000 }),
        newRow(4, { baseId: idOf(3), namespace: "n", metadata: "\nlabel\n", stateBytes: Number.MAX_SAFE_INTEGER }),
        newRow(5, { baseId: idOf(4), state: new Uint8Array(ALL_BYTES.buffer, ALL_BYTES.byteOffset + 100, 50) }),
      ];
      for (const inserts of [[rows], rows.map((row) => [row])]) {
        for (const insert of inserts) expect(await dialect.commit({ insert }, signal)).toBe(true);
        expect(comparable(await dialect.readChain(idOf(5), signal))).toEqual(comparable([...rows].reverse()));
        await dialect.commit({ remove: [5, 4, 3, 2, 1].map(idOf) }, signal);
      }
      const after = newRow(2, { afterId: idOf(1) });
      expect(await dialect.commit({ insert: [newRow(1), after] }, signal)).toBe(true);
      expect(comparable(await dialect.readChain(idOf(2), signal))).toEqual(comparable([after]));
    });

    it("takes hundreds of rows in one commit, bases before the rows that build on them", async () => {
      const dialect = await bench.open();
      const insert = numbers(1, 700).map((number) =>
        newRow(number, { baseId: number % 100 === 1 ? null : idOf(number - 1), state: Buffer.alloc(400, number) }),
      );
      expect(await dialect.commit({ insert }, signal)).toBe(true);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 700, storedBytes: 280_000, longestChain: 100 });
      const chain = await dialect.readChain(idOf(700), signal);
      expect(comparable(chain)).toEqual(comparable(insert.slice(600).reverse()));
      expect(await dialect.commit({}, signal)).toBe(true);
    });

    it("refuses all rows of a commit if the base of one is missing", async () => {
      const dialect = await bench.open();
      const orphan = newRow(6, { baseId: idOf(1) });
      expect(await refusalOf(dialect, { insert: [orphan] })).toBe("foreign-key");
      expect(await refusalOf(dialect, { insert: [newRow(5), orphan, newRow(7)] })).toBe("foreign-key");
      expect(await refusalOf(dialect, { insert: [{ ...orphan, afterId: NIL_ID }] })).toBe("foreign-key");
      expect(await readBases(dialect)).toEqual({});
    });

    it("refuses all rows of a commit if the id of one is taken", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: [newRow(1), newRow(2, { afterId: idOf(1) })] }, signal);
      expect(await refusalOf(dialect, { insert: [newRow(1)] })).toBe("duplicate");
      expect(await refusalOf(dialect, { insert: [newRow(3), newRow(1)] })).toBe("duplicate");
      const removing = { insert: [newRow(3, { afterId: idOf(2) }), newRow(2)], remove: [idOf(2)] };
      expect(await refusalOf(dialect, removing)).toBe("duplicate");
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null });
    });

    it("takes a row with afterId only while that row is the latest of its agent and namespace", async () => {
      const dialect = await bench.open();
      const isRefused = async (...insert: Row[]) =>
        await dialect.commit({ insert }, signal).then(
          (committed) => !committed,
          (error: unknown) => dialect.classify(error) === "duplicate", // by the unique index
        );
      expect(await dialect.commit({ insert: [newRow(1, { afterId: NIL_ID })] }, signal)).toBe(true);
      expect(await isRefused(newRow(2, { afterId: NIL_ID }))).toBe(true);
      const elsewhere = newRow(2, { afterId: NIL_ID, namespace: "other" });
      expect(await dialect.commit({ insert: [elsewhere] }, signal)).toBe(true);
      const two = [newRow(3, { afterId: idOf(1) }), newRow(4, { afterId: idOf(3) })];
      expect(await dialect.commit({ insert: two }, signal)).toBe(true);
      expect(await isRefused(newRow(5), newRow(6, { afterId: idOf(3) }))).toBe(true);
      // No unique index notices this one: only the guard does.
      expect(await isRefused(newRow(5), newRow(6, { afterId: idOf(1), namespace: "other" }))).toBe(true);
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 3: null, 4: null });
    });
  });

  describe("removing rows", () => {
    it("refuses a row that another one builds on, and takes both together", async () => {
      const dialect = await bench.open();
      const insert = [newRow(1), newRow(2, { baseId: idOf(1) }), newRow(3, { baseId: idOf(2) }), newRow(4)];
      await dialect.commit({ insert }, signal);
      expect(await refusalOf(dialect, { remove: [idOf(1)] })).toBe("foreign-key");
      expect(await refusalOf(dialect, { remove: [idOf(4), idOf(1)] })).toBe("foreign-key");
      expect(await readBases(dialect)).toEqual({ 1: null, 2: 1, 3: 2, 4: null });
      expect(await dialect.commit({ remove: [9, 3, 2, 1].map(idOf) }, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({ 4: null });
    });

    it("with emptiedAgent removes nothing unless the agent has no other row, in any namespace", async () => {
      const dialect = await bench.open();
      const insert = [newRow(1), newRow(2, { namespace: "sub" }), newRow(3), newRow(4, { agentId: "agent 2" })];
      await dialect.commit({ insert }, signal);
      for (const some of [[3], [3, 1], [2, 1], [9]]) {
        expect(await dialect.commit({ remove: some.map(idOf), emptiedAgent: "agent" }, signal)).toBe(false);
      }
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 3: null, 4: null });
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(2)] } : {};
      expect(await commit(dialect, { remove: [3, 2, 1].map(idOf), emptiedAgent: "agent", ...tombstones })).toBe(true);
      expect(await readBases(dialect)).toEqual({ 4: null });
    });

    it("with unwrittenSince removes nothing if one of the rows has a later write, and does not look at others", async () => {
      const dialect = await bench.open();
      const append = [newWrite(1, { rank: rankOf(idOf(5), 0) }), newWrite(2, { index: -1, rank: idOf(5) })];
      await dialect.commit({ insert: numbers(1, 3).map((number) => newRow(number)), append }, signal);
      for (const some of [[1], [2], [3, 2, 1]]) {
        expect(await dialect.commit({ remove: some.map(idOf), unwrittenSince: idOf(4) }, signal)).toBe(false);
      }
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 3: null });
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(3)] } : {};
      expect(await commit(dialect, { remove: [idOf(3)], unwrittenSince: idOf(4), ...tombstones })).toBe(true);
      expect(await dialect.commit({ remove: [idOf(2), idOf(1)], unwrittenSince: idOf(5) }, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({});
    });

    it("takes thousands of rows in one commit, highest id first", async () => {
      const dialect = await bench.open();
      const insert = numbers(1, 2_500).map((number) =>
        newRow(number, { baseId: number % 250 === 1 ? null : idOf(number - 1) }),
      );
      await dialect.commit({ insert: [...insert, newRow(3_000)] }, signal);
      expect(await dialect.commit({ remove: numbers(1, 2_500).reverse().map(idOf) }, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({ 3000: null });
    });
  });

  it("applies a change of all kinds whole or not at all", async () => {
    const dialect = await bench.open();
    const insert = [newRow(1), newRow(2, { baseId: idOf(1) }), newRow(3, { baseId: idOf(2) })];
    await dialect.commit({ insert }, signal);
    const before = await readBases(dialect);
    const rewrite = { id: idOf(2), fromBaseId: idOf(1), baseId: null, encoding: "json", state: Buffer.from("2") };

    const missed = { insert: [newRow(4)], rewrite: [rewrite, { ...rewrite, id: idOf(3) }], remove: [idOf(1)] };
    expect(await dialect.commit(missed, signal)).toBe(false);
    expect(await readBases(dialect)).toEqual(before);

    const refused = { insert: [newRow(4)], rewrite: [rewrite], remove: [idOf(2)] };
    expect(await refusalOf(dialect, refused)).toBe("foreign-key");
    expect(await readBases(dialect)).toEqual(before);

    expect(await dialect.commit({ insert: [newRow(4)], rewrite: [rewrite], remove: [idOf(1)] }, signal)).toBe(true);
    expect(await readBases(dialect)).toEqual({ 2: null, 3: 2, 4: null });
  });
}
