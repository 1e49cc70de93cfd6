import { NIL_ID, type Row } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { ALL_BYTES, commit, comparable, idOf, newRow, newTombstone, numbers, signal, sortById } from "../rows.ts";

export function describeReading(bench: DialectBench): void {
  describe("reading rows by their ids", () => {
    it("returns those that are there, tombstones too, with every column", async () => {
      const dialect = await bench.open();
      const text = "é 漢 \u{1f600}'\"";
      const pending = bench.hasOutbox ? 7 : null;
      const some = [
        newRow(1, { agentId: text, namespace: text, name: text, metadata: `\n${text}\n`, state: ALL_BYTES, pending }),
        newRow(2, { baseId: idOf(1), parentId: idOf(9), state: new Uint8Array(0), createdAt: -1 }),
        newRow(3, { afterId: NIL_ID, namespace: "other", stateBytes: Number.MAX_SAFE_INTEGER }),
        newRow(4, { state: Buffer.alloc(1_048_576, 4) }),
      ];
      const many = numbers(10, 2_509).map((number) => newRow(number));
      const tombstones = bench.hasOutbox ? [newTombstone(5, 50, 8)] : [];
      await commit(dialect, {
        insert: [...some, ...many],
        ...(bench.hasOutbox && { insertTombstones: tombstones }),
      });
      const byId = (rows: readonly Row[]) => comparable(sortById(rows));
      const read = async (ids: readonly number[]) => byId(await dialect.readRows(ids.map(idOf), signal));

      expect(await read([])).toEqual([]);
      expect(await read([9])).toEqual([]);
      expect(await read([2])).toEqual(byId(some.slice(1, 2)));
      expect(await read([5, 9, 1, 4, 2, 3])).toEqual(byId([...some, ...tombstones]));
      expect(await read([5_000, ...numbers(1, 2_600)])).toEqual(byId([...some, ...tombstones, ...many]));
    });
  });

  describe("listing agents", () => {
    it("is in the order of their ids' bytes, each once, after one of them and up to a limit", async () => {
      const dialect = await bench.open();
      const agents = ["a", "B", "Z", "a b", "ab", "\u{e9}", "\u{6f22}", "\u{fffd}", "\u{1f600}"];
      const rows = [...agents, ...agents].map((agentId, index) => newRow(index + 1, { agentId }));
      await commit(dialect, { insert: rows });
      const sorted = agents.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect(await dialect.agents(null, 100, signal)).toEqual(sorted);
      expect(await dialect.agents(null, 3, signal)).toEqual(sorted.slice(0, 3));
      expect(await dialect.agents("a b", 4, signal)).toEqual(sorted.slice(4, 8));
      expect(await dialect.agents("aa", 100, signal)).toEqual(sorted.slice(4));
      expect(await dialect.agents(sorted.at(-1) as string, 100, signal)).toEqual([]);
    });
  });
}
