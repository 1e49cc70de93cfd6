import type { Change } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { baseOf, comparable, hex, idOf, newRow, numberOf, readBases, refusalOf, signal } from "../rows.ts";

export function describeRewriting(bench: DialectBench): void {
  describe("rewriting rows", () => {
    it("takes place only while the row has the base that was read", async () => {
      const dialect = await bench.open();
      await dialect.commit({ insert: [newRow(1), newRow(2), newRow(3, { baseId: idOf(1) })] }, signal);
      const rewrite = { id: idOf(3), encoding: "other", state: Buffer.from("new") };
      const commit = (...change: NonNullable<Change["rewrite"]>) => dialect.commit({ rewrite: change }, signal);

      expect(await commit({ ...rewrite, fromBaseId: idOf(2), baseId: null })).toBe(false);
      expect(await commit({ ...rewrite, fromBaseId: null, baseId: null })).toBe(false);
      expect(await commit({ ...rewrite, id: idOf(9), fromBaseId: null, baseId: null })).toBe(false);
      expect(await readBases(dialect)).toEqual({ 1: null, 2: null, 3: 1 });

      expect(await commit({ ...rewrite, fromBaseId: idOf(1), baseId: idOf(2) })).toBe(true);
      const same = { ...rewrite, fromBaseId: idOf(2), baseId: idOf(2) };
      expect(await commit(same)).toBe(true);
      expect(await commit(same)).toBe(true); // though nothing changes
      const [rewritten] = await dialect.readChain(idOf(3), signal);
      expect(rewritten).toMatchObject({ encoding: "other", baseId: idOf(2) });
      expect(Buffer.from(rewritten?.state ?? []).toString()).toBe("new");

      const orphan = { ...rewrite, fromBaseId: idOf(2), baseId: idOf(9) };
      expect(await refusalOf(dialect, { rewrite: [orphan] })).toBe("foreign-key");
    });

    it("keeps the digests of the rows that are not given another one", async () => {
      const dialect = await bench.open();
      const insert = [newRow(1), newRow(2), newRow(3, { baseId: idOf(1) }), newRow(4, { baseId: idOf(1) })];
      await dialect.commit({ insert }, signal);
      const rewrite = [1, 2, 3, 4].map((number) => ({
        id: idOf(number),
        fromBaseId: number > 2 ? idOf(1) : null,
        baseId: number === 4 ? idOf(2) : null,
        encoding: "other",
        state: Buffer.from(`new ${number}`),
        ...(number % 2 === 0 ? { digest: Buffer.alloc(32, 200 + number) } : {}),
      }));
      expect(await dialect.commit({ rewrite }, signal)).toBe(true);
      const rows = comparable(await dialect.readRows([1, 2, 3, 4].map(idOf), signal));
      const found = rows.map((row) => [numberOf(row.id), row.baseId, row.digest.slice(0, 2), row.state]);
      const text = (number: number) => hex(Buffer.from(`new ${number}`));
      expect(found.sort()).toEqual([
        [1, null, "01", text(1)],
        [2, null, "ca", text(2)],
        [3, null, "03", text(3)],
        [4, idOf(2), "cc", text(4)],
      ]);
      const missed = [{ ...rewrite[0], digest: Buffer.alloc(32, 9) }, { ...rewrite[3] }] as typeof rewrite;
      expect(await dialect.commit({ rewrite: missed }, signal)).toBe(false);
      expect(await dialect.commit({ expected: [baseOf(1)] }, signal)).toBe(true);
    });
  });
}
