import type { Acknowledgement, Row } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import {
  baseOf,
  comparable,
  digestOf,
  idOf,
  newRow,
  newTombstone,
  numberOf,
  numbers,
  readPending,
  signal,
} from "../rows.ts";

export function describeAcknowledgements(bench: DialectBench): void {
  describe("acknowledging rows", () => {
    it("ends their being pending if they have the digest and the time that are named", async () => {
      const dialect = await bench.openWithOutbox();
      const insert = [newRow(1, { pending: 1 }), newRow(2, { pending: 2 }), newRow(3, { pending: 3 }), newRow(4)];
      const tombstone = newTombstone(5, 0, 5);
      await dialect.outbox.commit({ insert, insertTombstones: [tombstone] }, signal);
      const row = (number: number, digest = number, pending = number): Acknowledgement => {
        return { id: idOf(number), digest: digestOf(digest), pending };
      };
      const acknowledge = async (...rows: Acknowledgement[]) =>
        await dialect.outbox.commit({ acknowledge: rows }, signal);

      expect(await acknowledge(row(1))).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      expect(await acknowledge(row(1))).toBe(true); // once more
      expect(await acknowledge(row(9))).toBe(true); // missing
      expect(await acknowledge(row(2, 3))).toBe(true); // another content
      expect(await acknowledge(row(2, 2, 1), row(3, 3, 2))).toBe(true); // pending from another time on since
      expect(await readPending(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      // Ids and digests go in pairs: neither 2 nor 3 has the other's.
      expect(await acknowledge(row(2, 3), row(3, 2), row(9), row(4), row(1))).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      expect(await acknowledge(row(9), { ...row(5), digest: tombstone.digest }, row(3), row(2, 9))).toBe(true);
      expect(await readPending(dialect)).toEqual({ 1: null, 2: 2, 3: null, 4: null, 5: null });
      const [left] = await dialect.readChain(idOf(3), signal);
      expect(comparable([left as Row])).toEqual(comparable([newRow(3)])); // all else is as it was
    });

    it("takes hundreds of rows in one commit", async () => {
      const dialect = await bench.openWithOutbox();
      const all = numbers(1, 1_300);
      await dialect.commit({ insert: all.map((number) => newRow(number, { pending: number })) }, signal);
      const acknowledge = all.slice(0, 1_250).map((number) => {
        return { ...baseOf(number), ...(number % 100 === 0 && { digest: digestOf(255) }), pending: number };
      });
      expect(await dialect.outbox.commit({ acknowledge: acknowledge.slice(0, 128) }, signal)).toBe(true);
      expect(await dialect.outbox.backlog(signal)).toMatchObject({ rows: 1_300 - 127, oldest: 100 });
      expect(await dialect.outbox.commit({ acknowledge }, signal)).toBe(true);
      const left = await dialect.outbox.pending(2_000, 2_000, signal);
      expect(left.map(({ id }) => numberOf(id))).toEqual([
        ...numbers(1, 12).map((number) => number * 100),
        ...all.slice(1_250),
      ]);
    });
  });
}
