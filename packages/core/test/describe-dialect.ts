import { describe, expect, it } from "vitest";
import { type Change, type Dialect, NIL_ID, type Row } from "../src/dialect.ts";

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

/** Rows to compare: drivers bring back bytes as what they like. */
function plain(rows: readonly Row[]): object[] {
  return rows.map((one) => ({ ...one, digest: hex(one.digest), state: hex(one.state) }));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Every row as number → base's number. */
async function bases(dialect: Dialect): Promise<Record<number, number | null>> {
  const number = (text: string) => Number(text.slice(-12));
  const rows = await dialect.list({ limit: 10_000 }, signal);
  return Object.fromEntries(rows.map(({ id, baseId }) => [number(id), baseId === null ? null : number(baseId)]));
}
