import type { Dialect, WriteRow } from "@waymark/core/kit";
import { createPool, type Pool } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import { tombstoneOf } from "../../core/src/checkpoints/tombstones.ts";
import { createMySQLDialect } from "../src/checkpoints/dialect.ts";
import { type CheckpointStorage, createMySQLStorage } from "../src/index.ts";
import { resolveOptions } from "../src/options.ts";
import { checkpoint, servers } from "./on-server.ts";

/**
 * One agent with half of the rows, in four namespaces; one who has the oldest tenth, and whose latest is therefore not
 * near anything that is new; and fifty others with the rest. The oldest are pending, each from a time of its own on, and
 * below them all are tombstones.
 */
const ROWS = 100_000;
const PENDING = 300;
const TOMBSTONES = 500;

const idOf = (number: number) => {
  const hex = (1_700_000_000_000 + number).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(Math.abs(number)).padStart(12, "0")}`;
};
const bytesOf = (number: number) => `x'${idOf(number).replaceAll("-", "")}'`;

const writeOf = (number: number): WriteRow => ({
  checkpointId: idOf(number),
  taskId: "task",
  index: 0,
  rank: idOf(1),
  channel: "channel",
  taskPath: "",
  encoding: "json",
  stateBytes: 1,
  digest: Buffer.alloc(32),
  state: Buffer.from("1"),
});

describe.each(servers)("$title", ({ url: serverUrl }) => {
  let database: TestDatabase;
  let pool: Pool;
  let storage: CheckpointStorage;
  let dialect: Dialect;
  /** What the storage has sent, with its parameters. */
  let sent: [text: string, parameters: unknown[]][] = [];

  beforeAll(async () => {
    database = await createDatabase(serverUrl);
    pool = createPool({ uri: database.url, connectionLimit: 2 });
    const listening = {
      async getConnection() {
        const connection = await pool.getConnection();
        const query = connection.query.bind(connection) as unknown as (
          text: { sql: string },
          parameters?: unknown[],
        ) => Promise<never>;
        return Object.assign(connection, {
          query(text: { sql: string }, parameters: unknown[] = []) {
            sent.push([text.sql, parameters]);
            return query(text, parameters);
          },
        });
      },
      query: pool.query.bind(pool),
      end: pool.end.bind(pool),
    };
    storage = createMySQLStorage({ pool: listening });
    dialect = createMySQLDialect(resolveOptions({ pool: listening }));
    const id = await storage.storeCheckpoint(checkpoint({ agentId: "to be copied" }));
    const digits =
      "(select 0 as d union select 1 union select 2 union select 3 union select 4 union select 5 union select 6 union select 7 union select 8 union select 9)";
    await pool.query(
      `insert into agent_checkpoints
       select unhex(concat(lpad(hex(1700000000000 + n), 12, '0'), '70008000', lpad(n, 12, '0'))),
         case when n <= ${ROWS / 10} then 'early' when n % 2 = 0 then 'big' else concat('agent ', n % 100) end,
         case when n > ${ROWS / 10} and n % 2 = 0 then concat('namespace ', n % 8) else '' end,
         name, null, null, null, created_at, metadata, encoding, state_bytes, digest,
         case when n <= ${PENDING} then n end, state
       from agent_checkpoints cross join (
         select 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d as n
         from ${digits} as a, ${digits} as b, ${digits} as c, ${digits} as e, ${digits} as f
       ) as numbers where id = ?`,
      [Buffer.from(id.replaceAll("-", ""), "hex")],
    );
    const buried = Array.from({ length: TOMBSTONES }, (_, at) => tombstoneOf(idOf(-at), 0, null));
    await dialect.commit({ bury: buried }, signal);
    // A chain of 64 at the end.
    for (let number = ROWS - 126; number <= ROWS; number += 2) {
      await pool.query(`update agent_checkpoints set base_id = ${bytesOf(number - 2)} where id = ${bytesOf(number)}`);
    }
    await pool.query("analyze table agent_checkpoints");
  });

  afterAll(async () => {
    await storage.close();
    await pool.end();
    await database.drop();
  });

  interface Step {
    readonly table: string | null;
    readonly type: string | null;
    readonly key: string | null;
    readonly Extra: string | null;
  }

  /** The steps of the plans of all statements that `call` sends, run again under EXPLAIN, and how many rows they read. */
  async function planOf(call: () => Promise<unknown>): Promise<{ steps: Step[]; read: number }> {
    sent = [];
    await call();
    const statements = sent.filter(([text]) => text.includes("agent_checkpoint"));
    expect(statements.length).toBeGreaterThan(0);
    const steps: Step[] = [];
    const connection = await pool.getConnection();
    const rowsRead = async () => {
      const [counters] = await connection.query("show session status like 'Handler_read%'");
      return (counters as { Value: string }[]).reduce((sum, { Value }) => sum + Number(Value), 0);
    };
    const before = await rowsRead();
    const idle = (await rowsRead()) - before;
    for (const [text, parameters] of statements) await connection.query(text, parameters);
    const read = (await rowsRead()) - before - 2 * idle;
    expect(read).toBeGreaterThan(0);
    for (const [text, parameters] of statements) {
      const [explained] = await connection.query(`explain format=traditional ${text}`, parameters);
      steps.push(...(explained as Step[]));
    }
    connection.release();
    return { steps, read };
  }

  /** That the table is read by these indexes alone, without sorting, and not much more of it than so many rows. */
  async function expectIndexed(call: () => Promise<unknown>, rows: number, keys: readonly string[]): Promise<void> {
    const { steps, read } = await planOf(call);
    const ours = steps.filter(({ table }) => table?.startsWith("agent_checkpoint"));
    expect(ours.map(({ type }) => type)).not.toContain("ALL");
    expect(steps.filter(({ Extra }) => /filesort|temporary/.test(String(Extra)))).toEqual([]);
    expect([...new Set(ours.map(({ key }) => key))].sort()).toEqual([...keys].sort());
    expect(read).toBeLessThanOrEqual(rows + 10);
  }

  const { signal } = new AbortController();
  const BY_AGENT = ["agent_checkpoints_by_agent"];
  const BY_NAMESPACE = ["agent_checkpoints_by_namespace"];
  const BY_ID = ["PRIMARY"];

  it("has the rows that these tests are about", async () => {
    const [counts] = await pool.query(
      "select count(*) as `rows`, count(distinct agent_id) as agents, count(pending) as pending from agent_checkpoints",
    );
    expect(counts).toEqual([{ rows: ROWS + 1 + TOMBSTONES, agents: 54, pending: PENDING }]);
  });

  it("lists an agent's checkpoints by an index, and reads no more than the page", async () => {
    await expectIndexed(() => storage.listCheckpoints({ agentId: "big" }), 1_000, BY_AGENT);
    await expectIndexed(() => storage.listCheckpoints({ agentId: "agent 1", limit: 10 }), 10, BY_AGENT);
    await expectIndexed(() => storage.listCheckpoints({ agentId: "early", limit: 10 }), 10, BY_AGENT);
  });

  it("lists an agent's namespace by an index, and reads no more than the page", async () => {
    await expectIndexed(
      () => storage.listCheckpoints({ agentId: "big", namespace: "namespace 2" }),
      1_000,
      BY_NAMESPACE,
    );
    await expectIndexed(
      () => storage.listCheckpoints({ agentId: "early", namespace: "", limit: 10 }),
      10,
      BY_NAMESPACE,
    );
  });

  it("pages through an agent by an index, from either side", async () => {
    const middle = idOf(ROWS / 2);
    await expectIndexed(() => storage.listCheckpoints({ agentId: "big", before: middle, limit: 50 }), 50, BY_AGENT);
    await expectIndexed(() => storage.listCheckpoints({ agentId: "big", since: middle, limit: 50 }), 50, BY_AGENT);
    const between = { agentId: "big", since: idOf(ROWS / 2), before: idOf(ROWS / 2 + 1_000) };
    await expectIndexed(() => storage.listCheckpoints(between), 500, BY_AGENT);
    const inNamespace = { agentId: "big", namespace: "namespace 4", before: middle, limit: 50 };
    await expectIndexed(() => storage.listCheckpoints(inNamespace), 50, BY_NAMESPACE);
  });

  it("lists all agents' checkpoints by the primary key", async () => {
    await expectIndexed(() => storage.listCheckpoints({ limit: 100 }), 100, BY_ID);
    await expectIndexed(() => storage.listCheckpoints({ before: idOf(ROWS / 2), limit: 100 }), 100, BY_ID);
    await expectIndexed(() => storage.listCheckpoints({ since: idOf(ROWS / 2), limit: 100 }), 100, BY_ID);
  });

  it("finds the latest checkpoint of an agent by two index lookups", async () => {
    sent = [];
    await expect(storage.retrieveLatestCheckpoint("agent 1")).resolves.toMatchObject({ state: checkpoint().state });
    const [list] = sent;
    expect(list?.[0]).toContain("order by");
    await expectIndexed(
      () => storage.listCheckpoints({ agentId: "agent 1", namespace: "", limit: 1 }),
      1,
      BY_NAMESPACE,
    );
    expect(sent[0]?.[0]).toBe(list?.[0]); // it is the same statement
  });

  it("filters within an agent by its index, and within one namespace by that one's", async () => {
    for (const filter of [{ name: "none" }, { metadata: { none: true } }, { parentId: idOf(1) }]) {
      await expectIndexed(() => storage.listCheckpoints({ agentId: "agent 1", ...filter }), ROWS / 100, BY_AGENT);
      const within = { agentId: "big", namespace: "namespace 2", ...filter };
      await expectIndexed(() => storage.listCheckpoints(within), ROWS / 8, BY_NAMESPACE);
    }
  });

  it("reads a row and its bases by the primary key", async () => {
    const { steps, read } = await planOf(() => dialect.readChain(idOf(ROWS), signal));
    const ours = steps.filter(({ table }) => table?.startsWith("agent_checkpoint"));
    expect(ours.length).toBeGreaterThan(0);
    expect(new Set(ours.map(({ key }) => key))).toEqual(new Set(BY_ID));
    expect(ours.map(({ type }) => type)).not.toContain("ALL");
    expect(read).toBeLessThanOrEqual(10 * 65);
  });

  it("finds what builds on one row, and on hundreds, by the index of bases", async () => {
    for (const count of [1, 1_000]) {
      const ids = Array.from({ length: count }, (_, at) => idOf(ROWS - at));
      const { steps, read } = await planOf(() => dialect.dependents(ids, signal));
      expect(new Set(steps.map(({ key }) => key))).toEqual(new Set(["agent_checkpoints_base"]));
      expect(read).toBeLessThanOrEqual(2 * count + 3 * 64);
    }
  });

  it("counts an agent's rows by its index, and the longest chain by that of bases", async () => {
    expect(await dialect.stats("big", signal)).toMatchObject({ rows: ROWS * 0.45, longestChain: 65 });
    const { steps, read } = await planOf(() => dialect.stats("agent 1", signal));
    const keys = new Set(steps.filter(({ table }) => table === "agent_checkpoints").map(({ key }) => key));
    expect(keys).toContain("agent_checkpoints_base");
    for (const key of keys) expect(key).toMatch(/_(by_agent|by_namespace|after|base)$/);
    expect(read).toBeLessThanOrEqual((8 * ROWS) / 100);
  });

  it("counts the longest chain of all by the index of bases, with no scan for each length", async () => {
    const { read } = await planOf(() => dialect.stats(null, signal));
    expect(read).toBeLessThanOrEqual(8 * ROWS);
  });

  it("lists agents by one step of an index for each", async () => {
    expect(await storage.listAgents()).toHaveLength(53);
    expect(await storage.listAgents({ after: "agent 5", limit: 3 })).toEqual(["agent 51", "agent 53", "agent 55"]);
    const { read } = await planOf(() => storage.listAgents());
    expect(read).toBeLessThanOrEqual(10 * 54);
  });

  it("reads rows by the primary key, one and hundreds", async () => {
    for (const count of [1, 1_000]) {
      const ids = Array.from({ length: count }, (_, at) => idOf(ROWS - 50 * at));
      expect(await dialect.readRows(ids, signal)).toHaveLength(count);
      await expectIndexed(() => dialect.readRows(ids, signal), count, BY_ID);
    }
  });

  it("appends writes, and reads them, by the primary keys", async () => {
    const numbers = Array.from({ length: 5_000 }, (_, at) => ROWS - 10 * at);
    for (let at = 0; at < numbers.length; at += 500) {
      expect(await dialect.commit({ append: numbers.slice(at, at + 500).map(writeOf) }, signal)).toBe(true);
    }
    for (const count of [1, 100]) {
      const ids = numbers.slice(0, count).map(idOf);
      await expectIndexed(() => dialect.readWrites(ids, signal), 2 * count, BY_ID);
      const append = numbers.slice(0, count).map(writeOf);
      const { steps, read } = await planOf(() => dialect.commit({ append }, signal));
      expect(steps.map(({ type }) => type)).not.toContain("index");
      expect(read).toBeLessThanOrEqual(3 * count + 10);
    }
    const range = { since: idOf(ROWS - 1_000), before: idOf(ROWS) };
    await expectIndexed(() => dialect.writeKeys(range, signal), 100, BY_ID);
  });

  it("finds what is pending, and counts it, by the index of that", async () => {
    const byPending = ["agent_checkpoints_pending"];
    expect(await dialect.pending(PENDING, 2, signal)).toMatchObject([{ pending: 1 }, { pending: 2 }]);
    expect(await dialect.backlog(signal)).toMatchObject({ rows: PENDING, oldest: 1 });
    await expectIndexed(() => dialect.pending(PENDING, 100, signal), 100, byPending);
    await expectIndexed(() => dialect.pending(10, 100, signal), 10, byPending);
    await expectIndexed(() => dialect.pending(Number.MAX_SAFE_INTEGER, 1_000, signal), PENDING, byPending);
    await expectIndexed(() => dialect.backlog(signal), PENDING, byPending);
  });

  it("acknowledges and leases by the primary key, one row and a batch", async () => {
    const digest = Buffer.alloc(32); // nobody's
    for (const count of [1, 128]) {
      const ids = Array.from({ length: count }, (_, at) => idOf(at + 1));
      const acknowledge = ids.map((id, at) => ({ id, digest, pending: at + 1 }));
      const lease = ids.map((id, at) => ({ id, fromPending: at + 1, pending: at + 1 }));
      for (const change of [{ acknowledge }, { lease }]) {
        expect(await dialect.commit(change, signal)).toBe(true);
        const { steps, read } = await planOf(() => dialect.commit(change, signal));
        expect(new Set(steps.map(({ key }) => key))).toEqual(new Set(BY_ID));
        expect(steps.map(({ type }) => type)).not.toContain("index"); // the whole of it
        expect(read).toBeLessThanOrEqual(2 * sent.length * count + 10);
      }
    }
  });

  it("counts rows between two ids, and tombstones too, in indexes alone", async () => {
    expect(await dialect.count({}, signal)).toBe(ROWS + 1);
    expect(await dialect.count({ since: idOf(ROWS - 10), before: idOf(ROWS + 1) }, signal)).toBe(10);
    const range = { since: idOf(ROWS - 1_000), before: idOf(ROWS + 1) };
    await expectIndexed(() => dialect.count(range, signal), 1_000, [...BY_AGENT, ...BY_ID]);
  });

  it("deletes a checkpoint, and looks for its dependents, by indexes", async () => {
    const { read } = await planOf(() => storage.deleteCheckpoint(idOf(1)));
    expect(read).toBeLessThanOrEqual(10);
    const [steps] = await pool.query(
      `explain format=traditional select 1 from agent_checkpoints where base_id = ${bytesOf(1)}`,
    );
    expect(steps).toMatchObject([{ key: "agent_checkpoints_base" }]);
  });
});
