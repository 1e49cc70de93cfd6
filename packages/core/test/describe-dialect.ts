import { describe, expect, it } from "vitest";
import {
  type Change,
  type Dialect,
  type IdRange,
  NIL_ID,
  NO_AGENT,
  type Row,
  type RowHead,
  type WriteKey,
  type WriteRow,
} from "../src/checkpoints/dialect.ts";
import { tombstoneOf } from "../src/checkpoints/tombstones.ts";

/** An empty database of one engine, until the test is over. */
export interface DialectDatabase {
  open(): Promise<Dialect>;
  /** A transaction around the dialect, on a connection of its own. */
  begin?(): Promise<{ run(sql: string): Promise<unknown>; commit(): Promise<unknown> }>;
}

const { signal } = new AbortController();

/**
 * What core expects of a dialect's rows, whatever the engine. `literal` is an id as it stands in this engine's SQL; left
 * out where there is no second transaction, since whoever waits for the first holds up this thread.
 */
export function describeDialect(newDatabase: () => Promise<DialectDatabase>, literal?: (id: string) => string): void {
  const emptyDialect = async () => await (await newDatabase()).open();

  describe("rows", () => {
    it("come back with every column as it was inserted, alone and together", async () => {
      const dialect = await emptyDialect();
      const text = `'"\\\\ \\' $1 ? :id {1,2} NULL \u0001\u001f\u007f\n\r\t\u2028\uffff é 漢 \u{1f600}\u{10ffff}`;
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const extremes = [
        row(1, { agentId: text, namespace: text, name: text, metadata: text, state: bytes }),
        row(2, { baseId: id(1), parentId: id(9), pending: 5, createdAt: -8_640_000_000_000_000 }),
        row(3, { baseId: id(2), state: new Uint8Array(0), createdAt: 8_640_000_000_000_000 }),
        row(4, { baseId: id(3), namespace: "n", metadata: "\nlabel\n", stateBytes: Number.MAX_SAFE_INTEGER }),
        row(5, { baseId: id(4), state: new Uint8Array(bytes.buffer, bytes.byteOffset + 100, 50) }),
      ];
      for (const inserts of [[extremes], extremes.map((one) => [one])]) {
        for (const insert of inserts) expect(await dialect.commit({ insert }, signal)).toBe(true);
        expect(plain(await dialect.readChain(id(5), signal))).toEqual(plain([...extremes].reverse()));
        await dialect.commit({ remove: [5, 4, 3, 2, 1].map(id) }, signal);
      }
      const after = row(2, { afterId: id(1) });
      expect(await dialect.commit({ insert: [row(1), after] }, signal)).toBe(true);
      expect(plain(await dialect.readChain(id(2), signal))).toEqual(plain([after]));
    });

    it("go in by hundreds at once, bases before what builds on them", async () => {
      const dialect = await emptyDialect();
      const insert = numbers(1, 700).map((number) =>
        row(number, { baseId: number % 100 === 1 ? null : id(number - 1), state: Buffer.alloc(400, number) }),
      );
      expect(await dialect.commit({ insert }, signal)).toBe(true);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 700, storedBytes: 280_000, longestChain: 100 });
      expect(plain(await dialect.readChain(id(700), signal))).toEqual(plain(insert.slice(600).reverse()));
      expect(await dialect.commit({}, signal)).toBe(true);
    });

    it("are refused, all of them, if the base of one is not there", async () => {
      const dialect = await emptyDialect();
      const orphan = row(6, { baseId: id(1) });
      expect(await faultOf(dialect, { insert: [orphan] })).toBe("foreign-key");
      expect(await faultOf(dialect, { insert: [row(5), orphan, row(7)] })).toBe("foreign-key");
      expect(await faultOf(dialect, { insert: [{ ...orphan, afterId: NIL_ID }] })).toBe("foreign-key");
      expect(await bases(dialect)).toEqual({});
    });

    it("are refused, all of them, if one is there", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { afterId: id(1) })] }, signal);
      expect(await faultOf(dialect, { insert: [row(1)] })).toBe("duplicate");
      expect(await faultOf(dialect, { insert: [row(3), row(1)] })).toBe("duplicate");
      expect(await faultOf(dialect, { insert: [row(3, { afterId: id(2) }), row(2)], remove: [id(2)] })).toBe(
        "duplicate",
      );
      expect(await bases(dialect)).toEqual({ 1: null, 2: null });
    });

    it("go in after a row only while that is the latest of its agent and namespace", async () => {
      const dialect = await emptyDialect();
      const refuses = async (...insert: Row[]) =>
        await dialect.commit({ insert }, signal).then(
          (committed) => !committed,
          (error: unknown) => dialect.classify(error) === "duplicate", // by the unique index
        );
      expect(await dialect.commit({ insert: [row(1, { afterId: NIL_ID })] }, signal)).toBe(true);
      expect(await refuses(row(2, { afterId: NIL_ID }))).toBe(true);
      expect(await dialect.commit({ insert: [row(2, { afterId: NIL_ID, namespace: "other" })] }, signal)).toBe(true);
      expect(await dialect.commit({ insert: [row(3, { afterId: id(1) }), row(4, { afterId: id(3) })] }, signal)).toBe(
        true,
      );
      expect(await refuses(row(5), row(6, { afterId: id(3) }))).toBe(true);
      expect(await refuses(row(5), row(6, { afterId: id(1), namespace: "other" }))).toBe(true); // by the look beside it
      expect(await bases(dialect)).toEqual({ 1: null, 2: null, 3: null, 4: null });
    });

    it("are not removed while another one builds on them, and together with it they are", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { baseId: id(1) }), row(3, { baseId: id(2) }), row(4)] }, signal);
      expect(await faultOf(dialect, { remove: [id(1)] })).toBe("foreign-key");
      expect(await faultOf(dialect, { remove: [id(4), id(1)] })).toBe("foreign-key");
      expect(await bases(dialect)).toEqual({ 1: null, 2: 1, 3: 2, 4: null });
      expect(await dialect.commit({ remove: [id(9), id(3), id(2), id(1)] }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ 4: null });
    });

    it("are removed by thousands, highest id first, with all that builds on them", async () => {
      const dialect = await emptyDialect();
      const insert = numbers(1, 2_500).map((number) =>
        row(number, { baseId: number % 250 === 1 ? null : id(number - 1) }),
      );
      await dialect.commit({ insert: [...insert, row(3_000)] }, signal);
      expect(await dialect.commit({ remove: numbers(1, 2_500).reverse().map(id) }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ 3000: null });
    });

    it("are rewritten only while their base is the one that was read", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2), row(3, { baseId: id(1) })] }, signal);
      const rewrite = { id: id(3), encoding: "other", state: Buffer.from("new") };
      const commit = (...change: NonNullable<Change["rewrite"]>) => dialect.commit({ rewrite: change }, signal);

      expect(await commit({ ...rewrite, fromBaseId: id(2), baseId: null })).toBe(false);
      expect(await commit({ ...rewrite, fromBaseId: null, baseId: null })).toBe(false);
      expect(await commit({ ...rewrite, id: id(9), fromBaseId: null, baseId: null })).toBe(false);
      expect(await bases(dialect)).toEqual({ 1: null, 2: null, 3: 1 });

      expect(await commit({ ...rewrite, fromBaseId: id(1), baseId: id(2) })).toBe(true);
      const same = { ...rewrite, fromBaseId: id(2), baseId: id(2) };
      expect(await commit(same)).toBe(true);
      expect(await commit(same)).toBe(true); // though nothing changes
      const [rewritten] = await dialect.readChain(id(3), signal);
      expect(rewritten).toMatchObject({ encoding: "other", baseId: id(2) });
      expect(Buffer.from(rewritten?.state ?? []).toString()).toBe("new");

      const orphan = { ...rewrite, fromBaseId: id(2), baseId: id(9) };
      expect(await faultOf(dialect, { rewrite: [orphan] })).toBe("foreign-key");
    });

    it("keep their digest when they are rewritten, unless they are given another one", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2), row(3, { baseId: id(1) }), row(4, { baseId: id(1) })] }, signal);
      const rewrite = [1, 2, 3, 4].map((number) => ({
        id: id(number),
        fromBaseId: number > 2 ? id(1) : null,
        baseId: number === 4 ? id(2) : null,
        encoding: "other",
        state: Buffer.from(`new ${number}`),
        ...(number % 2 === 0 ? { digest: Buffer.alloc(32, 200 + number) } : {}),
      }));
      expect(await dialect.commit({ rewrite }, signal)).toBe(true);
      const rows = await dialect.readRows([1, 2, 3, 4].map(id), signal);
      const found = plain(rows).map((one) => [numberOf(one.id), one.baseId, one.digest.slice(0, 2), one.state]);
      const text = (number: number) => hex(Buffer.from(`new ${number}`));
      expect(found.sort()).toEqual([
        [1, null, "01", text(1)],
        [2, null, "ca", text(2)],
        [3, null, "03", text(3)],
        [4, id(2), "cc", text(4)],
      ]);
      const miss = [{ ...rewrite[0], digest: Buffer.alloc(32, 9) }, { ...rewrite[3] }] as typeof rewrite;
      expect(await dialect.commit({ rewrite: miss }, signal)).toBe(false);
      expect(await dialect.commit({ bases: [{ id: id(1), digest: Buffer.alloc(32, 1) }] }, signal)).toBe(true);
    });

    it("are read by their ids, those that are there, with every column", async () => {
      const dialect = await emptyDialect();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const text = "é 漢 \u{1f600}'\"";
      const some = [
        row(1, { agentId: text, namespace: text, name: text, metadata: `\n${text}\n`, state: bytes, pending: 7 }),
        row(2, { baseId: id(1), parentId: id(9), state: new Uint8Array(0), createdAt: -1 }),
        row(3, { afterId: NIL_ID, namespace: "other", stateBytes: Number.MAX_SAFE_INTEGER }),
        row(4, { state: Buffer.alloc(1_048_576, 4) }),
      ];
      const many = numbers(10, 2_509).map((number) => row(number));
      const tombstone = tombstoneOf(id(5), 50, 8);
      await dialect.commit({ insert: [...some, ...many], bury: [tombstone] }, signal);
      const byId = (rows: readonly Row[]) => plain([...rows].sort((one, other) => (one.id < other.id ? -1 : 1)));
      const read = async (ids: readonly number[]) => byId(await dialect.readRows(ids.map(id), signal));

      expect(await read([])).toEqual([]);
      expect(await read([9])).toEqual([]);
      expect(await read([2])).toEqual(byId(some.slice(1, 2)));
      expect(await read([5, 9, 1, 4, 2, 3])).toEqual(byId([...some, tombstone]));
      expect(await read([5_000, ...numbers(1, 2_600)])).toEqual(byId([...some, tombstone, ...many]));
    });

    it("are counted between two ids, both of which are left out", async () => {
      const dialect = await emptyDialect();
      const count = async (since?: number, before?: number) => {
        const range = { ...(since && { since: id(since) }), ...(before && { before: id(before) }) };
        return await dialect.count(range, signal);
      };
      expect(await count()).toBe(0);
      const bury = [5, 15, 16].map((number) => tombstoneOf(id(number), 0, null));
      const agentOf = (number: number) => ({ agentId: number % 2 === 0 ? "even" : "odd" });
      const insert = numbers(1, 20).map((number) => row(number, agentOf(number)));
      await dialect.commit({ insert, remove: [16, 15, 5].map(id), bury }, signal);
      expect(await count()).toBe(17);
      expect([await count(4), await count(5), await count(6)]).toEqual([13, 13, 12]);
      expect([await count(undefined, 5), await count(undefined, 6)]).toEqual([4, 4]);
      expect([await count(4, 6), await count(3, 7), await count(1, 20), await count(10, 10)]).toEqual([0, 2, 15, 0]);
      expect([await count(20), await count(undefined, 1), await count(12, 3)]).toEqual([0, 0, 0]);
    });

    it("change whole or not at all", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { baseId: id(1) }), row(3, { baseId: id(2) })] }, signal);
      const before = await bases(dialect);
      const rewrite = { id: id(2), fromBaseId: id(1), baseId: null, encoding: "json", state: Buffer.from("2") };

      const guardMisses = { insert: [row(4)], rewrite: [rewrite, { ...rewrite, id: id(3) }], remove: [id(1)] };
      expect(await dialect.commit(guardMisses, signal)).toBe(false);
      expect(await bases(dialect)).toEqual(before);

      expect(await faultOf(dialect, { insert: [row(4)], rewrite: [rewrite], remove: [id(2)] })).toBe("foreign-key");
      expect(await bases(dialect)).toEqual(before);

      expect(await dialect.commit({ insert: [row(4)], rewrite: [rewrite], remove: [id(1)] }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ 2: null, 3: 2, 4: null });
    });
  });

  describe("rows that others are differences to", () => {
    /** 1 to 5, of which 2 is stored anew: its id is there, its content is another one. */
    const withBases = async () => {
      const dialect = await emptyDialect();
      const fresh = row(2, { digest: Buffer.alloc(32, 200) });
      const insert = [row(1), row(2), row(3), row(4, { baseId: id(3) }), row(5, { namespace: "other" })];
      await dialect.commit({ insert }, signal);
      await dialect.commit({ remove: [id(2)] }, signal);
      await dialect.commit({ insert: [fresh] }, signal);
      return dialect;
    };
    const before = { 1: null, 2: null, 3: null, 4: 3, 5: null };
    const base = (number: number) => ({ id: id(number), digest: Buffer.alloc(32, number) });

    it("let rows in while they are there with their content", async () => {
      const dialect = await withBases();
      const extremes = row(11, {
        baseId: id(3),
        agentId: "é",
        namespace: "漢",
        name: "",
        metadata: null,
        parentId: id(9),
        pending: 7,
        createdAt: -1,
        stateBytes: Number.MAX_SAFE_INTEGER,
        state: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
      });
      const others = [
        row(12, { baseId: id(4), metadata: "\nlabel\n", name: "x".repeat(4_000), state: Buffer.alloc(100_000, 1) }),
        row(13, { agentId: "a longer one", namespace: "n".repeat(300), encoding: "x".repeat(64) }),
        row(14, { baseId: id(13), state: new Uint8Array(0) }),
      ];
      for (const [insert, bases] of [
        [[extremes], [base(3)]],
        [others, [base(4)]],
        [[row(15, { baseId: id(1) })], [base(1), base(3), base(4)]],
        [[row(16)], [base(1)]], // whatever it builds on
      ] as const) {
        expect(await dialect.commit({ insert, bases }, signal)).toBe(true);
      }
      expect(plain(await dialect.readChain(id(11), signal))).toEqual(plain([extremes, row(3)]));
      expect(plain(await dialect.readChain(id(12), signal)).slice(0, 1)).toEqual(plain(others.slice(0, 1)));
      expect(plain(await dialect.readChain(id(14), signal))).toEqual(plain(others.slice(1).reverse()));
      expect(await dialect.commit({ bases: [base(1), base(3)] }, signal)).toBe(true);
      expect(await dialect.commit({ bases: [base(1), base(2)] }, signal)).toBe(false);
    });

    it("let in none, of one and of many, if one has other content or is gone", async () => {
      const dialect = await withBases();
      const one = [row(11, { baseId: id(2) })];
      const many = [row(11, { baseId: id(1) }), row(12), row(13, { baseId: id(2) })];
      for (const insert of [one, many, [row(11, { afterId: id(4) })], [row(11, { afterId: id(4) }), row(12)]]) {
        for (const bases of [[base(2)], [base(1), base(2), base(3)], [base(9)], [base(3), base(9), base(1)]]) {
          expect(await dialect.commit({ insert, bases }, signal)).toBe(false);
        }
      }
      // Not even with a foreign key's fault.
      expect(await dialect.commit({ insert: [row(11, { baseId: id(9) })], bases: [base(9)] }, signal)).toBe(false);
      expect(await bases(dialect)).toEqual(before);
      expect(await faultOf(dialect, { insert: [row(11, { baseId: id(9) })], bases: [base(1)] })).toMatch(
        /^(foreign-key|guard missed)$/,
      );
      expect(await faultOf(dialect, { insert: [row(1), row(11)], bases: [base(1)] })).toBe("duplicate");
      expect(await faultOf(dialect, { insert: [row(1)], bases: [base(3)] })).toBe("duplicate");
    });

    it("are a guard beside that of the latest row", async () => {
      const dialect = await withBases();
      const insert = [row(11, { baseId: id(3), afterId: id(4) }), row(12, { afterId: id(11) })];
      expect(await dialect.commit({ insert: [row(11, { afterId: id(3) })], bases: [base(3)] }, signal)).toBe(false);
      expect(await dialect.commit({ insert, bases: [base(3), base(4)] }, signal)).toBe(true);
      expect(await dialect.commit({ insert: [row(13, { afterId: id(12) })], bases: [base(3)] }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ ...before, 11: 3, 12: null, 13: null });
    });

    it("are a guard of what is rewritten and removed", async () => {
      const dialect = await withBases();
      const rewrite = [{ id: id(4), fromBaseId: id(3), baseId: id(1), encoding: "other", state: Buffer.from("4") }];
      const remove = [id(3)];
      for (const miss of [[base(2)], [base(4), base(2)], [base(9)]]) {
        expect(await dialect.commit({ rewrite, remove, bases: miss }, signal)).toBe(false);
        expect(await dialect.commit({ remove: [id(5)], bases: miss }, signal)).toBe(false);
        expect(await dialect.commit({ insert: [row(11)], rewrite, remove, bases: miss }, signal)).toBe(false);
      }
      expect(await bases(dialect)).toEqual(before);
      expect(await dialect.commit({ rewrite, remove, bases: [base(4), base(1)] }, signal)).toBe(true);
      expect(await dialect.commit({ remove: [id(5)], bases: [base(1)] }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ 1: null, 2: null, 4: 1 });
    });

    it("may be many", async () => {
      const dialect = await emptyDialect();
      const all = numbers(1, 1_200);
      await dialect.commit({ insert: all.map((number) => row(number)) }, signal);
      const insert = all.slice(0, 128).map((number) => row(number + 2_000, { baseId: id(number) }));
      const guard = all.map(base);
      expect(await dialect.commit({ insert, bases: [...guard, base(1_300)] }, signal)).toBe(false);
      expect(await dialect.commit({ insert: insert.slice(0, 64), bases: guard.slice(0, 128) }, signal)).toBe(true);
      expect(await dialect.commit({ insert: insert.slice(64), bases: guard }, signal)).toBe(true);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 1_328, longestChain: 2 });
    });

    if (literal === undefined) return;
    it("are waited for while another client stores them anew, and then have other content", async () => {
      const { open, begin } = (await newDatabase()) as Required<DialectDatabase>;
      const dialect = await open();
      const columns = "agent_id, namespace, name, created_at, encoding, state_bytes, state";
      const other = row(8, { digest: Buffer.alloc(32, 250) });
      const changes: Change[] = [
        { insert: [row(11, { baseId: id(1) })] },
        { insert: [row(11, { baseId: id(1) }), row(12)] },
        { insert: [row(11, { baseId: id(1), afterId: id(8) })] },
        { remove: [id(7)] },
      ];
      for (const change of changes) {
        await dialect.commit({ insert: [row(1), row(7), other] }, signal);
        const anew = await begin();
        await anew.run(`delete from agent_checkpoints where id = ${literal(id(1))}`);
        await anew.run(
          `insert into agent_checkpoints (id, digest, ${columns}) select ${literal(id(1))}, digest, ${columns} from agent_checkpoints where id = ${literal(id(8))}`,
        );
        const outcome = outcomeOf(dialect, { ...change, bases: [base(1)] });
        await new Promise((resolve) => setTimeout(resolve, 100));
        await anew.commit();
        expect(await outcome).toBe("guard missed");
        expect(await bases(dialect)).toEqual({ 1: null, 7: null, 8: null });
        await dialect.commit({ remove: [id(8), id(7), id(1)] }, signal);
      }
    });
  });

  describe("rows that are pending", () => {
    it("are found from a time on, the earliest first, with what they have to be sent", async () => {
      const dialect = await emptyDialect();
      const far = 8_640_000_000_000_000;
      const insert = [
        row(1, { pending: 30 }),
        row(2),
        row(3, { pending: 10, baseId: id(1), parentId: id(9), metadata: "\nlabel\n", state: Buffer.alloc(100_000, 1) }),
        row(4, { pending: far, agentId: "other", state: new Uint8Array(0) }),
        row(5, { pending: 10, state: Buffer.from("漢") }),
        row(6, { pending: 0, stateBytes: 9 }),
      ];
      const tombstone = tombstoneOf(id(7), 70, 10);
      expect(await dialect.pending(far, 10, signal)).toEqual([]);
      await dialect.commit({ insert, bury: [tombstone] }, signal);

      const all = [6, 3, 5, 7, 1, 4].map((number) => [...insert, tombstone][number - 1] as Row);
      const expected = heads(all).map((head, at) => ({ ...head, storedBytes: all[at]?.state.byteLength }));
      const found = async (until: number, limit: number) => {
        const rows = await dialect.pending(until, limit, signal);
        return rows.map((one) => ({ ...one, digest: hex(one.digest) }));
      };
      expect(await found(far, 10)).toEqual(expected);
      expect(await found(far, 2)).toEqual(expected.slice(0, 2));
      expect(await found(30, 10)).toEqual(expected.slice(0, 5));
      expect(await found(29, 10)).toEqual(expected.slice(0, 4));
      expect(await found(0, 10)).toEqual(expected.slice(0, 1));
      expect(await found(-1, 10)).toEqual([]);
    });

    it("say so in every list", async () => {
      const dialect = await emptyDialect();
      const far = 8_640_000_000_000_000;
      const rows = [row(1, { pending: far }), row(2, { baseId: id(1) }), row(3, { baseId: id(1), pending: 0 })];
      await dialect.commit({ insert: rows, bury: [tombstoneOf(id(4), 0, 6)] }, signal);
      expect(await pendings(dialect)).toEqual({ 1: far, 2: null, 3: 0, 4: 6 });
      const plainHeads = (found: readonly RowHead[]) => found.map((one) => ({ ...one, digest: hex(one.digest) }));
      const newestFirst = heads([...rows].reverse());
      expect(plainHeads(await dialect.list({ limit: 10 }, signal))).toEqual(newestFirst);
      expect(plainHeads(await dialect.dependents([id(1)], signal))).toEqual(newestFirst.slice(0, 2));
      const query = { agentId: "agent", namespace: "", since: id(2), limit: 1 };
      expect(plainHeads(await dialect.list(query, signal))).toEqual(newestFirst.slice(0, 1));
    });

    it("are counted, with their bytes and the earliest of them", async () => {
      const dialect = await emptyDialect();
      const nothing = { rows: 0, storedBytes: 0, oldest: null };
      expect(await dialect.backlog(signal)).toEqual(nothing);
      await dialect.commit({ insert: [row(1, { state: Buffer.alloc(50) })] }, signal);
      expect(await dialect.backlog(signal)).toEqual(nothing);
      const insert = [
        row(2, { pending: 30, state: Buffer.alloc(100_000), stateBytes: 7 }),
        row(3, { pending: 8_640_000_000_000_000, agentId: "other", state: Buffer.from("漢") }),
      ];
      await dialect.commit({ insert, bury: [tombstoneOf(id(4), 0, 20)] }, signal);
      expect(await dialect.backlog(signal)).toEqual({ rows: 3, storedBytes: 100_003, oldest: 20 });
      await dialect.commit({ remove: [id(4), id(2)] }, signal);
      expect(await dialect.backlog(signal)).toMatchObject({ rows: 1, oldest: 8_640_000_000_000_000 });
    });

    it("are pending no more once they are acknowledged with their content", async () => {
      const dialect = await emptyDialect();
      const insert = [row(1, { pending: 1 }), row(2, { pending: 2 }), row(3, { pending: 3 }), row(4)];
      const tombstone = tombstoneOf(id(5), 0, 5);
      await dialect.commit({ insert, bury: [tombstone] }, signal);
      const content = (number: number, like = number, pending = number) => {
        return { id: id(number), digest: Buffer.alloc(32, like), pending };
      };
      const acknowledge = async (...these: NonNullable<Change["acknowledge"]>) =>
        await dialect.commit({ acknowledge: these }, signal);

      expect(await acknowledge(content(1))).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      expect(await acknowledge(content(1))).toBe(true); // once more
      expect(await acknowledge(content(9))).toBe(true); // gone
      expect(await acknowledge(content(2, 3))).toBe(true); // stored anew
      expect(await acknowledge(content(2, 2, 1), content(3, 3, 2))).toBe(true); // pending from another time on since
      expect(await pendings(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      // Ids and digests go by pairs: of 2 and 3 neither has the other's.
      expect(await acknowledge(content(2, 3), content(3, 2), content(9), content(4), content(1))).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: null, 2: 2, 3: 3, 4: null, 5: 5 });
      expect(
        await acknowledge(content(9), { ...content(5), digest: tombstone.digest }, content(3), content(2, 9)),
      ).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: null, 2: 2, 3: null, 4: null, 5: null });
      const [left] = await dialect.readChain(id(3), signal);
      expect(plain([left as Row])).toEqual(plain([row(3)])); // nothing else of it has changed
    });

    it("are acknowledged by hundreds", async () => {
      const dialect = await emptyDialect();
      const all = numbers(1, 1_300);
      await dialect.commit({ insert: all.map((number) => row(number, { pending: number })) }, signal);
      const other = Buffer.alloc(32, 255);
      const acknowledge = all.slice(0, 1_250).map((number) => {
        return { id: id(number), digest: number % 100 === 0 ? other : Buffer.alloc(32, number), pending: number };
      });
      expect(await dialect.commit({ acknowledge: acknowledge.slice(0, 128) }, signal)).toBe(true);
      expect(await dialect.backlog(signal)).toMatchObject({ rows: 1_300 - 127, oldest: 100 });
      expect(await dialect.commit({ acknowledge }, signal)).toBe(true);
      const left = await dialect.pending(2_000, 2_000, signal);
      expect(left.map((one) => numberOf(one.id))).toEqual([...numbers(1, 12).map((n) => n * 100), ...all.slice(1_250)]);
    });

    it("are leased all together, only while each is pending from the time that was read", async () => {
      const dialect = await emptyDialect();
      const insert = [row(1, { pending: 1 }), row(2, { pending: 2 }), row(3)];
      await dialect.commit({ insert, bury: [tombstoneOf(id(4), 0, 4)] }, signal);
      const before = { 1: 1, 2: 2, 3: null, 4: 4 };
      const lease = (number: number, fromPending = number, pending = 100 + number) => {
        return { id: id(number), fromPending, pending };
      };
      const commit = (...leases: NonNullable<Change["lease"]>) => dialect.commit({ lease: leases }, signal);

      const misses = [lease(1, 2), lease(3, 0), lease(9)];
      for (const miss of misses) {
        expect(await commit(miss)).toBe(false);
        expect(await commit(lease(2), miss, lease(4))).toBe(false);
        expect(await commit(lease(2), lease(4), miss)).toBe(false);
      }
      expect(await commit(lease(1, 2), lease(2, 1))).toBe(false); // neither has the other's
      expect(await pendings(dialect)).toEqual(before);

      expect(await commit(lease(1))).toBe(true);
      expect(await commit(lease(1))).toBe(false);
      expect(await commit(lease(1, 101, 101), lease(2, 2, 0), lease(4, 4, 8_640_000_000_000_000))).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: 101, 2: 0, 3: null, 4: 8_640_000_000_000_000 });
      expect(await commit(lease(1, 101, 101))).toBe(true); // though nothing changes
      const chain = await dialect.readChain(id(1), signal);
      expect(plain(chain)).toEqual(plain([row(1, { pending: 101 })]));
    });

    it("are leased by hundreds", async () => {
      const dialect = await emptyDialect();
      const all = numbers(1, 1_300);
      await dialect.commit({ insert: all.map((number) => row(number, { pending: number })) }, signal);
      const lease = all.map((number) => ({ id: id(number), fromPending: number, pending: 10_000 - number }));
      const miss = { id: id(2_000), fromPending: 1, pending: 2 };
      expect(await dialect.commit({ lease: [...lease, miss] }, signal)).toBe(false);
      expect(await dialect.backlog(signal)).toMatchObject({ rows: 1_300, oldest: 1 });
      expect(await dialect.commit({ lease }, signal)).toBe(true);
      const earliest = await dialect.pending(10_000, 2, signal);
      expect(earliest.map((one) => one.id)).toEqual([id(1_300), id(1_299)]);
    });

    it("are leased by one of two who want them", async () => {
      const { open } = await newDatabase();
      const clients = [await open(), await open()] as const;
      const all = numbers(1, 8);
      await clients[0].commit({ insert: all.map((number) => row(number, { pending: 0 })) }, signal);
      for (const round of numbers(1, 30)) {
        const leases = (by: number) =>
          all.map((number) => ({ id: id(number), fromPending: (round - 1) * 10, pending: round * 10 + by }));
        const outcomes = await Promise.all([
          outcomeOf(clients[0], { lease: leases(1) }),
          outcomeOf(clients[1], { lease: leases(2).reverse() }),
        ]);
        expect([...outcomes].sort()).toEqual(["done", "guard missed"]);
        const by = outcomes[0] === "done" ? 1 : 2;
        const held = await pendings(clients[0]);
        expect(held).toEqual(Object.fromEntries(all.map((number) => [number, round * 10 + by])));
        // The loser reads them anew.
        const next = all.map((number) => ({ id: id(number), fromPending: round * 10 + by, pending: round * 10 }));
        expect(await outcomeOf(clients[1], { lease: next })).toBe("done");
      }
    });

    it("go in, are acknowledged and are leased in this order, all or none", async () => {
      const dialect = await emptyDialect();
      const old = [row(1, { pending: 1 }), row(2, { pending: 2, baseId: id(1) }), row(3, { pending: 3 })];
      await dialect.commit({ insert: old }, signal);
      const before = await pendings(dialect);
      const change: Change = {
        bases: [{ id: id(1), digest: Buffer.alloc(32, 1) }],
        insert: [row(11, { pending: 11, baseId: id(1) }), row(12, { pending: 12 })],
        rewrite: [
          {
            id: id(2),
            fromBaseId: id(1),
            baseId: null,
            encoding: "other",
            state: Buffer.from("2"),
            digest: Buffer.alloc(32, 22),
          },
        ],
        remove: [id(3)],
        bury: [tombstoneOf(id(3), 0, 33)],
        // What was rewritten has the new digest, what was buried the tombstone's.
        acknowledge: [
          { id: id(11), digest: Buffer.alloc(32, 11), pending: 11 },
          { id: id(2), digest: Buffer.alloc(32, 2), pending: 2 },
          { id: id(3), digest: Buffer.alloc(32, 3), pending: 3 },
        ],
        lease: [
          { id: id(12), fromPending: 12, pending: 120 },
          { id: id(3), fromPending: 33, pending: 330 },
          { id: id(2), fromPending: 2, pending: 20 },
        ],
      };
      const acknowledged = { id: id(11), fromPending: 11, pending: 110 };
      const missed = { ...change, lease: [...(change.lease ?? []), acknowledged] };
      expect(await dialect.commit(missed, signal)).toBe(false);
      expect(await pendings(dialect)).toEqual(before);
      expect(plain(await dialect.readRows([1, 2, 3].map(id), signal)).sort(byNumber)).toEqual(plain(old));

      expect(await dialect.commit(change, signal)).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: 1, 2: 20, 3: 330, 11: null, 12: 120 });
      expect(await bases(dialect)).toEqual({ 1: null, 2: null, 11: 1, 12: null });
    });
  });

  describe("writes", () => {
    const shown = (writes: readonly WriteRow[]) =>
      [...writes].sort(byKey).map((one) => ({ ...one, state: hex(one.state), digest: hex(one.digest) }));
    const all = async (dialect: Dialect, ...numbers: number[]) =>
      shown(await dialect.readWrites(numbers.map(id), signal));
    const values = async (dialect: Dialect, ...numbers: number[]) =>
      Object.fromEntries((await all(dialect, ...numbers)).map((one) => [keyOf(one), Number.parseInt(one.state, 16)]));

    it("come back with every column as it was appended, one and many, and not as rows", async () => {
      const dialect = await emptyDialect();
      const text = `'"\\\\ \\' $1 ? :id {1,2} NULL \u0001\u001f\u007f\n\r\t\u2028\uffff é 漢 \u{1f600}\u{10ffff}`;
      await dialect.commit({ insert: [row(1), row(2)] }, signal);
      const appended = [
        write(1, { taskId: text, channel: text, taskPath: text, state: Buffer.from(numbers(0, 255)) }),
        write(1, { taskId: "a", index: -2_147_483_648, state: new Uint8Array(0), stateBytes: Number.MAX_SAFE_INTEGER }),
        write(1, { taskId: "a", index: 2_147_483_647, state: Buffer.alloc(100_000, 7) }),
        write(2, { taskId: "a ", rank: "ffffffff-ffff-ffff-ffff-ffffffffffff" }),
        write(2, { taskId: "A", rank: "00000000-0000-0000-0000-000000000001" }),
      ];
      const [first, ...others] = appended;
      expect(await dialect.commit({ append: [first as WriteRow] }, signal)).toBe(true);
      expect(await dialect.commit({ append: others }, signal)).toBe(true);
      expect(await all(dialect, 1, 2, 3)).toEqual(shown(appended));
      expect(await all(dialect)).toEqual([]);
      expect(await dialect.list({ limit: 10 }, signal)).toHaveLength(2);
      expect(await dialect.stats(null, signal)).toMatchObject({ rows: 2 });
    });

    it("are told without their values, by ranges of rows", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: numbers(1, 4).map((number) => row(number)) }, signal);
      const append = numbers(1, 4).flatMap((number) => [write(number), write(number, { index: -1 })]);
      await dialect.commit({ append }, signal);
      const told = async (range: IdRange) => (await dialect.writeKeys(range, signal)).map(keyOf).sort();
      expect(await told({})).toEqual(append.map(keyOf).sort());
      expect(await told({ since: id(1), before: id(3) })).toEqual(["2 task -1", "2 task 0"]);
      const [key] = await dialect.writeKeys({ since: id(3) }, signal);
      expect(key).toMatchObject({ checkpointId: id(4), taskId: "task", rank: id(1) });
    });

    it("go in by hundreds at once, of hundreds of rows", async () => {
      const dialect = await emptyDialect();
      const rows = numbers(1, 1_200);
      await dialect.commit({ insert: rows.map((number) => row(number)) }, signal);
      const append = rows.flatMap((number) => [write(number, { index: 1 }), write(number, { index: 2 })]);
      expect(await dialect.commit({ append }, signal)).toBe(true);
      expect(await dialect.readWrites(rows.map(id), signal)).toHaveLength(2_400);
    });

    it("take the place of what has the same key and no higher rank", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2)] }, signal);
      const ranked = (rank: number, value: number, index = 0) =>
        write(1, { rank: id(rank), state: Buffer.from([value]), index, channel: `c${value}`, digest: digest(value) });
      const append = async (...writes: WriteRow[]) => await dialect.commit({ append: writes }, signal);
      expect(await append(ranked(5, 50), ranked(5, 51, 1), write(2))).toBe(true);
      expect(await append(ranked(4, 40), ranked(6, 61, 1))).toBe(true);
      expect(await values(dialect, 1)).toEqual({ "1 task 0": 50, "1 task 1": 61 });
      expect(await append(ranked(5, 52))).toBe(true);
      const [first] = await all(dialect, 1);
      expect(first).toMatchObject({ channel: "c52", state: "34", rank: id(5), digest: hex(digest(52)) });
      expect(await append(ranked(4, 41, 1), ranked(5, 42, -1), ranked(9, 90))).toBe(true);
      expect(await values(dialect, 1)).toEqual({ "1 task -1": 42, "1 task 0": 90, "1 task 1": 61 });
    });

    it("are refused, all of them, if a row that they belong to is not there, or is a tombstone", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1)], bury: [tombstoneOf(id(2), 0, null)] }, signal);
      const pend = [{ id: id(1), pending: 7 }];
      for (const missing of [[write(9)], [write(2)], [write(1), write(9)], [write(2), write(1)]]) {
        expect(await dialect.commit({ append: missing }, signal)).toBe(false);
        expect(await dialect.commit({ append: missing, pend }, signal)).toBe(false);
        expect(await dialect.commit({ insert: [row(5)], append: missing }, signal)).toBe(false);
      }
      expect(await all(dialect, 1, 2, 5, 9)).toEqual([]);
      expect(await pendings(dialect)).toEqual({ 1: null, 2: null });
    });

    it("go with their row, whatever takes its place", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2), row(3)] }, signal);
      await dialect.commit({ append: [write(1), write(2), write(2, { index: 1 }), write(3)] }, signal);
      await dialect.commit({ remove: [id(1)] }, signal);
      await dialect.commit({ remove: [id(2)], bury: [tombstoneOf(id(2), 0, null)] }, signal);
      expect(await values(dialect, 1, 2, 3)).toEqual({ "3 task 0": 3 });
      await dialect.commit({ insert: [row(1)] }, signal);
      expect(await values(dialect, 1, 2, 3)).toEqual({ "3 task 0": 3 });
    });

    it("stay when their row is written anew, leased or acknowledged", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { baseId: id(1), pending: 5 })] }, signal);
      await dialect.commit({ append: [write(2)] }, signal);
      const rewrite = [{ id: id(2), fromBaseId: id(1), baseId: null, encoding: "other", state: Buffer.from("2") }];
      expect(await dialect.commit({ rewrite, remove: [id(1)] }, signal)).toBe(true);
      expect(await dialect.commit({ lease: [{ id: id(2), fromPending: 5, pending: 6 }] }, signal)).toBe(true);
      expect(await values(dialect, 2)).toEqual({ "2 task 0": 2 });
    });

    it("make their row pending, later than it was, so that whoever sends it as it was acknowledges nothing", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { pending: 20 }), row(3, { pending: 5 })] }, signal);
      const pend = numbers(1, 3).map((number) => ({ id: id(number), pending: 10 }));
      expect(await dialect.commit({ append: numbers(1, 3).map((number) => write(number)), pend }, signal)).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: 10, 2: 21, 3: 10 });
      expect(await dialect.commit({ append: [write(1)], pend: [{ id: id(1), pending: 10 }] }, signal)).toBe(true);
      expect(
        await dialect.commit(
          {
            pend: [
              { id: id(3), pending: 4 },
              { id: id(9), pending: 1 },
            ],
          },
          signal,
        ),
      ).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: 11, 2: 21, 3: 11 });
      await dialect.commit({ acknowledge: [{ id: id(2), digest: digest(2), pending: 20 }] }, signal);
      expect(await pendings(dialect)).toEqual({ 1: 11, 2: 21, 3: 11 });
    });

    it("go in together with the row that they belong to", async () => {
      const dialect = await emptyDialect();
      expect(await dialect.commit({ insert: [row(1), row(2)], append: [write(2), write(1)] }, signal)).toBe(true);
      expect(await values(dialect, 1, 2)).toEqual({ "1 task 0": 1, "2 task 0": 2 });
    });

    it("and the removal of their row: nothing is left behind, whichever comes first", async () => {
      const { open } = await newDatabase();
      const [one, other] = await Promise.all([open(), open()]);
      for (const number of numbers(1, 40)) {
        await one.commit({ insert: [row(number)] }, signal);
        const bury = number % 2 === 0 ? [tombstoneOf(id(number), 0, null)] : [];
        const pend = number % 3 === 0 ? [{ id: id(number), pending: 1 }] : [];
        const outcomes = await Promise.all([
          outcomeOf(one, { append: [write(number), write(number, { index: 1 })], pend }),
          outcomeOf(other, { remove: [id(number)], bury }),
        ]);
        expect(["done", "guard missed", "foreign-key", "serialization"]).toContain(outcomes[0]);
        if (outcomes[1] !== "done") await other.commit({ remove: [id(number)], bury }, signal);
        expect(await all(one, number)).toEqual([]);
      }
    });

    it("of two who append at once both go in", async () => {
      const { open } = await newDatabase();
      const clients = await Promise.all([open(), open()]);
      await clients[0].commit({ insert: [row(1)] }, signal);
      const append = async (client: Dialect, taskId: string) => {
        for (const index of numbers(1, 30)) {
          const change = { append: [write(1, { taskId, index })], pend: [{ id: id(1), pending: index }] };
          let outcome = "";
          while (outcome !== "done") {
            outcome = await outcomeOf(client, change);
            expect(["done", "serialization"]).toContain(outcome);
          }
        }
      };
      await Promise.all([append(clients[0], "one"), append(clients[1], "other")]);
      expect(await clients[0].readWrites([id(1)], signal)).toHaveLength(60);
    });
  });

  describe("tombstones", () => {
    const bury = (...all: number[]) => all.map((number) => tombstoneOf(id(number), 1_000 + number, number));
    const ids = async (dialect: Dialect, query: object = {}) =>
      (await dialect.list({ ...query, limit: 10_000 }, signal)).map((one) => numberOf(one.id));

    it("take the place of rows that are removed, and of some that never were there", async () => {
      const dialect = await emptyDialect();
      const insert = [row(1), row(2, { baseId: id(1) }), row(3, { agentId: "other", namespace: "n" }), row(4)];
      await dialect.commit({ insert }, signal);
      const remove = [3, 2].map(id);
      expect(await dialect.commit({ remove, bury: bury(2, 3, 7) }, signal)).toBe(true);
      expect(await dialect.commit({ bury: bury(5) }, signal)).toBe(true);
      const all = plain(await dialect.readRows(numbers(1, 9).map(id), signal)).sort(byNumber);
      const [two, three, seven, five] = bury(2, 3, 7, 5) as [Row, Row, Row, Row];
      expect(all).toEqual(plain([row(1), two, three, row(4), five, seven]));
      expect(plain(await dialect.readChain(id(2), signal))).toEqual(plain([two]));
    });

    it("are in no list, count or agent but those that ask for them", async () => {
      const dialect = await emptyDialect();
      const insert = numbers(1, 6).map((number) =>
        row(number, { name: "turn", agentId: number < 4 ? "agent" : "other" }),
      );
      await dialect.commit({ insert }, signal);
      await dialect.commit({ remove: [6, 5, 4, 2].map(id), bury: bury(2, 4, 5, 6, 8) }, signal);
      expect(await ids(dialect)).toEqual([3, 1]);
      expect(await ids(dialect, { before: id(9), since: id(1) })).toEqual([3]);
      expect(await ids(dialect, { namespace: "" })).toEqual([3, 1]);
      expect(await ids(dialect, { name: "" })).toEqual([]);
      expect((await dialect.list({ limit: 1 }, signal)).map((one) => one.id)).toEqual([id(3)]);
      expect(await ids(dialect, { agentId: "agent" })).toEqual([3, 1]);
      expect(await ids(dialect, { agentId: "other" })).toEqual([]);
      expect(await dialect.agents(null, 10, signal)).toEqual(["agent"]);
      expect(await dialect.agents("", 1, signal)).toEqual(["agent"]);
      expect(await dialect.stats(null, signal)).toEqual({ rows: 2, storedBytes: 2, stateBytes: 2, longestChain: 1 });
      expect(await dialect.count({}, signal)).toBe(2);

      expect(await ids(dialect, { id: id(4) })).toEqual([4]);
      expect(await ids(dialect, { id: id(4), agentId: "other" })).toEqual([]);
      expect(await ids(dialect, { agentId: NO_AGENT })).toEqual([8, 6, 5, 4, 2]);
      expect(await ids(dialect, { agentId: NO_AGENT, before: id(8), since: id(2) })).toEqual([6, 5, 4]);
      const [found] = await dialect.list({ id: id(4), limit: 1 }, signal);
      expect({ ...found, digest: hex(found?.digest ?? []) }).toEqual(heads(bury(4))[0]);

      await dialect.commit({ remove: [3, 1].map(id) }, signal);
      expect(await ids(dialect)).toEqual([]);
      expect(await dialect.agents(null, 10, signal)).toEqual([]);
      expect(await dialect.stats(null, signal)).toEqual({ rows: 0, storedBytes: 0, stateBytes: 0, longestChain: 0 });
      expect(await dialect.count({}, signal)).toBe(0);
    });

    it("keep their ids", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2)], bury: bury(3) }, signal);
      const changes: Change[] = [
        { insert: [row(3)] },
        { insert: [row(3, { afterId: id(2) })] },
        { insert: [row(4), row(3)] },
        { insert: [row(3)], bases: [{ id: id(1), digest: Buffer.alloc(32, 1) }] },
        { bury: bury(3) },
        { bury: bury(4, 3) },
        { bury: bury(2) }, // which is not removed
        { remove: [id(1)], bury: bury(1, 2) },
        { insert: [row(4)], bury: bury(4) },
      ];
      for (const change of changes) expect(await faultOf(dialect, change)).toBe("duplicate");
      expect(await pendings(dialect)).toEqual({ 1: null, 2: null, 3: 3 });
      // Until they are removed themselves; they may be of another time then.
      expect(await dialect.commit({ remove: [id(3)], bury: [tombstoneOf(id(3), 0, null)] }, signal)).toBe(true);
      expect(await pendings(dialect)).toEqual({ 1: null, 2: null, 3: null });
      expect(await dialect.commit({ remove: [id(3)] }, signal)).toBe(true);
      expect(await dialect.commit({ insert: [row(3)] }, signal)).toBe(true);
      expect(await ids(dialect)).toEqual([3, 2, 1]);
    });

    it("do not take the place of a row that another one builds on", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1), row(2, { baseId: id(1) }), row(3, { baseId: id(2) }), row(4)] }, signal);
      const before = { 1: null, 2: 1, 3: 2, 4: null };
      expect(await faultOf(dialect, { remove: [id(1)], bury: bury(1) })).toBe("foreign-key");
      expect(await faultOf(dialect, { remove: [4, 2].map(id), bury: bury(4, 2) })).toBe("foreign-key");
      expect(await faultOf(dialect, { insert: [row(5)], remove: [2, 1].map(id), bury: bury(1, 2) })).toBe(
        "foreign-key",
      );
      expect(await bases(dialect)).toEqual(before);
      expect(await ids(dialect, { agentId: NO_AGENT })).toEqual([]);
      const rewrite = [{ id: id(3), fromBaseId: id(2), baseId: null, encoding: "json", state: Buffer.from("3") }];
      expect(await dialect.commit({ rewrite, remove: [2, 1].map(id), bury: bury(1, 2) }, signal)).toBe(true);
      expect(await bases(dialect)).toEqual({ 3: null, 4: null });
      expect(await ids(dialect, { agentId: NO_AGENT })).toEqual([2, 1]);
    });

    it("are nothing to build on for whoever says what it builds on", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1)] }, signal);
      await dialect.commit({ remove: [id(1)], bury: bury(1) }, signal);
      const guard = [{ id: id(1), digest: Buffer.alloc(32, 1) }];
      for (const insert of [[row(2, { baseId: id(1) })], [row(2, { baseId: id(1) }), row(3)]]) {
        expect(await dialect.commit({ insert, bases: guard }, signal)).toBe(false);
      }
      expect(await ids(dialect)).toEqual([]);
    });

    it("are no agent's latest row", async () => {
      const dialect = await emptyDialect();
      await dialect.commit({ insert: [row(1, { afterId: NIL_ID }), row(2, { afterId: id(1) })] }, signal);
      await dialect.commit({ remove: [id(2)], bury: bury(2, 8, 9) }, signal);
      const commit = (one: Row) => dialect.commit({ insert: [one] }, signal);
      expect(await commit(row(10, { afterId: id(9) }))).toBe(false);
      expect(await commit(row(10, { afterId: id(2) }))).toBe(false);
      expect(await commit(row(10, { afterId: id(1) }))).toBe(true);
      expect(await commit(row(11, { afterId: NIL_ID, agentId: "new" }))).toBe(true);
    });

    it("take the place of thousands of rows at once", async () => {
      const dialect = await emptyDialect();
      const all = numbers(1, 2_500);
      const insert = all.map((number) => row(number, { baseId: number % 250 === 1 ? null : id(number - 1) }));
      await dialect.commit({ insert: [...insert, row(3_000)] }, signal);
      expect(await dialect.commit({ remove: [...all].reverse().map(id), bury: bury(...all) }, signal)).toBe(true);
      expect(await ids(dialect)).toEqual([3_000]);
      expect(await ids(dialect, { agentId: NO_AGENT })).toEqual([...all].reverse());
      expect(await dialect.backlog(signal)).toEqual({ rows: 2_500, storedBytes: 0, oldest: 1 });
    });

    it("and what would build on the row that they take the place of: exactly one gets in", async () => {
      const { open } = await newDatabase();
      const [one, other] = [await open(), await open()];
      for (const number of numbers(1, 40)) {
        const [base, delta] = [number * 2, number * 2 + 1];
        await one.commit({ insert: [row(base)] }, signal);
        const guard = [{ id: id(base), digest: Buffer.alloc(32, base) }];
        const insert = () => outcomeOf(one, { insert: [row(delta, { baseId: id(base) })], bases: guard });
        const remove = () => outcomeOf(other, { remove: [id(base)], bury: bury(base) });
        const outcomes = await Promise.all(number % 2 === 0 ? [insert(), remove()] : [remove(), insert()]);
        expect(outcomes.sort().join()).toMatch(/^done,(foreign-key|guard missed)$/);
        const left = await bases(one);
        expect(delta in left).toBe(base in left);
      }
    });
  });

  describe("of the removal of a base and the insert of what builds on it", () => {
    it("exactly one succeeds, whichever comes first", async () => {
      const { open } = await newDatabase();
      const [one, other] = [await open(), await open()];
      for (const number of numbers(1, 40)) {
        const [base, delta] = [number * 2, number * 2 + 1];
        await one.commit({ insert: [row(base)] }, signal);
        const insert = () => outcomeOf(one, { insert: [row(delta, { baseId: id(base) })] });
        const remove = () => outcomeOf(other, { remove: [id(base)] });
        const outcomes = await Promise.all(number % 2 === 0 ? [insert(), remove()] : [remove(), insert()]);
        expect(outcomes.sort()).toEqual(["done", "foreign-key"]);
        const left = await bases(one);
        expect(left[delta] ?? null).toBe(base in left ? base : null);
      }
    });

    if (literal === undefined) return;
    it("the second waits for the first, and is refused", async () => {
      const { open, begin } = (await newDatabase()) as Required<DialectDatabase>;
      const dialect = await open();
      const [base, delta] = [literal(id(1)), literal(id(2))];
      await dialect.commit({ insert: [row(1)] }, signal);

      const inserting = await begin();
      const others = "agent_id, namespace, name, created_at, encoding, state_bytes, digest, state";
      await inserting.run(
        `insert into agent_checkpoints (id, base_id, ${others}) select ${delta}, id, ${others} from agent_checkpoints where id = ${base}`,
      );
      const removal = outcomeOf(dialect, { remove: [id(1)] });
      await inserting.commit();
      expect(await removal).toBe("foreign-key");
      await dialect.commit({ remove: [id(2)] }, signal);

      const removing = await begin();
      await removing.run(`delete from agent_checkpoints where id = ${base}`);
      const insert = outcomeOf(dialect, { insert: [row(2, { baseId: id(1) })] });
      await removing.commit();
      expect(await insert).toBe("foreign-key");
      expect(await bases(dialect)).toEqual({});
    });
  });

  describe("a chain", () => {
    it("of 257 rows is read from the row that was asked for to the whole one, of a megabyte", async () => {
      const dialect = await emptyDialect();
      // Bases need not be in the order of their ids: a chain that is read by id would show it.
      const order = numbers(0, 256).map((position) => ((position * 101) % 257) + 1);
      const insert = order.map((number, position) => {
        const baseId = position === 0 ? null : id(order[position - 1] as number);
        return row(number, { baseId, state: Buffer.alloc(position === 0 ? 1_048_576 : 2_000, number) });
      });
      const [first, last] = [order[0] as number, order[256] as number];
      await dialect.commit({ insert: [row(1_000), ...insert, row(1_001, { baseId: id(last) })] }, signal);
      expect(plain(await dialect.readChain(id(last), signal))).toEqual(plain([...insert].reverse()));
      expect(await dialect.readChain(id(2_000), signal)).toEqual([]);
      const dependents = await dialect.dependents([id(last), id(first), id(2_000)], signal);
      expect(dependents.map((link) => link.id)).toEqual([id(1_001), id(order[1] as number)]);
      expect(await dialect.dependents([], signal)).toEqual([]);
    });

    it("counts its rows, the longest in all and of each agent", async () => {
      const dialect = await emptyDialect();
      const longest = async (agentId: string | null) => (await dialect.stats(agentId, signal)).longestChain;
      expect(await longest(null)).toBe(0);
      await dialect.commit({ insert: [row(1), row(2)] }, signal);
      expect([await longest(null), await longest("agent"), await longest("nobody")]).toEqual([1, 1, 0]);
      const fork = [row(3, { baseId: id(2) }), row(4, { baseId: id(3) }), row(5, { baseId: id(2) })];
      const other = numbers(10, 266).map((number) =>
        row(number, { agentId: "other", baseId: number === 10 ? null : id(number - 1) }),
      );
      await dialect.commit({ insert: [...fork, ...other] }, signal);
      expect([await longest(null), await longest("agent"), await longest("other")]).toEqual([257, 3, 257]);
    });
  });

  it("gives space back until there is no more", async () => {
    const dialect = await emptyDialect();
    const all = numbers(1, 300);
    await dialect.commit({ insert: all.map((number) => row(number, { state: Buffer.alloc(20_000, 1) })) }, signal);
    await dialect.commit({ remove: all.reverse().map(id) }, signal);
    let steps = 0;
    while (await dialect.reclaim(signal)) steps += 1;
    expect(steps).toBeLessThan(100);
    expect(await dialect.reclaim(signal)).toBe(false);
  });

  /** What became of a change that is sent again as long as the database asks for it. */
  async function outcomeOf(dialect: Dialect, change: Change): Promise<string> {
    for (;;) {
      try {
        return (await dialect.commit(change, signal)) ? "done" : "guard missed";
      } catch (error) {
        const fault = dialect.classify(error);
        if (fault !== "serialization") return fault;
      }
    }
  }

  async function faultOf(dialect: Dialect, change: Change): Promise<string> {
    const outcome = await outcomeOf(dialect, change);
    expect(outcome).not.toBe("done");
    return outcome;
  }
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

/** The id of a row's number. */
function id(number: number): string {
  return `01890000-0000-7000-8000-${String(number).padStart(12, "0")}`;
}

function row(number: number, more: Partial<Row> = {}): Row {
  return {
    id: id(number),
    agentId: "agent",
    namespace: "",
    name: `row ${number}`,
    parentId: null,
    baseId: null,
    afterId: null,
    createdAt: number,
    metadata: null,
    encoding: "json",
    stateBytes: 1,
    digest: Buffer.alloc(32, number),
    pending: null,
    state: Buffer.from(String(number)),
    ...more,
  };
}

/** A write of the row with this number. */
function write(number: number, more: Partial<WriteRow> = {}): WriteRow {
  return {
    checkpointId: id(number),
    taskId: "task",
    index: 0,
    rank: id(1),
    channel: "channel",
    taskPath: "",
    encoding: "json",
    stateBytes: 1,
    digest: digest(number),
    state: Buffer.from([number]),
    ...more,
  };
}

function digest(number: number): Buffer {
  return Buffer.alloc(32, number);
}

function keyOf({ checkpointId, taskId, index }: WriteKey): string {
  return `${numberOf(checkpointId)} ${taskId} ${index}`;
}

function byKey(one: WriteKey, other: WriteKey): number {
  return keyOf(one) < keyOf(other) ? -1 : 1;
}

/** Rows to compare: drivers bring back bytes as what they like. */
function plain(rows: readonly Row[]) {
  return rows.map((one) => ({ ...one, digest: hex(one.digest), state: hex(one.state) }));
}

/** What lists have of rows, to compare. */
function heads(rows: readonly Row[]) {
  return rows.map(({ state, afterId, ...head }) => ({ ...head, digest: hex(head.digest) }));
}

function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString("hex");
}

function numberOf(id: string): number {
  return Number(id.slice(-12));
}

function byNumber(one: { readonly id: string }, other: { readonly id: string }): number {
  return numberOf(one.id) - numberOf(other.id);
}

/** Every row as number → base's number. */
async function bases(dialect: Dialect): Promise<Record<number, number | null>> {
  const rows = await dialect.list({ limit: 10_000 }, signal);
  return Object.fromEntries(rows.map(({ id, baseId }) => [numberOf(id), baseId === null ? null : numberOf(baseId)]));
}

/** Every row, tombstones too, as number → since when it is pending. */
async function pendings(dialect: Dialect): Promise<Record<number, number | null>> {
  const rows = await dialect.list({ limit: 10_000 }, signal);
  const tombstones = await dialect.list({ agentId: NO_AGENT, limit: 10_000 }, signal);
  return Object.fromEntries([...rows, ...tombstones].map(({ id, pending }) => [numberOf(id), pending]));
}
