import { type Change, type Dialect, NO_AGENT, type OutboxChange } from "@waymark/core/kit";
import { describe, expect, it } from "vitest";
import type { DialectBench } from "../bench.ts";
import { baseOf, idOf, listNumbers, newRow, newTombstone, outcomeOf, readBases, signal } from "../rows.ts";
import type { DialectDatabase } from "../target.ts";

const COLUMNS = "agent_id, namespace, name, created_at, encoding, state_bytes, digest, state";

/** Changes that wait for a transaction of another client. */
export function describeBlocking(bench: DialectBench, literal: (id: string) => string): void {
  const sqlId = (number: number) => literal(idOf(number));

  const remove = (number: number) => `delete from agent_checkpoints where id = ${sqlId(number)}`;
  /** Inserts a row with another one's columns. */
  const insertLike = (number: number, like: number, baseId = "null") =>
    `insert into agent_checkpoints (id, base_id, ${COLUMNS}) select ${sqlId(number)}, ${baseId}, ${COLUMNS} from agent_checkpoints where id = ${sqlId(like)}`;

  /** Makes a change while another transaction has run these statements, and commits that one as soon as the change waits. */
  async function changeDuring(
    { dialect, database }: { dialect: Dialect; database: DialectDatabase },
    statements: readonly string[],
    change: OutboxChange,
  ): Promise<string> {
    const { begin, untilBlocked } = database as Required<DialectDatabase>;
    const transaction = await begin();
    for (const statement of statements) await transaction.run(statement);
    const outcome = outcomeOf(dialect, change);
    await untilBlocked();
    await transaction.commit();
    return await outcome;
  }

  async function openBoth() {
    const database = await bench.createDatabase();
    return { database, dialect: await bench.open(database) };
  }

  describe("a change that waits for another client's transaction", () => {
    const building: readonly [title: string, change: Change][] = [
      ["one row", { insert: [newRow(11, { baseId: idOf(1) })] }],
      ["several rows", { insert: [newRow(11, { baseId: idOf(1) }), newRow(12)] }],
      ["a row after the latest", { insert: [newRow(11, { baseId: idOf(1), afterId: idOf(8) })] }],
      ["a removal", { remove: [idOf(7)] }],
    ];

    it.each(building)("misses its guard after a base was stored again with other content: %s", async (_, change) => {
      const both = await openBoth();
      const other = newRow(8, { digest: Buffer.alloc(32, 250) });
      await both.dialect.commit({ insert: [newRow(1), newRow(7), other] }, signal);
      const storedAgain = [remove(1), insertLike(1, 8)];
      expect(await changeDuring(both, storedAgain, { ...change, expected: [baseOf(1)] })).toBe("guard missed");
      expect(await readBases(both.dialect)).toEqual({ 1: null, 7: null, 8: null });
    });

    it("may not remove a base after a row was inserted that builds on it", async () => {
      const both = await openBoth();
      await both.dialect.commit({ insert: [newRow(1)] }, signal);
      const inserted = [insertLike(2, 1, "id")];
      expect(await changeDuring(both, inserted, { remove: [idOf(1)] })).toBe("foreign-key");
      expect(await readBases(both.dialect)).toEqual({ 1: null, 2: 1 });
    });

    it("may not build on a row after that was removed", async () => {
      const both = await openBoth();
      await both.dialect.commit({ insert: [newRow(1)] }, signal);
      const change = { insert: [newRow(2, { baseId: idOf(1) })] };
      expect(await changeDuring(both, [remove(1)], change)).toBe("foreign-key");
      expect(await readBases(both.dialect)).toEqual({});
    });

    it("may not store after a row that was removed", async () => {
      const both = await openBoth();
      await both.dialect.commit({ insert: [newRow(1)] }, signal);
      const change = { insert: [newRow(2, { afterId: idOf(1) })] };
      expect(await changeDuring(both, [remove(1)], change)).toBe("guard missed");
      expect(await readBases(both.dialect)).toEqual({});
    });

    const guarded: readonly [title: string, change: Change][] = [
      ["a removal", { remove: [idOf(1)] }],
      ["a removal and an insertion", { remove: [idOf(1)], insert: [newRow(2)] }],
    ];

    if (bench.hasSettings) {
      it.each(guarded)("misses its guard after a setting was replaced: %s", async (_, change) => {
        const both = await openBoth();
        await both.dialect.commit({ insert: [newRow(1)] }, signal);
        await both.dialect.settings?.replace("name", null, "old", signal);
        const replaced = ["update agent_checkpoint_settings set value = 'new' where name = 'name'"];
        const expectedSettings = [{ name: "name", value: "old" }];
        expect(await changeDuring(both, replaced, { ...change, expectedSettings })).toBe("guard missed");
        expect(await readBases(both.dialect)).toEqual({ 1: null });
      });

      it.each(guarded)("keeps a setting as it is until it has taken place: %s", async (_, change) => {
        const { database, dialect } = await openBoth();
        await dialect.commit({ insert: [newRow(1)] }, signal);
        await dialect.settings?.replace("name", null, "old", signal);
        const { begin, untilBlocked } = database as Required<DialectDatabase>;
        const transaction = await begin();
        await transaction.run(`update agent_checkpoints set pending = 1 where id = ${sqlId(1)}`);
        const outcome = outcomeOf(dialect, { ...change, expectedSettings: [{ name: "name", value: "old" }] });
        await untilBlocked();
        const other = await bench.openWithSettings(database);
        const seen = other.settings.replace("name", "old", "new", signal).then(() => readBases(other));
        for (let ping = 0; ping < 20; ping++) await dialect.ping(signal); // time to be replaced too early
        await transaction.commit();
        // The change has taken place when the setting is replaced, or it never does.
        const isDone = (await outcome) === "done";
        expect(1 in (await seen)).toBe(!isDone);
        expect(await readBases(dialect)).toEqual(await seen);
      });
    }

    if (!bench.hasOutbox) return;
    const replaced = [
      remove(1),
      `insert into agent_checkpoints (id, ${COLUMNS}) values (${sqlId(1)}, '', '', '', 0, 'tombstone', 0, '', '')`,
    ];
    const onTombstone: readonly [title: string, change: Change][] = [
      ["one row", { insert: [newRow(2, { baseId: idOf(1) })] }],
      ["several rows", { insert: [newRow(2, { baseId: idOf(1) }), newRow(3)] }],
      ["a row after the latest", { insert: [newRow(2, { baseId: idOf(1), afterId: idOf(1) })] }],
    ];

    it.each(onTombstone)("may not build on a row after a tombstone took its place: %s", async (_, change) => {
      const both = await openBoth();
      await both.dialect.commit({ insert: [newRow(1)] }, signal);
      const outcome = await changeDuring(both, replaced, { ...change, expected: [baseOf(1)] });
      expect(outcome).toMatch(/^(guard missed|foreign-key)$/);
      expect(await readBases(both.dialect)).toEqual({});
      expect(await listNumbers(both.dialect, { agentId: NO_AGENT })).toEqual([1]);
    });

    it("may not put a tombstone in the place of a base after a row was inserted that builds on it", async () => {
      const both = await openBoth();
      await both.dialect.commit({ insert: [newRow(1)] }, signal);
      const change = { remove: [idOf(1)], insertTombstones: [newTombstone(1)] };
      expect(await changeDuring(both, [insertLike(2, 1, "id")], change)).toBe("foreign-key");
      expect(await readBases(both.dialect)).toEqual({ 1: null, 2: 1 });
      expect(await listNumbers(both.dialect, { agentId: NO_AGENT })).toEqual([]);
    });
  });
}
