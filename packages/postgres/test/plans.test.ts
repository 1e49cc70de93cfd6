import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createDatabase, type TestDatabase } from "waymark-test-servers";
import { type CheckpointStorage, createPostgresStorage } from "../src/index.ts";
import { checkpoint, sharedServer } from "./on-server.ts";

/**
 * One agent with half of the rows, in four namespaces; one who has the oldest tenth, and whose latest is therefore not
 * near anything that is new; and fifty others with the rest.
 */
const ROWS = 100_000;

let database: TestDatabase;
let client: Sql;
let storage: CheckpointStorage;
/** What the storage has sent, with its parameters. */
let sent: [text: string, parameters: never[]][] = [];

const idOf = (number: number) => {
  const hex = (1_700_000_000_000 + number).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(number).padStart(12, "0")}`;
};

beforeAll(async () => {
  database = await createDatabase(sharedServer());
  client = postgres(database.url, { max: 2, fetch_types: false, onnotice: () => {} });
  const listening = Object.assign(() => {}, {
    begin: client.begin,
    end: client.end,
    unsafe(text: string, parameters: never[] = [], options = {}) {
      sent.push([text, parameters]);
      return client.unsafe(text, parameters, options);
    },
  });
  storage = createPostgresStorage({ client: listening });
  const id = await storage.storeCheckpoint(checkpoint({ agentId: "to be copied" }));
  await client`
    insert into agent_checkpoints
    select (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(n::text, 12, '0'))::uuid,
      case when n <= ${ROWS / 10} then 'early' when n % 2 = 0 then 'big' else 'agent ' || n % 100 end,
      case when n > ${ROWS / 10} and n % 2 = 0 then 'namespace ' || n % 8 else '' end,
      name, null, null, null, created_at, metadata, encoding, state_bytes, digest, null, state
    from agent_checkpoints cross join generate_series(1, ${ROWS}) as n
    where id = ${id}`;
  // A chain of 64 at the end.
  await client`update agent_checkpoints set base_id = ${idOf(ROWS - 2)} where id = ${idOf(ROWS)}`;
  for (let number = ROWS - 126; number < ROWS; number += 2) {
    await client`update agent_checkpoints set base_id = ${idOf(number - 2)} where id = ${idOf(number)}`;
  }
  await client`vacuum analyze agent_checkpoints`;
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

/** The nodes of the plans of all statements that `call` sends, run again under EXPLAIN. */
async function nodesOf(call: () => Promise<unknown>): Promise<Node[]> {
  sent = [];
  await call();
  const statements = sent.filter(([text]) => text.includes("agent_checkpoints"));
  expect(statements.length).toBeGreaterThan(0);
  const nodes: Node[] = [];
  const walk = (node: Node): void => {
    nodes.push(node);
    node.Plans?.forEach(walk);
  };
  for (const [text, parameters] of statements) {
    const rows = await client.unsafe(`explain (analyze, format json) ${text}`, parameters).values();
    for (const [[{ Plan }]] of rows as unknown as [[{ Plan: Node }]][]) walk(Plan);
  }
  return nodes;
}

/** That no more rows of the table are touched than so many, all of them by an index, and that they need no sorting. */
async function expectIndexed(call: () => Promise<unknown>, rows: number, indexes: readonly string[]): Promise<void> {
  const nodes = await nodesOf(call);
  const types = nodes.map((node) => node["Node Type"]);
  expect(types).not.toContain("Seq Scan");
  expect(types.filter((type) => /sort|bitmap/i.test(type))).toEqual([]);
  const used = nodes.flatMap((node) => node["Index Name"] ?? []);
  expect([...new Set(used)].sort()).toEqual([...indexes].sort());
  const touched = nodes
    .filter((node) => node["Index Name"] !== undefined)
    .map((node) => (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0)) * node["Actual Loops"]);
  expect(touched.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(rows);
}

const BY_AGENT = ["agent_checkpoints_by_agent"];
const BY_NAMESPACE = ["agent_checkpoints_by_namespace"];
const BY_ID = ["agent_checkpoints_pkey"];

it("has the rows that these tests are about", async () => {
  const [counts] =
    await client`select count(*)::int as rows, count(distinct agent_id)::int as agents from agent_checkpoints`;
  expect(counts).toEqual({ rows: ROWS + 1, agents: 53 });
});

it("lists an agent's checkpoints by an index, and reads no more than the page", async () => {
  await expectIndexed(() => storage.listCheckpoints({ agentId: "big" }), 1_000, BY_AGENT);
  await expectIndexed(() => storage.listCheckpoints({ agentId: "agent 1", limit: 10 }), 10, BY_AGENT);
  await expectIndexed(() => storage.listCheckpoints({ agentId: "early", limit: 10 }), 10, BY_AGENT);
});

it("lists an agent's namespace by an index, and reads no more than the page", async () => {
  await expectIndexed(() => storage.listCheckpoints({ agentId: "big", namespace: "namespace 2" }), 1_000, BY_NAMESPACE);
  await expectIndexed(() => storage.listCheckpoints({ agentId: "early", namespace: "", limit: 10 }), 10, BY_NAMESPACE);
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
  const nodes = await nodesOf(() => storage.listCheckpoints({ agentId: "agent 1", namespace: "", limit: 1 }));
  expect(nodes.flatMap((node) => node["Index Name"] ?? [])).toEqual(BY_NAMESPACE);
  expect(sent[0]?.[0]).toBe(list?.[0]); // it is the same statement
});

it("reads a checkpoint and its bases by the primary key", async () => {
  const nodes = await nodesOf(() =>
    storage.retrieveCheckpoint(idOf(ROWS)).catch(() => "a delta, which is not read yet"),
  );
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  expect(new Set(nodes.flatMap((node) => node["Index Name"] ?? []))).toEqual(new Set(BY_ID));
  const touched = nodes
    .filter((node) => node["Index Name"] !== undefined)
    .map((node) => node["Actual Rows"] * node["Actual Loops"]);
  expect(touched.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(3 * 65);
});

it("lists agents by one step of an index for each", async () => {
  expect(await storage.listAgents()).toHaveLength(53);
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

it("deletes a checkpoint by the primary key, and looks for its dependents by an index", async () => {
  const nodes = await nodesOf(() => storage.deleteCheckpoint(idOf(1)));
  expect(nodes.map((node) => node["Node Type"])).not.toContain("Seq Scan");
  const [plan] =
    await client`explain (format json) select 1 from agent_checkpoints where base_id = ${idOf(1)}`.values();
  expect(JSON.stringify(plan)).toContain("agent_checkpoints_base");
});
