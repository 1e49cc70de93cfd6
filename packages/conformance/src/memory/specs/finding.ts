import type { RecordQuery } from "@waymark/core/kit";
import { insertRecords } from "@waymark/core/kit";
import { ITEMS, type ItemRow } from "@waymark/core/memory/kit";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { MemoryBench } from "../bench.ts";
import { comparable, compare, newItem, numbers, pick, randomFrom, selects, signal, TEXTS, uuidOf } from "../rows.ts";

/** Queries that are compared with the same over an array. */
const RUNS = 100;
const ROWS = 60;

type Column = keyof ItemRow;
type Order = readonly (readonly [Column, "asc" | "desc"])[];

export function describeFinding(bench: MemoryBench): void {
  describe("finding and counting", () => {
    const rows: ItemRow[] = [];
    let space = 0;

    beforeAll(async () => {
      space = bench.newSpace();
      const random = randomFrom(1);
      for (const at of numbers(0, ROWS - 1)) {
        rows.push(
          newItem(space, 3 * at + 1, {
            id: uuidOf(Math.floor(random() * 2 ** 52)),
            thread: TEXTS[at % 20] as string,
            role: pick([null, null, ...TEXTS], random),
            key: random() < 0.2 ? null : `${pick(TEXTS, random)}/${at}`,
            importance: pick([-1.5, 0, 0.1, 0.30000000000000004, 0.5, 1e300], random),
            createdAt: pick([-5, 0, 1, 2 ** 31, 2 ** 32 + 1, 2 ** 53 - 1], random),
            pending: pick([null, -1, 0, 1], random),
            textDigest: random() < 0.2 ? null : Uint8Array.of(...pick(BYTES, random), at),
            checkpointId: pick([null, uuidOf(1), uuidOf(255), uuidOf(256)], random),
            metadata: pick([null, "\na=1\n", "\na=1\nb=2\n", "\nA=1\n", "\na=%\n"], random),
          }),
        );
      }
      await bench.records.change([insertRecords(ITEMS, rows)], signal);
    });

    /** The rows of a query, from the array. */
    const expected = ({ where, order = [], after = [], limit, offset = 0 }: RecordQuery<typeof ITEMS, Column>) => {
      const beyond = (row: ItemRow) => {
        for (const [at, [column, direction]] of order.entries()) {
          const found = compare(row[column], after[at]) * (direction === "asc" ? 1 : -1);
          if (found !== 0) return found > 0;
        }
        return false;
      };
      return rows
        .filter((row) => selects(where, row) && (after.length === 0 || beyond(row)))
        .sort((one, other) => {
          for (const [column, direction] of order) {
            const found = compare(one[column], other[column]) * (direction === "asc" ? 1 : -1);
            if (found !== 0) return found;
          }
          return 0;
        })
        .slice(offset, offset + limit);
    };

    it("select, order, skip and limit as over an array, whatever the comparisons", async () => {
      const property = fc.asyncProperty(fc.integer(), async (seed) => {
        const random = randomFrom(seed);
        const where = { space, ...randomFilter(rows, random) };
        const order = randomOrder(random);
        const query = {
          where,
          order,
          ...(random() < 0.5 && { after: order.map(([column]) => pick(rows, random)[column]) }),
          limit: 1 + Math.floor(random() * ROWS),
          ...(random() < 0.3 && { offset: Math.floor(random() * 5) }),
        };
        expect(comparable(await bench.records.find(ITEMS, query, signal))).toEqual(comparable(expected(query)));
        if (random() < 0.3) {
          const count = rows.filter((row) => selects(where, row)).length;
          expect(await bench.records.count(ITEMS, where, signal)).toBe(count);
        }
      });
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
    });

    it("go through all rows page by page, each once, whatever the directions", async () => {
      for (const order of ORDERS) {
        const found: ItemRow[] = [];
        for (let after: readonly unknown[] = []; ; ) {
          const page = await bench.records.find(ITEMS, { where: { space }, order, after, limit: 25 }, signal);
          found.push(...page);
          const last = page.at(-1);
          if (last === undefined || page.length < 25) break;
          after = order.map(([column]) => last[column]);
        }
        expect(comparable(found)).toEqual(comparable(expected({ where: {}, order, limit: ROWS })));
      }
    });

    it("read the columns that are named, and no other", async () => {
      const found = await bench.records.find(
        ITEMS,
        { where: { space }, columns: ["role", "number"], order: [["number", "asc"]], limit: 2 },
        signal,
      );
      expect(found).toEqual(rows.slice(0, 2).map(({ role, number }) => ({ role, number })));
    });

    it("leave out members that are undefined", async () => {
      const where = { space, role: undefined, number: { above: 10, below: undefined } } as never;
      expect(await bench.records.count(ITEMS, where, signal)).toBe(ROWS - 4);
    });

    it("compare null with nothing but null", async () => {
      const nulls = rows.filter(({ pending }) => pending === null).length;
      expect(nulls).toBeGreaterThan(0);
      expect(await bench.records.count(ITEMS, { space, pending: null }, signal)).toBe(nulls);
      expect(await bench.records.count(ITEMS, { space, pending: { not: 7 } }, signal)).toBe(ROWS - nulls);
      expect(await bench.records.count(ITEMS, { space, pending: { from: -1 } }, signal)).toBe(ROWS - nulls);
      const lines = rows.filter(({ metadata }) => metadata !== null).length;
      expect(await bench.records.count(ITEMS, { space, metadata: { contains: [""] } }, signal)).toBe(lines);
    });

    it("take lists of no value, of one, and of ten thousand", async () => {
      expect(await bench.records.find(ITEMS, { where: { space, number: { in: [] } }, limit: 9 }, signal)).toEqual([]);
      expect(await bench.records.count(ITEMS, { space, role: { in: [] }, number: { above: 0 } }, signal)).toBe(0);
      expect(await bench.records.count(ITEMS, { space, number: { in: [4] } }, signal)).toBe(1);
      expect(await bench.records.count(ITEMS, { space, number: { in: [4, 4, 7, 5] } }, signal)).toBe(2);
      expect(await bench.records.count(ITEMS, { space, number: { in: numbers(31, 10_030) } }, signal)).toBe(ROWS - 10);
      const texts = numbers(1, 1_000).map((number) => `${number}`);
      expect(await bench.records.count(ITEMS, { space, thread: { in: [...texts, "a"] } }, signal)).toBe(3);
    });

    it("find nothing where there is nothing", async () => {
      const other = bench.newSpace();
      expect(await bench.records.find(ITEMS, { where: { space: other }, limit: 10 }, signal)).toEqual([]);
      expect(await bench.records.count(ITEMS, { space: other }, signal)).toBe(0);
    });
  });
}

const ORDERS: readonly Order[] = [
  [
    ["importance", "asc"],
    ["number", "desc"],
  ],
  [
    ["thread", "desc"],
    ["createdAt", "asc"],
    ["id", "desc"],
  ],
];

const BYTES: readonly (readonly number[])[] = [[], [0], [0, 0], [1], [127], [128], [255], [1, 0], [39, 92]];

/** Columns that are filtered by. */
const FILTERED = [
  "number",
  "id",
  "thread",
  "role",
  "key",
  "importance",
  "createdAt",
  "pending",
  "textDigest",
  "checkpointId",
  "metadata",
] as const;
const TEXT_COLUMNS: readonly Column[] = ["thread", "role", "key", "metadata", "text"];
/** Columns without null in the rows: engines differ in where they put that. */
const ORDERED = ["thread", "id", "importance", "createdAt", "number"] as const;
const MEMBERS = ["not", "above", "from", "below", "to"] as const;

/** Makes a filter of up to three columns, mostly with values that rows have. */
function randomFilter(rows: readonly ItemRow[], random: () => number): object {
  const filter: Record<string, unknown> = {};
  for (let count = Math.floor(random() * 4); count > 0; count--) {
    const column = pick(FILTERED, random);
    const value = () => pick(rows, random)[column];
    const choice = random();
    const chosen = value();
    if (choice < 0.3 || chosen === null) filter[column] = chosen;
    else if (choice < 0.5)
      filter[column] = {
        in: numbers(1, Math.floor(random() * 6))
          .map(value)
          .filter((one) => one !== null),
      };
    else if (choice < 0.65 && TEXT_COLUMNS.includes(column)) {
      const text = String(chosen);
      filter[column] = {
        contains: numbers(0, Math.floor(random() * 2)).map((at) => pick([...text.slice(at), ""], random)),
      };
    } else {
      const bounds: Record<string, unknown> = { [pick(MEMBERS, random)]: chosen };
      const other = value();
      if (other !== null && random() < 0.5) bounds[pick(MEMBERS, random)] = other;
      filter[column] = bounds;
    }
  }
  return filter;
}

/** Makes an order, which ends with what is unique in a space. */
function randomOrder(random: () => number): Order {
  const columns = new Set(numbers(1, Math.floor(random() * 3)).map(() => pick(ORDERED, random)));
  columns.delete("number");
  return [...columns, "number" as const].map((column) => [column, random() < 0.5 ? "asc" : "desc"] as const);
}
