import { type Acknowledgement, NO_AGENT, type TaskWriteRow } from "@waymark/core/kit";
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { expect, it } from "vitest";
import { CheckpointCommit } from "../src/checkpoints/commit.ts";
import { CheckpointLabels } from "../src/checkpoints/labels.ts";
import { migrations } from "../src/checkpoints/migrations.ts";
import { CheckpointOutbox } from "../src/checkpoints/outbox.ts";
import { CheckpointReads } from "../src/checkpoints/reads.ts";
import { checkpointTables, SCHEMA } from "../src/checkpoints/schema.ts";
import { CheckpointSettings } from "../src/checkpoints/settings.ts";
import { adoptDatabase } from "../src/drivers/choose.ts";
import type { DriverDatabase } from "../src/drivers/driver.ts";
import { handleOn } from "../src/handle.ts";
import { migrateSchema } from "../src/migrate.ts";

it("reaches the rows it needs among 100,000 by an index, with every statement", () => {
  const database = new Database(":memory:");
  migrateSchema(handleOn(adoptDatabase(database) as DriverDatabase, null), { ...SCHEMA, migrations }, "", "apply");
  fill(database, 100_000);
  const run: string[] = [];
  const db = drizzle(database, { logger: { logQuery: (query) => run.push(query) } });
  const tables = checkpointTables("");
  const [reads, outbox] = [new CheckpointReads(db, tables), new CheckpointOutbox(db, tables)];
  const [settings, labels] = [new CheckpointSettings(db, tables), new CheckpointLabels(db, tables)];
  const commits = new CheckpointCommit(db, tables, reads, settings, labels, outbox);

  const rows = Array.from({ length: 1_000 }, (_, at) => idOf(100 * at));
  expect(commits.commit({ label: rows.map((checkpointId) => ({ checkpointId, label: idOf(1) })) })).toBe(true);
  expect(labels.list(idOf(1), { limit: 20 }).map(({ id }) => id)).toEqual(rows.slice(-20).reverse());
  expect(labels.list(idOf(1), { labels: ["none"], since: idOf(10), before: idOf(50_000), limit: 20 })).toEqual([]);
  expect(labels.agents(idOf(1), null, 100)).toEqual(["agent-0"]);

  const agent = { agentId: "agent-1", limit: 20 };
  expect(reads.list(agent)).toHaveLength(20);
  expect(reads.list({ ...agent, namespace: "ns-1" })).toHaveLength(20);
  expect(reads.list({ ...agent, before: idOf(50_000) })).toHaveLength(20);
  expect(reads.list({ ...agent, namespace: "ns-1", since: idOf(10) })).toHaveLength(20);
  expect(reads.list({ ...agent, name: "none" })).toEqual([]);
  expect(reads.list({ ...agent, namespace: "ns-1", labels: ["none"], parentId: idOf(1) })).toEqual([]);
  expect(reads.list({ limit: 20 })).toHaveLength(20);
  expect(reads.list({ limit: 20, before: idOf(70_000) })).toHaveLength(20);
  expect(reads.list({ limit: 20, since: idOf(70_000) })).toHaveLength(20);
  expect(reads.list({ agentId: NO_AGENT, limit: 20, before: idOf(100_900) })).toHaveLength(20);
  expect(reads.list({ id: idOf(7), limit: 1 })).toHaveLength(1);
  expect(reads.readChain(idOf(7))).toHaveLength(1);
  expect(reads.readRows([7, 200_000, 8].map(idOf))).toHaveLength(2);
  expect(outbox.pending(50_000, 20).at(-1)).toMatchObject({ pending: 1_900, storedBytes: 1 });
  expect(outbox.backlog()).toEqual({ rows: 1_010, storedBytes: 1_010, oldest: 0 });
  expect(outbox.count({})).toBe(100_000);
  expect(outbox.count({ since: idOf(70_000), before: idOf(100_500) })).toBe(29_999);
  const acknowledgement = (pending: number): Acknowledgement => ({ id: idOf(pending), digest: Buffer.of(0), pending });
  const [one, other] = [acknowledgement(0), acknowledgement(100)];
  expect(commits.commit({ acknowledge: [one] })).toBe(true);
  const lease = [{ id: idOf(200), fromPending: 200, pending: 300_000 }];
  expect(commits.commit({ acknowledge: [one, other], lease })).toBe(true);
  expect(outbox.backlog()).toEqual({ rows: 1_008, storedBytes: 1_008, oldest: 300 });
  expect(reads.dependents([idOf(7)])).toEqual([]);
  expect(reads.agents(null, 100)).toHaveLength(10);
  expect(reads.agents("agent-3", 2)).toEqual(["agent-4", "agent-5"]);
  expect(reads.stats("agent-1")).toMatchObject({ rows: 10_000, longestChain: 1 });
  const append = [...Array(1_000).keys()].map(newWrite);
  expect(commits.commit({ append, markPending: [{ id: idOf(7), pending: 400_000 }] })).toBe(true);
  expect(reads.readTaskWrites([7, 1_007].map(idOf))).toHaveLength(1);
  expect(reads.taskWriteKeys({ since: idOf(1), before: idOf(100) })).toHaveLength(98);
  expect(reads.writeKeysOfTasks(idOf(7), ["task", "other"])).toHaveLength(1);
  expect(reads.areWrittenSince([7, 1_007].map(idOf), idOf(1))).toBe(true); // the complement of its rank

  expect(new Set(run).size).toBe(31);
  for (const statistics of ["", "analyze"]) {
    database.exec(statistics);
    for (const query of new Set(run)) expectIndexed(database, query);
  }
  database.close();
});

/** Expects that a statement neither scans the table nor sorts an agent's rows. */
function expectIndexed(database: Database.Database, query: string): void {
  const parameters = Array.from(query.matchAll(/\?/g), () => 1);
  const plan = database.prepare(`explain query plan ${query}`).all(...parameters) as { detail: string }[];
  const steps = plan.map(({ detail }) => detail);
  // Without any other condition the primary key is walked from its end.
  const walk = query.includes(`where "agent_checkpoints"."agent_id" <> ? order by`)
    ? ["SCAN agent_checkpoints USING INDEX sqlite_autoindex_agent_checkpoints_1"]
    : [];
  const scans = steps.filter((step) => /^SCAN (?!(chain|agent|wanted|CONSTANT ROW)\b)/.test(step));
  expect(scans, query).toEqual(walk);
  // A chain, the dependents of a few rows, and rows that are pending since the same time may be sorted.
  if (!/recursive|"base_id" in/.test(query)) {
    const sorted = query.includes(`"pending" <=`) ? ["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"] : [];
    const sorts = steps.filter((step) => step.includes("TEMP B-TREE"));
    expect(sorts, query).toEqual(sorted);
  }
  // Counts read no rows, unless they are asked for bytes; pending rows have an index of their own.
  if (query.includes(" - (select count(*)"))
    expect(steps.filter((step) => /agent_checkpoints (?!USING COVERING INDEX)/.test(step))).toEqual([]);
  if (/where "agent_checkpoints"."pending"/.test(query))
    expect(steps[0]).toContain("SEARCH agent_checkpoints USING INDEX agent_checkpoints_pending");
  if (query.startsWith("update"))
    expect(steps).toEqual(["SEARCH agent_checkpoints USING INDEX sqlite_autoindex_agent_checkpoints_1 (id=?)"]);
  if (query.includes(`from "agent_checkpoint_writes"`))
    expect(steps.filter((step) => step.startsWith("SEARCH"))).toEqual([
      expect.stringContaining("SEARCH agent_checkpoint_writes USING INDEX sqlite_autoindex_agent_checkpoint_writes_1"),
    ]);
}

/** The id of the row with this number: all in one millisecond, in order. */
function idOf(number: number): string {
  return `01890000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
}

function newWrite(number: number): TaskWriteRow {
  return {
    checkpointId: idOf(number),
    taskId: "task",
    index: 0,
    rank: idOf(1),
    channel: "c",
    taskPath: "",
    encoding: "json",
    stateBytes: 1,
    digest: Buffer.of(0),
    state: Buffer.of(1),
  };
}

/**
 * Inserts the rows of ten agents with three namespaces each, interleaved, and newer tombstones. Of both a hundredth is
 * pending.
 */
function fill(database: Database.Database, rows: number): void {
  const insert = database.prepare(
    "insert into agent_checkpoints (id, agent_id, namespace, name, created_at, encoding, state_bytes, digest, pending, state) values (?, ?, ?, 'turn', 0, 'json', 1, x'00', ?, '1')",
  );
  database.transaction(() => {
    for (let number = 0; number < rows + 1_000; number++) {
      insert.run(
        Buffer.from(idOf(number).replaceAll("-", ""), "hex"),
        number < rows ? `agent-${number % 10}` : NO_AGENT,
        number < rows ? `ns-${Math.floor(number / 10) % 3}` : "",
        number % 100 === 0 ? number : null,
      );
    }
  })();
}
