import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { ALL_BYTES, baseOf, comparable, idOf, newRow, numbers, readBases, refusalOf, signal } from "../rows.ts";

/** The guard `expected` of a change. */
export function describeBases(bench: DialectBench): void {
  describe("a change that names bases", () => {
    /** Opens a dialect with the rows 1 to 5. Row 2 was removed and stored again: same id, other content. */
    const openWithBases = async () => {
      const dialect = await bench.open();
      const insert = [
        newRow(1),
        newRow(2),
        newRow(3),
        newRow(4, { baseId: idOf(3) }),
        newRow(5, { namespace: "other" }),
      ];
      await dialect.commit({ insert }, signal);
      await dialect.commit({ remove: [idOf(2)] }, signal);
      await dialect.commit({ insert: [newRow(2, { digest: Buffer.alloc(32, 200) })] }, signal);
      return dialect;
    };
    const before = { 1: null, 2: null, 3: null, 4: 3, 5: null };

    it("inserts rows while all bases are there with the content that is named", async () => {
      const dialect = await openWithBases();
      const one = newRow(11, {
        baseId: idOf(3),
        agentId: "é",
        namespace: "漢",
        name: "",
        metadata: null,
        parentId: idOf(9),
        pending: bench.hasOutbox ? 7 : null,
        createdAt: -1,
        stateBytes: Number.MAX_SAFE_INTEGER,
        state: ALL_BYTES,
      });
      const others = [
        newRow(12, {
          baseId: idOf(4),
          metadata: "\nlabel\n",
          name: "x".repeat(4_000),
          state: Buffer.alloc(100_000, 1),
        }),
        newRow(13, { agentId: "a longer one", namespace: "n".repeat(300), encoding: "x".repeat(64) }),
        newRow(14, { baseId: idOf(13), state: new Uint8Array(0) }),
      ];
      for (const [insert, expected] of [
        [[one], [baseOf(3)]],
        [others, [baseOf(4)]],
        [[newRow(15, { baseId: idOf(1) })], [baseOf(1), baseOf(3), baseOf(4)]],
        [[newRow(16)], [baseOf(1)]], // builds on none of them
      ] as const) {
        expect(await dialect.commit({ insert, expected }, signal)).toBe(true);
      }
      expect(comparable(await dialect.readChain(idOf(11), signal))).toEqual(comparable([one, newRow(3)]));
      const [head] = comparable(await dialect.readChain(idOf(12), signal));
      expect([head]).toEqual(comparable(others.slice(0, 1)));
      expect(comparable(await dialect.readChain(idOf(14), signal))).toEqual(comparable(others.slice(1).reverse()));
      expect(await dialect.commit({ expected: [baseOf(1), baseOf(3)] }, signal)).toBe(true);
      expect(await dialect.commit({ expected: [baseOf(1), baseOf(2)] }, signal)).toBe(false);
    });

    it("inserts none of one row or many if one base has other content or is gone", async () => {
      const dialect = await openWithBases();
      const one = [newRow(11, { baseId: idOf(2) })];
      const many = [newRow(11, { baseId: idOf(1) }), newRow(12), newRow(13, { baseId: idOf(2) })];
      const after = newRow(11, { afterId: idOf(4) });
      for (const insert of [one, many, [after], [after, newRow(12)]]) {
        for (const expected of [
          [baseOf(2)],
          [baseOf(1), baseOf(2), baseOf(3)],
          [baseOf(9)],
          [baseOf(3), baseOf(9), baseOf(1)],
        ]) {
          expect(await dialect.commit({ insert, expected }, signal)).toBe(false);
        }
      }
      // Without a foreign key's fault, though the base of the row is missing.
      const orphan = [newRow(11, { baseId: idOf(9) })];
      expect(await dialect.commit({ insert: orphan, expected: [baseOf(9)] }, signal)).toBe(false);
      expect(await readBases(dialect)).toEqual(before);
      expect(await refusalOf(dialect, { insert: orphan, expected: [baseOf(1)] })).toMatch(
        /^(foreign-key|guard missed)$/,
      );
      expect(await refusalOf(dialect, { insert: [newRow(1), newRow(11)], expected: [baseOf(1)] })).toBe("duplicate");
      expect(await refusalOf(dialect, { insert: [newRow(1)], expected: [baseOf(3)] })).toBe("duplicate");
    });

    it("checks afterId beside the bases", async () => {
      const dialect = await openWithBases();
      const missed = { insert: [newRow(11, { afterId: idOf(3) })], expected: [baseOf(3)] };
      expect(await dialect.commit(missed, signal)).toBe(false);
      const insert = [newRow(11, { baseId: idOf(3), afterId: idOf(4) }), newRow(12, { afterId: idOf(11) })];
      expect(await dialect.commit({ insert, expected: [baseOf(3), baseOf(4)] }, signal)).toBe(true);
      const next = { insert: [newRow(13, { afterId: idOf(12) })], expected: [baseOf(3)] };
      expect(await dialect.commit(next, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({ ...before, 11: 3, 12: null, 13: null });
    });

    it("rewrites and removes rows only if no base misses", async () => {
      const dialect = await openWithBases();
      const rewrite = [
        { id: idOf(4), fromBaseId: idOf(3), baseId: idOf(1), encoding: "other", state: Buffer.from("4") },
      ];
      const remove = [idOf(3)];
      for (const expected of [[baseOf(2)], [baseOf(4), baseOf(2)], [baseOf(9)]]) {
        expect(await dialect.commit({ rewrite, remove, expected }, signal)).toBe(false);
        expect(await dialect.commit({ remove: [idOf(5)], expected }, signal)).toBe(false);
        expect(await dialect.commit({ insert: [newRow(11)], rewrite, remove, expected }, signal)).toBe(false);
      }
      expect(await readBases(dialect)).toEqual(before);
      expect(await dialect.commit({ rewrite, remove, expected: [baseOf(4), baseOf(1)] }, signal)).toBe(true);
      expect(await dialect.commit({ remove: [idOf(5)], expected: [baseOf(1)] }, signal)).toBe(true);
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 4: 1 });
    });

    it("may name more than a thousand", async () => {
      const dialect = await bench.open();
      const all = numbers(1, 1_200);
      await dialect.commit({ insert: all.map((number) => newRow(number)) }, signal);
      const insert = all.slice(0, 128).map((number) => newRow(number + 2_000, { baseId: idOf(number) }));
      const expected = all.map(baseOf);
      expect(await dialect.commit({ insert, expected: [...expected, baseOf(1_300)] }, signal)).toBe(false);
      expect(await dialect.commit({ insert: insert.slice(0, 64), expected: expected.slice(0, 128) }, signal)).toBe(
        true,
      );
      expect(await dialect.commit({ insert: insert.slice(64), expected }, signal)).toBe(true);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 1_328, longestChain: 2 });
    });
  });
}
