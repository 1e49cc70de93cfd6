import type { Dialect, LabelIndex, LabelQuery, RowLabel } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { commit, idOf, newRow, newTombstone, numberOf, numbers, signal } from "../rows.ts";

type Labelled = Dialect & { readonly labels: LabelIndex };

/** The label of this number. */
const labelOf = (number: number) => `00000000-0000-0000-0000-0000000000${String(number).padStart(2, "0")}`;
const rowLabel = (row: number, label: number): RowLabel => ({ checkpointId: idOf(row), label: labelOf(label) });

export function describeLabels(bench: DialectBench): void {
  const open = async () => (await bench.open()) as Labelled;
  const list = async ({ labels }: Labelled, label: number, query: Partial<LabelQuery> = {}) =>
    (await labels.list(labelOf(label), { limit: 10_000, ...query }, signal)).map(({ id }) => numberOf(id));
  const agents = ({ labels }: Labelled, label: number, after: string | null = null, limit = 100) =>
    labels.agents(labelOf(label), after, limit, signal);

  describe("the index of labels", () => {
    it("lists the rows with a label across agents, newest first, in pages, with the columns of other lists", async () => {
      const dialect = await open();
      const rows = numbers(1, 9).map((number) =>
        newRow(number, { agentId: `agent ${number % 3}`, metadata: `\n"even":${number % 2 === 0}\n` }),
      );
      const label = numbers(2, 8).flatMap((number) => [
        rowLabel(number, 1),
        ...(number < 4 ? [rowLabel(number, 2)] : []),
      ]);
      expect(await dialect.commit({ insert: rows, label }, signal)).toBe(true);
      expect(await list(dialect, 1)).toEqual([8, 7, 6, 5, 4, 3, 2]);
      expect(await list(dialect, 2)).toEqual([3, 2]);
      expect(await list(dialect, 3)).toEqual([]);
      expect(await list(dialect, 1, { limit: 2 })).toEqual([8, 7]);
      expect(await list(dialect, 1, { before: idOf(7), limit: 2 })).toEqual([6, 5]);
      expect(await list(dialect, 1, { since: idOf(3), before: idOf(6) })).toEqual([5, 4]);
      expect(await list(dialect, 1, { labels: ['\n"even":true\n'], limit: 2 })).toEqual([8, 6]);
      const query = { id: idOf(3), limit: 1 };
      expect(await dialect.labels.list(labelOf(2), { limit: 1 }, signal)).toEqual(await dialect.list(query, signal));
    });

    it("lists the agents that have rows with a label, in the order of their bytes", async () => {
      const dialect = await open();
      const names = ["b", "a", "B", "é", "a ", "z", "a"];
      const insert = names.map((agentId, at) => newRow(at + 1, { agentId, metadata: "\n\n" }));
      await dialect.commit({ insert, label: numbers(1, 6).map((number) => rowLabel(number, 1)) }, signal);
      await dialect.commit({ label: [rowLabel(7, 2)] }, signal);
      expect(await agents(dialect, 1)).toEqual(["B", "a", "a ", "b", "z", "é"]);
      expect(await agents(dialect, 1, "a", 2)).toEqual(["a ", "b"]);
      expect(await agents(dialect, 1, "é")).toEqual([]);
      expect(await agents(dialect, 2)).toEqual(["a"]);
      expect(await agents(dialect, 3)).toEqual([]);
    });

    it("skips labels that are indexed already, and those of rows that are not there", async () => {
      const dialect = await open();
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(3)] } : {};
      await commit(dialect, { insert: [newRow(1), newRow(2)], ...tombstones });
      const label = [9, 3, 2, 1].map((number) => rowLabel(number, 1));
      expect(await dialect.commit({ label }, signal)).toBe(true);
      expect(await dialect.commit({ label: [...label, rowLabel(1, 2)] }, signal)).toBe(true);
      expect(await list(dialect, 1)).toEqual([2, 1]);
      expect(await list(dialect, 2)).toEqual([1]);
      expect(await agents(dialect, 1)).toEqual(["agent"]);
    });

    it("takes hundreds of rows with their labels, and loses a label with its row", async () => {
      const dialect = await open();
      const all = numbers(1, 1_200);
      const insert = all.map((number) => newRow(number, { baseId: number % 2 === 0 ? idOf(number - 1) : null }));
      expect(await dialect.commit({ insert, label: all.map((number) => rowLabel(number, 1)) }, signal)).toBe(true);
      expect(await list(dialect, 1)).toEqual([...all].reverse());
      await dialect.commit({ remove: numbers(3, 1_200).reverse().map(idOf) }, signal);
      expect(await list(dialect, 1)).toEqual([2, 1]);
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(2)] } : {};
      await commit(dialect, { remove: [idOf(2)], ...tombstones });
      await dialect.commit({ insert: [newRow(5)] }, signal);
      expect(await list(dialect, 1)).toEqual([1]);
    });

    it("gets no label of a change that is refused", async () => {
      const dialect = await open();
      await dialect.commit({ insert: [newRow(1)] }, signal);
      const expected = [{ id: idOf(1), digest: Buffer.alloc(32, 99) }];
      const insert = [newRow(2, { baseId: idOf(1) }), newRow(3)];
      expect(await dialect.commit({ expected, insert, label: [rowLabel(2, 1), rowLabel(1, 1)] }, signal)).toBe(false);
      expect(await list(dialect, 1)).toEqual([]);
    });
  });
}
