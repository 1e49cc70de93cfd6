import { describeListPlans, planId as idOf, newTombstone, newWrite, PLAN_ROWS as ROWS } from "@waymark/conformance";
import type { Dialect, Outbox } from "@waymark/core/kit";
import { type CheckpointStorage, createMySQLStorage } from "@waymark/mysql";
import { createPool, type Pool } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import { checkpoint, createDialect, servers } from "./on-server.ts";

/** The oldest rows are pending, each since a time of its own. Below them all are tombstones. */
const PENDING = 300;
const TOMBSTONES = 500;
/** A label of the newest half of the rows, and one of the oldest tenth. */
const [COMMON, RARE] = [idOf(1), idOf(2)];

const bytesOf = (number: number) => `x'${idOf(number).replaceAll("-", "")}'`;

const writeOf = (number: number) => newWrite(0, { checkpointId: idOf(number) });

describe.each(servers)("$title", ({ url: serverUrl }) => {
  let database: TestDatabase;
  let pool: Pool;
  let storage: CheckpointStorage;
  let dialect: Dialect;
  let outbox: Outbox;
  /** Statements that were sent, with their parameters. */
  let sent: [text: string, parameters: unknown[]][] = [];

  beforeAll(async () => {
    database = await createDatabase(serverUrl);
    pool = createPool({ uri: database.url, connectionLimit: 2 });
    const recording = {
      async getConnection() {
        const connection = await pool.getConnection();
        const query = connection.query.bind(connection) as unknown as (
          text: string | { sql: string },
          parameters?: unknown[],
        ) => Promise<never>;
        return Object.assign(connection, {
          query(text: string | { sql: string }, parameters: unknown[] = []) {
            // A text alone sets up a connection that is new.
            sent.push([typeof text === "string" ? text : text.sql, parameters]);
            return query(text, parameters);
          },
        });
      },
      query: pool.query.bind(pool),
      end: pool.end.bind(pool),
    };
    storage = createMySQLStorage({ pool: recording });
    dialect = createDialect({ pool: recording });
    outbox = dialect.outbox as Outbox;
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
    const insertTombstones = Array.from({ length: TOMBSTONES }, (_, index) => ({
      ...newTombstone(0),
      id: idOf(-index),
    }));
    await outbox.commit({ insertTombstones }, signal);
    // A chain of 64 at the end.
    for (let number = ROWS - 126; number <= ROWS; number += 2) {
      await pool.query(`update agent_checkpoints set base_id = ${bytesOf(number - 2)} where id = ${bytesOf(number)}`);
    }
    for (const [label, agentId] of [
      [COMMON, "big"],
      [RARE, "early"],
    ] as const) {
      await pool.query(`insert into agent_checkpoint_labels select x'${label.replaceAll("-", "")}', id, agent_id
        from agent_checkpoints where agent_id = '${agentId}' or agent_id = 'agent 1'`);
    }
    await pool.query("analyze table agent_checkpoints, agent_checkpoint_labels");
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

  /** Makes a call, runs its statements again, and returns the steps of their plans and the number of rows that they read. */
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

  /** Expects that a call reads no more than this many rows, and a few, by these indexes alone, and sorts none. */
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

  describeListPlans({
    storage: () => storage,
    expectIndexed,
    indexes: {
      byId: "PRIMARY",
      byAgent: "agent_checkpoints_by_agent",
      byNamespace: "agent_checkpoints_by_namespace",
    },
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

  it("filters an agent's checkpoints by its index, and those of one namespace by that of namespaces", async () => {
    for (const filter of [{ name: "none" }, { metadata: { none: true } }, { parentId: idOf(1) }]) {
      await expectIndexed(() => storage.listCheckpoints({ agentId: "agent 1", ...filter }), ROWS / 100, BY_AGENT);
      const inNamespace = { agentId: "big", namespace: "namespace 2", ...filter };
      await expectIndexed(() => storage.listCheckpoints(inNamespace), ROWS / 8, BY_NAMESPACE);
    }
  });

  it("lists the rows with a label by their index, and their agents by one step of an index for each", async () => {
    const { labels } = dialect as Required<Dialect>;
    for (const label of [COMMON, RARE]) {
      for (const query of [{ limit: 20 }, { before: idOf(ROWS / 2), limit: 20 }]) {
        expect(await labels.list(label, query, signal)).toHaveLength(20);
        await expectIndexed(() => labels.list(label, query, signal), 40, BY_ID);
      }
      expect(await labels.agents(label, null, 10, signal)).toEqual(["agent 1", label === COMMON ? "big" : "early"]);
      const { steps, read } = await planOf(() => labels.agents(label, null, 10, signal));
      expect(steps).toMatchObject([{ Extra: expect.stringContaining("Using index for group-by") }]);
      expect(read).toBeLessThanOrEqual(10);
    }
    const label = [1, 2, 3].map((number) => ({ checkpointId: idOf(number), label: RARE }));
    const { steps, read } = await planOf(() => dialect.commit({ label }, signal));
    const ours = steps.filter(({ table }) => table?.startsWith("agent_checkpoint"));
    expect(ours.map(({ type }) => type)).not.toContain("index");
    expect(read).toBeLessThanOrEqual(40);
  });

  it("reads a row and its bases by the primary key", async () => {
    const { steps, read } = await planOf(() => dialect.readChain(idOf(ROWS), signal));
    const ours = steps.filter(({ table }) => table?.startsWith("agent_checkpoint"));
    expect(ours.length).toBeGreaterThan(0);
    expect(new Set(ours.map(({ key }) => key))).toEqual(new Set(BY_ID));
    expect(ours.map(({ type }) => type)).not.toContain("ALL");
    expect(read).toBeLessThanOrEqual(10 * 65);
  });

  it("finds the dependents of one row, and of hundreds, by the index of bases", async () => {
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
      await expectIndexed(() => dialect.readTaskWrites(ids, signal), 2 * count, BY_ID);
      await expectIndexed(() => dialect.areWrittenSince(ids, idOf(1), signal), 2 * count, BY_ID);
      const append = numbers.slice(0, count).map(writeOf);
      const { steps, read } = await planOf(() => dialect.commit({ append }, signal));
      expect(steps.map(({ type }) => type)).not.toContain("index");
      expect(read).toBeLessThanOrEqual(3 * count + 10);
    }
    const range = { since: idOf(ROWS - 1_000), before: idOf(ROWS) };
    await expectIndexed(() => dialect.taskWriteKeys(range, signal), 100, BY_ID);
    await expectIndexed(() => dialect.writeKeysOfTasks(idOf(ROWS), ["task", "other"], signal), 4, BY_ID);
  });

  it("lists and counts pending rows by their index", async () => {
    const byPending = ["agent_checkpoints_pending"];
    expect(await outbox.pending(PENDING, 2, signal)).toMatchObject([{ pending: 1 }, { pending: 2 }]);
    expect(await outbox.backlog(signal)).toMatchObject({ rows: PENDING, oldest: 1 });
    await expectIndexed(() => outbox.pending(PENDING, 100, signal), 100, byPending);
    await expectIndexed(() => outbox.pending(10, 100, signal), 10, byPending);
    await expectIndexed(() => outbox.pending(Number.MAX_SAFE_INTEGER, 1_000, signal), PENDING, byPending);
    await expectIndexed(() => outbox.backlog(signal), PENDING, byPending);
  });

  it("acknowledges and leases by the primary key, one row and a batch", async () => {
    const digest = Buffer.alloc(32); // no row has it
    for (const count of [1, 128]) {
      const ids = Array.from({ length: count }, (_, at) => idOf(at + 1));
      const acknowledge = ids.map((id, at) => ({ id, digest, pending: at + 1 }));
      const lease = ids.map((id, at) => ({ id, fromPending: at + 1, pending: at + 1 }));
      for (const change of [{ acknowledge }, { lease }]) {
        expect(await outbox.commit(change, signal)).toBe(true);
        const { steps, read } = await planOf(() => outbox.commit(change, signal));
        expect(new Set(steps.map(({ key }) => key))).toEqual(new Set(BY_ID));
        expect(steps.map(({ type }) => type)).not.toContain("index"); // a scan of the whole index
        expect(read).toBeLessThanOrEqual(2 * sent.length * count + 10);
      }
    }
  });

  it("counts rows between two ids, and tombstones too, in indexes alone", async () => {
    expect(await outbox.count({}, signal)).toBe(ROWS + 1);
    expect(await outbox.count({ since: idOf(ROWS - 10), before: idOf(ROWS + 1) }, signal)).toBe(10);
    const range = { since: idOf(ROWS - 1_000), before: idOf(ROWS + 1) };
    await expectIndexed(() => outbox.count(range, signal), 1_000, [...BY_AGENT, ...BY_ID]);
  });

  it("deletes a checkpoint, and looks for its dependents, by indexes", async () => {
    await storage.deleteCheckpoint(idOf(3)); // the first one also asks whether the database has a backup
    const { read } = await planOf(() => storage.deleteCheckpoint(idOf(1)));
    expect(read).toBeLessThanOrEqual(10);
    const [steps] = await pool.query(
      `explain format=traditional select 1 from agent_checkpoints where base_id = ${bytesOf(1)}`,
    );
    expect(steps).toMatchObject([{ key: "agent_checkpoints_base" }]);
  });
});
