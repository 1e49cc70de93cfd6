import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { comparable, idOf, newRow, numbers, signal } from "../rows.ts";

export function describeChains(bench: DialectBench): void {
  describe("a chain", () => {
    it("of 257 rows is read down to the full one, of a megabyte; the rows above are its dependents", async () => {
      const dialect = await bench.open();
      // The bases are not in the order of their ids: reading by id would show here.
      const order = numbers(0, 256).map((position) => ((position * 101) % 257) + 1);
      const insert = order.map((number, position) => {
        const baseId = position === 0 ? null : idOf(order[position - 1] as number);
        return newRow(number, { baseId, state: Buffer.alloc(position === 0 ? 1_048_576 : 2_000, number) });
      });
      const [first, last] = [order[0] as number, order[256] as number];
      const insertAll = [newRow(1_000), ...insert, newRow(1_001, { baseId: idOf(last) })];
      await dialect.commit({ insert: insertAll }, signal);
      expect(comparable(await dialect.readChain(idOf(last), signal))).toEqual(comparable([...insert].reverse()));
      expect(await dialect.readChain(idOf(2_000), signal)).toEqual([]);
      const dependents = await dialect.dependents([idOf(last), idOf(first), idOf(2_000)], signal);
      expect(dependents.map(({ id }) => id)).toEqual([idOf(1_001), idOf(order[1] as number)]);
      expect(await dialect.dependents([], signal)).toEqual([]);
    });

    it("has a length, of which stats gives the longest of all and of one agent", async () => {
      const dialect = await bench.open();
      const longest = async (agentId: string | null) => (await dialect.stats(agentId, signal)).longestChain;
      expect(await longest(null)).toBe(0);
      await dialect.commit({ insert: [newRow(1), newRow(2)] }, signal);
      expect([await longest(null), await longest("agent"), await longest("nobody")]).toEqual([1, 1, 0]);
      const fork = [newRow(3, { baseId: idOf(2) }), newRow(4, { baseId: idOf(3) }), newRow(5, { baseId: idOf(2) })];
      const other = numbers(10, 266).map((number) =>
        newRow(number, { agentId: "other", baseId: number === 10 ? null : idOf(number - 1) }),
      );
      await dialect.commit({ insert: [...fork, ...other] }, signal);
      expect([await longest(null), await longest("agent"), await longest("other")]).toEqual([257, 3, 257]);
    });
  });
}
