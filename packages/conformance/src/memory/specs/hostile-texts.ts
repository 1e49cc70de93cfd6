import { insertRecords, removeRecords, updateRecords } from "@waymark/core/kit";
import { ITEMS, MEMORY_TABLES, TERMS, THREADS } from "@waymark/core/memory/kit";
import { describe, expect, it } from "vitest";
import { HOSTILE_TEXTS } from "../../storage/hostile-texts.ts";
import type { MemoryBench } from "../bench.ts";
import { newItem, newTerm, newThread, signal } from "../rows.ts";

export function describeHostileTexts(bench: MemoryBench): void {
  describe("texts that break out of a statement, were they a part of it", () => {
    it("are inserted, found, set and removed as they are", async () => {
      const owner = `${bench.newOwner()}'; --`;
      const threads = HOSTILE_TEXTS.map((id) => newThread(owner, id, { kind: id, title: id, metadata: `<${id}>` }));
      await bench.records.change([insertRecords(THREADS, threads)], signal);
      for (const id of HOSTILE_TEXTS) {
        const where = { owner, id, kind: { from: id, to: id }, title: { in: [id, ""] }, metadata: { contains: [id] } };
        const query = { where, columns: ["id", "kind"], order: [["id", "asc"]], after: [""], limit: 9 } as const;
        expect(await bench.records.find(THREADS, query, signal)).toEqual([{ id, kind: id }]);
      }
      const sets = HOSTILE_TEXTS.map((id) =>
        updateRecords(THREADS, { owner, title: id, metadata: { contains: [`<${id}>`] } }, { title: `${id}${id}` }, 1),
      );
      expect(await bench.records.change(sets, signal)).toEqual(HOSTILE_TEXTS.map(() => 1));
      const first = HOSTILE_TEXTS[0] as string;
      const modified = await bench.records.modify(
        THREADS,
        { owner, id: first },
        ({ title }) => ({ metadata: title }),
        signal,
      );
      expect(modified?.metadata).toBe(`${first}${first}`);

      const removals = HOSTILE_TEXTS.slice(1, 9).map((id) => removeRecords(THREADS, { owner, id }, 1));
      const others = removeRecords(THREADS, { owner, id: { in: HOSTILE_TEXTS.slice(9) } }, HOSTILE_TEXTS.length - 9);
      expect(await bench.records.change([...removals, others], signal)).not.toBeNull();
      expect(await bench.records.find(THREADS, { where: { owner }, columns: ["id"], limit: 9 }, signal)).toEqual([
        { id: first },
      ]);
      for (const table of MEMORY_TABLES)
        expect(await bench.records.count(table, {}, signal)).toEqual(expect.any(Number));
    });

    it("are terms, and are filtered by, as they are", async () => {
      const space = bench.newSpace();
      const items = HOSTILE_TEXTS.map((text, at) => newItem(space, at + 1, { role: text }));
      const terms = HOSTILE_TEXTS.map((text, at) => newTerm(space, text, at + 1));
      await bench.records.change([insertRecords(ITEMS, items), insertRecords(TERMS, terms)], signal);
      const counts = await bench.dialect.countTerms(space, HOSTILE_TEXTS, signal);
      expect(new Set(counts.map(({ term }) => term))).toEqual(new Set(HOSTILE_TEXTS));
      for (const [at, term] of HOSTILE_TEXTS.entries()) {
        const query = { space, terms: [{ term, weight: 100 }], base: 1, perToken: 0, filter: { role: term }, limit: 9 };
        expect(await bench.dialect.scoreTerms(query, signal)).toEqual([{ number: at + 1, score: 50 }]);
      }
    });
  });
}
