import { type Dialect, rankOf } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  baseOf,
  commit,
  idOf,
  listNumbers,
  newRow,
  newTombstone,
  newWrite,
  numbers,
  outcomeOf,
  readBases,
  readValues,
  signal,
} from "../rows.ts";

/** Two clients that do things at once. */
export function describeContention(bench: DialectBench): void {
  describe("two clients at once", () => {
    it("remove a base and insert a row that builds on it: exactly one succeeds", async () => {
      const [one, other] = await bench.openTwo();
      for (const round of numbers(1, 40)) {
        const [base, delta] = [round * 2, round * 2 + 1];
        await one.commit({ insert: [newRow(base)] }, signal);
        const insert = () => outcomeOf(one, { insert: [newRow(delta, { baseId: idOf(base) })] });
        const remove = () => outcomeOf(other, { remove: [idOf(base)] });
        const outcomes = await Promise.all(round % 2 === 0 ? [insert(), remove()] : [remove(), insert()]);
        expect(outcomes.sort()).toEqual(["done", "foreign-key"]);
        const left = await readBases(one);
        expect(left[delta] ?? null).toBe(base in left ? base : null);
      }
    });

    it("append writes and remove their row: no write is left behind", async () => {
      const [one, other] = await bench.openTwo();
      for (const number of numbers(1, 40)) {
        await one.commit({ insert: [newRow(number)] }, signal);
        const append = [newWrite(number), newWrite(number, { index: 1 })];
        const marks = bench.hasOutbox && number % 3 === 0 ? [{ id: idOf(number), pending: 1 }] : undefined;
        const tombstones = bench.hasOutbox && number % 2 === 0 ? [newTombstone(number)] : undefined;
        const removal = { remove: [idOf(number)], ...(tombstones && { insertTombstones: tombstones }) };
        const outcomes = await Promise.all([
          outcomeOf(one, { append, ...(marks && { markPending: marks }) }),
          outcomeOf(other, removal),
        ]);
        expect(["done", "guard missed", "foreign-key"]).toContain(outcomes[0]);
        if (outcomes[1] !== "done") await commit(other, removal);
        expect(await readValues(one, number)).toEqual({});
      }
    });

    it("append writes to one row: all of them go in", async () => {
      const clients = await bench.openTwo();
      await clients[0].commit({ insert: [newRow(1)] }, signal);
      const append = async (client: Dialect, taskId: string) => {
        for (const index of numbers(1, 30)) {
          const marks = bench.hasOutbox ? { markPending: [{ id: idOf(1), pending: index }] } : {};
          expect(await outcomeOf(client, { append: [newWrite(1, { taskId, index })], ...marks })).toBe("done");
        }
      };
      await Promise.all([append(clients[0], "one"), append(clients[1], "other")]);
      expect(await clients[0].readTaskWrites([idOf(1)], signal)).toHaveLength(60);
    });

    it("empty an agent and store after its latest row: exactly one succeeds, and all of the agent is there, or nothing", async () => {
      const [one, other] = await bench.openTwo();
      for (const round of numbers(1, 40)) {
        const [first, latest, next] = [round * 3, round * 3 + 1, round * 3 + 2];
        const agentId = `agent ${round}`;
        await one.commit(
          { insert: [newRow(first, { agentId, namespace: "sub" }), newRow(latest, { agentId })] },
          signal,
        );
        const row = newRow(next, { agentId, afterId: idOf(latest) });
        const store = () => outcomeOf(one, { insert: [row] });
        const empty = () => outcomeOf(other, { remove: [idOf(latest), idOf(first)], emptiedAgent: agentId });
        const outcomes = await Promise.all(round % 2 === 0 ? [store(), empty()] : [empty(), store()]);
        expect(outcomes.sort()).toEqual(["done", "guard missed"]);
        const left = await listNumbers(one, { agentId });
        expect(left).toEqual(left.length > 0 ? [next, latest, first] : []);
      }
    });

    it("empty an agent and append a write to one of its rows: exactly one succeeds", async () => {
      const [one, other] = await bench.openTwo();
      for (const round of numbers(1, 40)) {
        const rows = [round * 2, round * 2 + 1];
        const agentId = `agent ${round}`;
        const index = round % 4 < 2 ? 0 : -1;
        await one.commit({ insert: rows.map((number) => newRow(number, { agentId })) }, signal);
        const write = newWrite(round * 2, { index, rank: rankOf(idOf(1_000), index) });
        const append = () => outcomeOf(one, { append: [write] });
        const remove = rows.toReversed().map(idOf);
        const empty = () => outcomeOf(other, { remove, unwrittenSince: idOf(999), emptiedAgent: agentId });
        const outcomes = await Promise.all(round % 2 === 0 ? [append(), empty()] : [empty(), append()]);
        const [appended, emptied] = round % 2 === 0 ? outcomes : outcomes.toReversed();
        if (appended === "done") expect(emptied).toBe("guard missed");
        else expect([["guard missed", "foreign-key"].includes(appended as string), emptied]).toEqual([true, "done"]);
        expect(await listNumbers(one, { agentId })).toEqual(appended === "done" ? rows.toReversed() : []);
      }
    });

    if (!bench.hasOutbox) return;
    it("replace a base by its tombstone and insert a row that builds on it: exactly one succeeds", async () => {
      const [one, other] = await bench.openTwo();
      for (const round of numbers(1, 40)) {
        const [base, delta] = [round * 2, round * 2 + 1];
        await one.commit({ insert: [newRow(base)] }, signal);
        const row = newRow(delta, { baseId: idOf(base) });
        const insert = () => outcomeOf(one, { insert: [row], expected: [baseOf(base)] });
        const remove = () =>
          outcomeOf(other, { remove: [idOf(base)], insertTombstones: [newTombstone(base, 1_000 + base, base)] });
        const outcomes = await Promise.all(round % 2 === 0 ? [insert(), remove()] : [remove(), insert()]);
        expect(outcomes.sort().join()).toMatch(/^done,(foreign-key|guard missed)$/);
        const left = await readBases(one);
        expect(delta in left).toBe(base in left);
      }
    });
  });
}
