import type { AgentCheckpointListItem, CheckpointStorage } from "@waymark/core";
import BetterSqlite3 from "better-sqlite3";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import postgres from "postgres";
import type { Place } from "../databases.ts";
import { figure } from "../print.ts";
import { type Random, randomOf } from "../random.ts";
import type { Context, Outcome, Workload } from "../report.ts";
import { median, timed } from "../statistics.ts";
import { openWaymark } from "../systems/waymark.ts";

/** A million checkpoints, and ten thousand: does a query cost more because there are more rows? */
export const rows: Workload = {
  id: "C",
  title: "a million rows",
  runsOn: (database) => database !== "postgres-vector",
  run,
};

const SIZES = [10_000, 1_000_000];
const QUICK_SIZES = [10_000, 20_000];
/** The same at both sizes, which differ in the number of other rows alone. */
const ROWS_PER_AGENT = 100;
const SAMPLES = 100;
const PAGE = 20;
const ROWS_PER_STATEMENT = 500;

interface Filled {
  readonly size: number;
  readonly place: Place;
  readonly storage: CheckpointStorage;
}

/** The agent and the id of a row, computed without reading it. */
const agentOf = (agent: number) => `agent-${String(agent).padStart(6, "0")}`;
const idOf = (row: number) => {
  const hex = (Date.UTC(2025, 0, 1) + row * 50).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-${row.toString(16).padStart(12, "0")}`;
};

/** Rows come in turns: agent 0, 1, 2 …, then all again. */
const rowOf = (agent: number, turn: number, size: number) => turn * (size / ROWS_PER_AGENT) + agent;

interface Query {
  readonly name: string;
  /** Asks for something that is there, each time something else, and returns what came. */
  ask(filled: Filled, random: Random): Promise<unknown[]>;
  readonly expected: number;
}

const anyAgent = ({ size }: Filled, random: Random) => random.below(size / ROWS_PER_AGENT);
const anyTurn = (random: Random) => 1 + random.below(ROWS_PER_AGENT - 1);

const QUERIES: readonly Query[] = [
  {
    name: "retrieve by id",
    expected: 1,
    async ask({ storage, size }, random) {
      return [await storage.retrieveCheckpoint(idOf(random.below(size)))].filter(Boolean);
    },
  },
  {
    name: "latest of an agent",
    expected: 1,
    async ask(filled, random) {
      return [await filled.storage.retrieveLatestCheckpoint(agentOf(anyAgent(filled, random)))].filter(Boolean);
    },
  },
  {
    name: "newest 20 of all",
    expected: PAGE,
    ask: async ({ storage }) => await storage.listCheckpoints({ limit: PAGE }),
  },
  {
    name: "20 of all, deep",
    expected: PAGE,
    ask: async ({ storage, size }, random) =>
      await storage.listCheckpoints({ limit: PAGE, before: idOf(PAGE + random.below(size - PAGE)) }),
  },
  {
    name: "newest 20 of an agent",
    expected: PAGE,
    ask: async (filled, random) =>
      await filled.storage.listCheckpoints({ agentId: agentOf(anyAgent(filled, random)), limit: PAGE }),
  },
  {
    name: "20 of an agent, deep",
    expected: PAGE,
    async ask(filled, random) {
      const agent = anyAgent(filled, random);
      const before = idOf(rowOf(agent, PAGE + random.below(ROWS_PER_AGENT - PAGE), filled.size));
      return await filled.storage.listCheckpoints({ agentId: agentOf(agent), limit: PAGE, before });
    },
  },
  {
    name: "an agent's, by name",
    expected: 1,
    ask: async (filled, random) =>
      await filled.storage.listCheckpoints({
        agentId: agentOf(anyAgent(filled, random)),
        name: `turn ${anyTurn(random)}`,
      }),
  },
  {
    name: "an agent's, by metadata",
    expected: 1,
    ask: async (filled, random) =>
      await filled.storage.listCheckpoints({
        agentId: agentOf(anyAgent(filled, random)),
        metadata: { turn: anyTurn(random) },
      }),
  },
  {
    name: "an agent's, by parentId",
    expected: 1,
    async ask(filled, random) {
      const agent = anyAgent(filled, random);
      const parentId = idOf(rowOf(agent, anyTurn(random) - 1, filled.size));
      return await filled.storage.listCheckpoints({ agentId: agentOf(agent), parentId });
    },
  },
  {
    name: "20 agents, anywhere",
    expected: PAGE,
    async ask(filled, random) {
      const after = random.below(Math.max(1, filled.size / ROWS_PER_AGENT - PAGE - 1));
      return await filled.storage.listAgents({ after: agentOf(after), limit: PAGE });
    },
  },
];

async function run({ database, options, progress }: Context): Promise<Outcome> {
  const sizes = options.quick ? QUICK_SIZES : SIZES;
  if (!options.systems.includes("waymark")) return { results: [], tables: [], goals: [], charts: [], failures: [] };
  const all: Filled[] = [];
  try {
    for (const size of sizes) {
      const place = await database.createPlace();
      const [milliseconds] = await timed(() => fill(place, size));
      progress(`${size} rows loaded (${figure(milliseconds / 1_000)} s)`);
      all.push({ size, place, storage: openWaymark(place) });
    }
    await database.settle();
    const times = new Map<string, number[]>();
    const random = randomOf(5);
    const key = (query: Query, { size }: Filled) => `${query.name} ${size}`;
    for (let sample = -SAMPLES / 5; sample < SAMPLES; sample += 1) {
      for (const query of QUERIES) {
        for (const filled of all) {
          const [milliseconds, found] = await timed(() => query.ask(filled, random));
          if (found.length !== query.expected) {
            throw new Error(`${query.name}: expected ${query.expected} of ${filled.size} rows, got ${found.length}`);
          }
          if (sample >= 0) times.set(key(query, filled), [...(times.get(key(query, filled)) ?? []), milliseconds]);
        }
      }
    }
    await expectSameAgents(all);
    const p50 = (query: Query, filled: Filled) => median(times.get(key(query, filled)) ?? []);
    const [few, many] = all as [Filled, Filled];
    const results = QUERIES.map((query) => ({
      query: query.name,
      [few.size]: p50(query, few),
      [many.size]: p50(query, many),
      ratio: p50(query, many) / p50(query, few),
    }));
    return {
      results,
      tables: [
        {
          title: `p50 of ${SAMPLES}, ms; ${ROWS_PER_AGENT} rows an agent`,
          head: [
            "query",
            `${few.size.toLocaleString("en-US")} rows`,
            `${many.size.toLocaleString("en-US")} rows`,
            "ratio",
          ],
          rows: QUERIES.map((query, index) => [
            query.name,
            figure(p50(query, few)),
            figure(p50(query, many)),
            figure(results[index]?.ratio ?? Number.NaN),
          ]),
        },
      ],
      goals: options.quick
        ? []
        : results.map(({ query, ratio }) => ({
            what: `${query}: a million / ten thousand`,
            measured: ratio,
            bound: "at most",
            goal: 2,
          })),
      charts: [],
      failures: [],
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { results: [], tables: [], goals: [], charts: [], failures: [{ system: "waymark", reason }] };
  } finally {
    for (const { storage, place } of all) {
      await storage.close();
      await place.drop();
    }
  }
}

/** Checks that all rows of one agent come back in order, the same at both sizes. */
async function expectSameAgents(all: readonly Filled[]): Promise<void> {
  for (const { storage, size } of all) {
    const items: AgentCheckpointListItem[] = await storage.listCheckpoints({ agentId: agentOf(3) });
    const expected = Array.from({ length: ROWS_PER_AGENT }, (_, turn) => idOf(rowOf(3, turn, size))).reverse();
    if (items.map(({ id }) => id).join() !== expected.join())
      throw new Error(`expected an agent's ${ROWS_PER_AGENT} rows`);
  }
}

/**
 * Fills the table. A million stores would take an hour, so one checkpoint is stored by Waymark, and the driver copies its row,
 * with another id, agent, parent, name and metadata.
 */
async function fill(place: Place, size: number): Promise<void> {
  const storage = openWaymark(place);
  const state = { status: "thinking", step: 1, notes: ["The same in every row: only what is in the index differs."] };
  const metadata = { kind: "step", turn: 0 };
  await storage.storeCheckpoint({ agentId: "template", name: "turn 0", state, createdAt: Date.now(), metadata });
  await storage.close();
  switch (place.kind) {
    case "sqlite":
      return fillSqlite(place.path, size);
    case "postgres":
      return await fillPostgres(place.url, size);
    case "mysql":
      return await fillMysql(place.url, size);
  }
}

type Row = Record<string, unknown>;

/** The members in which the rows differ, as text. Each database keeps them in its own form. */
function* differences(size: number): Generator<{ id: string; parentId: string | null; agentId: string; turn: number }> {
  const agents = size / ROWS_PER_AGENT;
  for (let row = 0; row < size; row += 1) {
    const turn = Math.floor(row / agents);
    const parentId = turn === 0 ? null : idOf(row - agents);
    yield { id: idOf(row), parentId, agentId: agentOf(row % agents), turn };
  }
}

const TABLE = "agent_checkpoints";
const binary = (id: string | null) => id && Buffer.from(id.replaceAll("-", ""), "hex");

function relabelled(metadata: unknown, turn: number): string {
  const text = Buffer.isBuffer(metadata) ? metadata.toString("utf8") : String(metadata);
  const changed = text.replace('"turn":0', `"turn":${turn}`);
  if (turn > 0 && changed === text) throw new Error("expected the metadata as lines of JSON, got another form");
  return changed;
}

function fillSqlite(path: string, size: number): void {
  const database = new BetterSqlite3(path);
  try {
    const template = database.prepare(`select * from ${TABLE}`).get() as Row;
    database.exec(`delete from ${TABLE}`);
    const columns = Object.keys(template);
    const insert = database.prepare(
      `insert into ${TABLE} (${columns.join(", ")}) values (${columns.map((column) => `@${column}`).join(", ")})`,
    );
    database.transaction(() => {
      for (const { id, parentId, agentId, turn } of differences(size)) {
        insert.run({
          ...template,
          id: binary(id),
          parent_id: binary(parentId),
          agent_id: agentId,
          name: `turn ${turn}`,
          metadata: relabelled(template["metadata"], turn),
        });
      }
    })();
    database.exec("analyze");
    database.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    database.close();
  }
}

async function fillPostgres(url: string, size: number): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const [template] = await sql<Row[]>`select * from ${sql(TABLE)}`;
    await sql`delete from ${sql(TABLE)}`;
    for (const batch of batches(differences(size))) {
      const values = batch.map(({ id, parentId, agentId, turn }) => ({
        ...template,
        id,
        parent_id: parentId,
        agent_id: agentId,
        name: `turn ${turn}`,
        metadata: relabelled(template?.["metadata"], turn),
      }));
      await sql`insert into ${sql(TABLE)} ${sql(values as never[])}`;
    }
    await sql`vacuum analyze ${sql(TABLE)}`;
  } finally {
    await sql.end();
  }
}

async function fillMysql(url: string, size: number): Promise<void> {
  const connection = await createConnection({ uri: url });
  try {
    const [[template]] = (await connection.query<RowDataPacket[]>(`select * from ${TABLE}`)) as unknown as [[Row]];
    await connection.query(`delete from ${TABLE}`);
    const columns = Object.keys(template);
    await connection.beginTransaction();
    for (const batch of batches(differences(size))) {
      const values = batch.map(({ id, parentId, agentId, turn }) => {
        const row: Row = {
          ...template,
          id: binary(id),
          parent_id: binary(parentId),
          agent_id: Buffer.from(agentId),
          name: Buffer.from(`turn ${turn}`),
          metadata: Buffer.from(relabelled(template["metadata"], turn)),
        };
        return columns.map((column) => row[column]);
      });
      await connection.query(`insert into ${TABLE} (${columns.join(", ")}) values ?`, [values]);
    }
    await connection.commit();
    await connection.query(`analyze table ${TABLE}`);
  } finally {
    await connection.end();
  }
}

function* batches<T>(items: Iterable<T>): Generator<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < ROWS_PER_STATEMENT) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
