import { describeListPlans, planId as idOf, newTombstone, newWrite, PLAN_ROWS as ROWS } from "@waymark/conformance";
import type { Dialect, Outbox } from "@waymark/core/kit";
import { type CheckpointStorage, createPostgresStorage } from "@waymark/postgres";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import { checkpoint, createDialect, recordingClient, sharedServer } from "./on-server.ts";

/** The oldest rows are pending, each since a time of its own. Below them all are tombstones. */
const PENDING = 300;
const TOMBSTONES = 500;
/** A label of the newest half of the rows, and one of the oldest tenth. */
const [COMMON, RARE] = [idOf(1), idOf(2)];

let database: TestDatabase;
let client: Sql;
let storage: CheckpointStorage;
let dialect: Dialect;
let outbox: Outbox;
/** Statements that were sent, with their parameters. */
let sent: [text: string, parameters: readonly unknown[]][];

beforeAll(async () => {
  database = await createDatabase(sharedServer());
  client = postgres(database.url, { max: 2, fetch_types: false, onnotice: () => {} });
  const recording = recordingClient(client);
  sent = recording.sent;
  storage = createPostgresStorage({ client: recording.client });
  dialect = createDialect({ client: recording.client });
  outbox = dialect.outbox as Outbox;
  const id = await storage.storeCheckpoint(checkpoint({ agentId: "to be copied" }));
  await client`
    insert into agent_checkpoints
    select (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(n::text, 12, '0'))::uuid,
      case when n <= ${ROWS / 10} then 'early' when n % 2 = 0 then 'big' else 'agent ' || n % 100 end,
      case when n > ${ROWS / 10} and n % 2 = 0 then 'namespace ' || n % 8 else '' end,
      name, null, null, null, created_at, metadata, encoding, state_bytes, digest,
      case when n <= ${PENDING} then n end, state
    from agent_checkpoints cross join generate_series(1, ${ROWS}) as n
    where id = ${id}`;
  const insertTombstones = Array.from({ length: TOMBSTONES }, (_, index) => ({ ...newTombstone(0), id: idOf(-index) }));
  await outbox.commit({ insertTombstones }, signal);
  // A chain of 64 at the end.
  await client`update agent_checkpoints set base_id = ${idOf(ROWS - 2)} where id = ${idOf(ROWS)}`;
  for (let number = ROWS - 126; number < ROWS; number += 2) {
    await client`update agent_checkpoints set base_id = ${idOf(number - 2)} where id = ${idOf(number)}`;
  }
  for (const [label, agentId] of [
    [COMMON, "big"],
    [RARE, "early"],
  ] as const) {
    await client`insert into agent_checkpoint_labels
      select ${label}::uuid, id, agent_id from agent_checkpoints where agent_id = ${agentId} or agent_id = 'agent 1'`;
  }
  await client`vacuum analyze agent_checkpoints, agent_checkpoint_labels`;
});

afterAll(async () => {
  await storage.close();
  await client.end();
  await database.drop();
});

interface Node {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly Node[];
}

/** Makes a call, runs its statements again under EXPLAIN, and returns the nodes of their plans. */
async function nodesOf(call: () => Promise<unknown>): Promise<Node[]> {
  sent.length = 0;
  await call();
  const statements = sent.filter(([text]) => text.includes("agent_checkpoint"));
  expect(statements.length).toBeGreaterThan(0);
  const nodes: Node[] = [];
  const walk = (node: Node): void => {
    nodes.push(node);
    node.Plans?.forEach(walk);
  };
  for (const [text, parameters] of statements) {
    const rows = await client.unsafe(`explain (analyze, format json) ${text}`, parameters as never[]).values();
    for (const [[{ Plan }]] of rows as unknown as [[{ Plan: Node }]][]) walk(Plan);
  }
  return nodes;
}

/** Expects that a call reads no more than this many rows, all of them by these indexes, and sorts none. */
async function expectIndexed(call: () => Promise<unknown>, rows: number, indexes: readonly string[]): Promise<void> {
  const nodes = await nodesOf(call);
  const types = nodes.map((node) => node["Node Type"]);
  expect(types).not.toContain("Seq Scan");
  expect(types.filter((type) => /sort|bitmap/i.test(type))).toEqual([]);
  const used = nodes.flatMap((node) => node["Index Name"] ?? []);
  expect([...new Set(used)].sort()).toEqual([...indexes].sort());
  expect(countRows(nodes)).toBeLessThanOrEqual(rows);
}

/** Counts the rows that were read by an index. */
function countRows(nodes: readonly Node[]): number {
  return nodes
    .filter((node) => node["Index Name"] !== undefined)
    .map((node) => (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"])
    .reduce((sum, count) => sum + count, 0);
}

const { signal } = new AbortController();
const BY_NAMESPACE = ["agent_checkpoints_by_namespace"];
const BY_ID = ["agent_checkpoints_pkey"];

it("has the rows that these tests are about", async () => {
  const [counts] =
    await client`select count(*)::int as rows, count(distinct agent_id)::int as agents, count(pending)::int as pending
      from agent_checkpoints`;
  expect(counts).toEqual({ rows: ROWS + 1 + TOMBSTONES, agents: 54, pending: PENDING });
});

describeListPlans({
  storage: () => storage,
  expectIndexed,
  indexes: {
    byId: "agent_checkpoints_pkey",
    byAgent: "agent_checkpoints_by_agent",
    byNamespace: "agent_checkpoints_by_namespace",
  },
});

it("finds the latest checkpoint of an agent by two index lookups", async () => {
  sent.length = 0;
  await expect(storage.retrieveLatestCheckpoint("agent 1")).resolves.toMatchObject({ state: checkpoint().state });
  const [list] = sent;
  expect(list?.[0]).toContain("order by");
  const nodes = await nodesOf(() => storage.listCheckpoints({ agentId: "agent 1", namespace: "", limit: 1 }));
  expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(BY_NAMESPACE);
  expect(sent[0]?.[0]).toBe(list?.[0]); // it is the same statement
});

it("filters an agent's checkpoints, and those of one namespace, by an index, and reads no other agent's", async () => {
  for (const filter of [{ name: "none" }, { metadata: { none: true } }, { parentId: idOf(1) }]) {
    for (const agent of [{ agentId: "agent 1" }, { agentId: "agent 1", namespace: "" }]) {
      const nodes = await nodesOf(() => storage.listCheckpoints({ ...agent, ...filter }));
      expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
      expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual([
        expect.stringMatching(/_by_(agent|namespace)$/),
      ]);
      expect(countRows(nodes)).toBeLessThanOrEqual(ROWS / 100);
    }
  }
});

it("lists the rows with a label by their index, and their agents by one step of an index for each", async () => {
  const { labels } = dialect as Required<Dialect>;
  const both = ["agent_checkpoint_labels_pk", "agent_checkpoints_pkey"];
  for (const label of [COMMON, RARE]) {
    for (const query of [{ limit: 20 }, { before: idOf(ROWS / 20), limit: 20 }]) {
      const found = await labels.list(label, query, signal);
      expect(found.length).toBe(label === COMMON && query.before !== undefined ? 0 : 20);
      await expectIndexed(() => labels.list(label, query, signal), 40, both);
    }
    expect(await labels.agents(label, null, 10, signal)).toEqual(["agent 1", label === COMMON ? "big" : "early"]);
    const nodes = await nodesOf(() => labels.agents(label, null, 10, signal));
    const scans = nodes.filter((node) => node["Index Name"] !== undefined);
    expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
    expect(new Set(scans.map((node) => node["Index Name"]))).toEqual(new Set(["agent_checkpoint_labels_by_agent"]));
    expect(countRows(nodes)).toBeLessThanOrEqual(3);
  }
  const change = { label: [1, 2, 3].map((number) => ({ checkpointId: idOf(number), label: RARE })) };
  const nodes = await nodesOf(() => dialect.commit(change, signal));
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  expect(countRows(nodes)).toBeLessThanOrEqual(3);
});

it("reads a row and its bases by the primary key", async () => {
  const nodes = await nodesOf(() => dialect.readChain(idOf(ROWS), signal));
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  expect(new Set(nodes.flatMap((node) => node["Index Name"] ?? []))).toEqual(new Set(BY_ID));
  expect(countRows(nodes)).toBeLessThanOrEqual(3 * 65);
});

it("finds the dependents of one row, and of hundreds, by the index of bases", async () => {
  for (const count of [1, 1_000]) {
    const ids = Array.from({ length: count }, (_, index) => idOf(ROWS - index));
    const nodes = await nodesOf(() => dialect.dependents(ids, signal));
    expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
    expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(["agent_checkpoints_base"]);
    expect(countRows(nodes)).toBeLessThanOrEqual(64);
  }
});

it("counts an agent's rows by its index, and the longest chain by that of bases", async () => {
  expect(await dialect.stats("big", signal)).toMatchObject({ rows: ROWS * 0.45, longestChain: 65 });
  const nodes = await nodesOf(() => dialect.stats("agent 1", signal));
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  const used = new Set(nodes.flatMap((node) => node["Index Name"] ?? []));
  expect(used).toContain("agent_checkpoints_base");
  for (const index of used) expect(index).toMatch(/_(by_agent|by_namespace|after|base)$/);
  expect(countRows(nodes)).toBeLessThanOrEqual((3 * ROWS) / 100);
});

it("counts the longest chain of all by the index of bases, with no scan for each length", async () => {
  const nodes = await nodesOf(() => dialect.stats(null, signal));
  const scans = nodes.filter((node) => node["Node Type"] === "Seq Scan");
  expect(scans.map((node) => node["Actual Loops"]).every((loops) => loops <= 3)).toBe(true); // one by parallel workers
  expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toContain("agent_checkpoints_base");
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Hash Join");
});

it("lists agents by one step of an index for each", async () => {
  expect(await storage.listAgents()).toHaveLength(53);
  expect(await storage.listAgents({ after: "agent 5", limit: 3 })).toEqual(["agent 51", "agent 53", "agent 55"]);
  const nodes = await nodesOf(() => storage.listAgents());
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  const scans = nodes.filter((node) => node["Index Name"] !== undefined);
  expect(scans.length).toBeGreaterThan(0);
  for (const scan of scans) {
    expect(scan["Index Name"]).toMatch(/_(by_agent|by_namespace|after)$/);
    expect(scan["Actual Rows"]).toBeLessThanOrEqual(1);
    expect(scan["Actual Loops"]).toBeLessThanOrEqual(54);
  }
});

it("reads rows by the primary key, one and hundreds", async () => {
  for (const count of [1, 1_000]) {
    const ids = Array.from({ length: count }, (_, at) => idOf(ROWS - 50 * at));
    expect(await dialect.readRows(ids, signal)).toHaveLength(count);
    const nodes = await nodesOf(() => dialect.readRows(ids, signal));
    expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
    expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(BY_ID);
    expect(countRows(nodes)).toBeLessThanOrEqual(count);
  }
});

const writeOf = (number: number) => newWrite(0, { checkpointId: idOf(number) });

it("appends writes, and reads them, by the primary keys", async () => {
  const numbers = Array.from({ length: 5_000 }, (_, at) => ROWS - 10 * at);
  for (let at = 0; at < numbers.length; at += 1_000) {
    expect(await dialect.commit({ append: numbers.slice(at, at + 1_000).map(writeOf) }, signal)).toBe(true);
  }
  await client`analyze agent_checkpoint_writes`;
  for (const count of [1, 20]) {
    const ids = numbers.slice(0, count).map(idOf);
    for (const read of [
      () => dialect.readTaskWrites(ids, signal),
      () => dialect.areWrittenSince(ids, idOf(1), signal),
    ]) {
      const reading = await nodesOf(read);
      expect(reading.flatMap((node) => node["Index Name"] ?? [])).toEqual(["agent_checkpoint_writes_pk"]);
      expect(countRows(reading)).toBeLessThanOrEqual(count);
    }
    const markPending = ids.map((id) => ({ id, pending: 1_000_000 }));
    const appending = await nodesOf(() =>
      outbox.commit({ append: numbers.slice(0, count).map(writeOf), markPending }, signal),
    );
    expect(appending.map((node) => node["Node Type"])).not.toContain("Seq Scan");
    expect(new Set(appending.flatMap((node) => node["Index Name"] ?? []))).toEqual(new Set(BY_ID));
    expect(countRows(appending)).toBeLessThanOrEqual(2 * count);
  }
  const range = { since: idOf(ROWS - 1_000), before: idOf(ROWS) };
  const listing = await nodesOf(() => dialect.taskWriteKeys(range, signal));
  expect(listing.flatMap((node) => node["Index Name"] ?? [])).toEqual(["agent_checkpoint_writes_pk"]);
  expect(countRows(listing)).toBeLessThanOrEqual(100);
  const ofTasks = await nodesOf(() => dialect.writeKeysOfTasks(idOf(ROWS), ["task", "other"], signal));
  expect(ofTasks.flatMap((node) => node["Index Name"] ?? [])).toEqual(["agent_checkpoint_writes_pk"]);
  expect(countRows(ofTasks)).toBeLessThanOrEqual(1);
  await client`update agent_checkpoints set pending = null where pending >= 1000000`;
});

it("lists and counts pending rows by their index", async () => {
  expect(await outbox.pending(PENDING, 2, signal)).toMatchObject([{ pending: 1 }, { pending: 2 }]);
  expect(await outbox.backlog(signal)).toMatchObject({ rows: PENDING, oldest: 1 });
  for (const call of [
    () => outbox.pending(PENDING, 100, signal),
    () => outbox.pending(10, 100, signal),
    () => outbox.pending(Number.MAX_SAFE_INTEGER, 1_000, signal),
    () => outbox.backlog(signal),
  ]) {
    const nodes = await nodesOf(call);
    expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
    expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(["agent_checkpoints_pending"]);
    expect(countRows(nodes)).toBeLessThanOrEqual(PENDING);
  }
});

it("acknowledges and leases by the primary key, one row and a batch", async () => {
  const digest = Buffer.alloc(32); // no row has it
  for (const count of [1, 128]) {
    const ids = Array.from({ length: count }, (_, at) => idOf(at + 1));
    const acknowledge = ids.map((id, at) => ({ id, digest, pending: at + 1 }));
    const lease = ids.map((id, at) => ({ id, fromPending: at + 1, pending: at + 1 }));
    for (const change of [{ acknowledge }, { lease }]) {
      expect(await outbox.commit(change, signal)).toBe(true);
      const nodes = await nodesOf(() => outbox.commit(change, signal));
      expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
      expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(BY_ID);
      expect(countRows(nodes)).toBeLessThanOrEqual(2 * count); // a row has two versions once it is leased
    }
  }
});

it("counts rows between two ids, and tombstones too, in indexes alone", async () => {
  expect(await outbox.count({}, signal)).toBe(ROWS + 1);
  expect(await outbox.count({ since: idOf(ROWS - 10), before: idOf(ROWS + 1) }, signal)).toBe(10);
  const nodes = await nodesOf(() => outbox.count({ since: idOf(ROWS - 1_000), before: idOf(ROWS + 1) }, signal));
  const scans = nodes.filter((node) => node["Index Name"] !== undefined);
  expect(scans.map((node) => node["Node Type"])).toEqual(["Index Only Scan", "Index Only Scan"]);
  expect(countRows(nodes)).toBeLessThanOrEqual(1_000);
});

it("deletes a checkpoint by the primary key, and looks for its dependents by an index", async () => {
  const nodes = await nodesOf(() => storage.deleteCheckpoint(idOf(1)));
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  const [plan] =
    await client`explain (format json) select 1 from agent_checkpoints where base_id = ${idOf(1)}`.values();
  expect(JSON.stringify(plan)).toContain("agent_checkpoints_base");
});
