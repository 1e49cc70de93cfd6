import type { OutboxChange, Setting, Settings } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  commit,
  idOf,
  listNumbers,
  newRow,
  newTombstone,
  newWrite,
  numbers,
  outcomeOf,
  readValues,
  signal,
} from "../rows.ts";

const LONGEST_NAME = "n".repeat(64);
const VALUES = ["on", "", "ON", "on ", 'é\u0001"\n', "v".repeat(10_000)];

export function describeSettings(bench: DialectBench): void {
  describe("settings", () => {
    it("are read as they were set last, by every client, and byte for byte", async () => {
      const [one, other] = await bench.openTwoWithSettings();
      expect(await one.settings.read("name", signal)).toBeNull();
      let from: string | null = null;
      for (const to of VALUES) {
        expect(await one.settings.replace("name", from, to, signal)).toBe(true);
        expect(await other.settings.read("name", signal)).toBe(to);
        from = to;
      }
      expect(await one.settings.replace(LONGEST_NAME, null, "longest", signal)).toBe(true);
      expect(await other.settings.read(LONGEST_NAME, signal)).toBe("longest");
      expect(await other.settings.read("NAME", signal)).toBeNull();
      expect(await one.settings.read("name", signal)).toBe(VALUES.at(-1));
    });

    it("are replaced only if their value is the one that is named, and by one of two clients", async () => {
      const clients = await bench.openTwoWithSettings();
      const replace = ({ settings }: { settings: Settings }, from: string | null, to: string) =>
        settings.replace("name", from, to, signal);
      expect(await replace(clients[0], "on", "off")).toBe(false);
      expect(await clients[0].settings.read("name", signal)).toBeNull();
      let from: string | null = null;
      for (const round of numbers(1, 20)) {
        const done = await Promise.all(clients.map((client, at) => replace(client, from, `${round} ${at}`)));
        expect([...done].sort()).toEqual([false, true]);
        from = `${round} ${done.indexOf(true)}`;
        expect(await clients[1].settings.read("name", signal)).toBe(from);
        expect(await replace(clients[1], null, "new")).toBe(false);
        expect(await replace(clients[1], `${from} `, "new")).toBe(false);
      }
      expect(await replace(clients[0], from, from as string)).toBe(true); // though nothing changes
    });

    it("guard every part of a change that expects some", async () => {
      const dialect = await bench.openWithSettings();
      await dialect.settings.replace("one", null, "1", signal);
      await dialect.settings.replace("two", null, "2", signal);
      const [one, two]: Setting[] = [
        { name: "one", value: "1" },
        { name: "two", value: "2" },
      ];
      const misses: Setting[][] = [
        [{ name: "one", value: "2" }],
        [{ name: "One", value: "1" }],
        [{ name: "none", value: "" }],
        [one as Setting, { name: "two", value: "1" }],
        [{ name: "none", value: "1" }, two as Setting],
      ];
      const insert = numbers(1, 1_200).map((number) => newRow(number));
      await dialect.commit({ insert }, signal);
      const tombstones = bench.hasOutbox ? { insertTombstones: [newTombstone(3)] } : {};
      const changes: OutboxChange[] = [
        { remove: [idOf(1)] },
        { remove: numbers(10, 1_200).reverse().map(idOf) },
        { insert: [newRow(2_000)] },
        { append: [newWrite(2)] },
        { remove: [idOf(3)], ...tombstones },
        { remove: [idOf(1_999)] }, // which is not there
        {},
      ];
      for (const change of changes) {
        for (const expectedSettings of misses) {
          expect(await outcomeOf(dialect, { ...change, expectedSettings })).toBe("guard missed");
        }
      }
      expect(await dialect.list({ limit: 10_000 }, signal)).toHaveLength(1_200);
      expect(await readValues(dialect, 2)).toEqual({});
      for (const change of changes) {
        expect(await commit(dialect, { ...change, expectedSettings: [one as Setting, two as Setting] })).toBe(true);
      }
      expect(await listNumbers(dialect)).toEqual([2_000, 9, 8, 7, 6, 5, 4, 2]);
      expect(Object.keys(await readValues(dialect, 2))).toHaveLength(1);
    });

    it("are replaced before or after a change that expects the old value, never in between", async () => {
      const [one, other] = await bench.openTwoWithSettings();
      await one.settings.replace("name", null, "0", signal);
      for (const round of numbers(1, 40)) {
        await one.commit({ insert: [newRow(round)] }, signal);
        const remove = () =>
          outcomeOf(one, { remove: [idOf(round)], expectedSettings: [{ name: "name", value: `${round - 1}` }] });
        const replace = async () => {
          await other.settings.replace("name", `${round - 1}`, `${round}`, signal);
          return await listNumbers(other, { id: idOf(round) });
        };
        const [outcome, left] =
          round % 2 === 0
            ? await Promise.all([remove(), replace()])
            : ((await Promise.all([replace(), remove()])).reverse() as [string, number[]]);
        // Who has replaced the setting sees what will be: the removal took place before, or never does.
        expect(left).toEqual(outcome === "done" ? [] : [round]);
        expect(await listNumbers(one, { id: idOf(round) })).toEqual(left);
      }
    });
  });
}
