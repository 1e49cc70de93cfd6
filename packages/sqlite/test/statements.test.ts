import { type Acknowledgement, NIL_ID, NO_AGENT, type WriteRow } from "@waymark/core/kit";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { describe, expect, it } from "vitest";
import { checkpointsTable, writesTable } from "../src/checkpoints/schema.ts";
import { createStatements } from "../src/checkpoints/statements.ts";
import { handleOn } from "../src/handle.ts";
import { migrateSchema } from "../src/migrate.ts";
import { childProcess, newFile } from "./fixtures.ts";

describe("statements of SQLite", () => {
  it("reach 100,000 rows of an agent by an index", () => {
    const database = new Database(":memory:");
    migrateSchema(handleOn(database), "", "apply");
    fill(database, 100_000);
    const ran: string[] = [];
    const table = checkpointsTable("");
    const db = drizzle(database, { logger: { logQuery: (query) => ran.push(query) } });
    const statements = createStatements(db, table, writesTable(table, ""), NIL_ID);
    const agent = { agentId: "agent-1", limit: 20 };
    expect(statements.list(agent)).toHaveLength(20);
    expect(statements.list({ ...agent, namespace: "ns-1" })).toHaveLength(20);
    expect(statements.list({ ...agent, before: id(50_000) })).toHaveLength(20);
    expect(statements.list({ ...agent, namespace: "ns-1", since: id(10) })).toHaveLength(20);
    expect(statements.list({ ...agent, name: "none" })).toEqual([]);
    expect(statements.list({ ...agent, namespace: "ns-1", metadataLines: ["none"], parentId: id(1) })).toEqual([]);
    expect(statements.list({ limit: 20 })).toHaveLength(20);
    expect(statements.list({ limit: 20, before: id(70_000) })).toHaveLength(20);
    expect(statements.list({ limit: 20, since: id(70_000) })).toHaveLength(20);
    expect(statements.list({ agentId: NO_AGENT, limit: 20, before: id(100_900) })).toHaveLength(20);
    expect(statements.list({ id: id(7), limit: 1 })).toHaveLength(1);
    expect(statements.readChain(id(7))).toHaveLength(1);
    expect(statements.readRows([7, 200_000, 8].map(id))).toHaveLength(2);
    expect(statements.pending(50_000, 20).at(-1)).toMatchObject({ pending: 1_900, storedBytes: 1 });
    expect(statements.backlog()).toEqual({ rows: 1_010, storedBytes: 1_010, oldest: 0 });
    expect(statements.count({})).toBe(100_000);
    expect(statements.count({ since: id(70_000), before: id(100_500) })).toBe(29_999);
    const acknowledgement = (pending: number): Acknowledgement => ({ id: id(pending), digest: Buffer.of(0), pending });
    const [one, other] = [acknowledgement(0), acknowledgement(100)];
    expect(statements.commit({ acknowledge: [one] })).toBe(true);
    const lease = [{ id: id(200), fromPending: 200, pending: 300_000 }];
    expect(statements.commit({ acknowledge: [one, other], lease })).toBe(true);
    expect(statements.backlog()).toEqual({ rows: 1_008, storedBytes: 1_008, oldest: 300 });
    expect(statements.dependents([id(7)])).toEqual([]);
    expect(statements.agents(null, 100)).toHaveLength(10);
    expect(statements.agents("agent-3", 2)).toEqual(["agent-4", "agent-5"]);
    expect(statements.stats("agent-1")).toMatchObject({ rows: 10_000, longestChain: 1 });
    const writeOf = (number: number): WriteRow => ({
      checkpointId: id(number),
      taskId: "task",
      index: 0,
      rank: id(1),
      channel: "c",
      taskPath: "",
      encoding: "json",
      stateBytes: 1,
      digest: Buffer.of(0),
      state: Buffer.of(1),
    });
    const append = [...Array(1_000).keys()].map(writeOf);
    expect(statements.commit({ append, pend: [{ id: id(7), pending: 400_000 }] })).toBe(true);
    expect(statements.readWrites([7, 1_007].map(id))).toHaveLength(1);
    expect(statements.writeKeys({ since: id(1), before: id(100) })).toHaveLength(98);
    expect(new Set(ran).size).toBe(25);
    for (const statistics of ["", "analyze"]) {
      database.exec(statistics);
      for (const query of new Set(ran)) {
        const plan = database
          .prepare(`explain query plan ${query}`)
          .all(...Array.from(query.matchAll(/\?/g), () => 1)) as { detail: string }[];
        const steps = plan.map(({ detail }) => detail);
        // With no other condition the primary key is walked from its end.
        const walk = query.includes(`where "agent_checkpoints"."agent_id" <> '' order by`)
          ? ["SCAN agent_checkpoints USING INDEX sqlite_autoindex_agent_checkpoints_1"]
          : [];
        expect(
          steps.filter((step) => /^SCAN (?!(chain|agent|wanted|CONSTANT ROW)\b)/.test(step)),
          query,
        ).toEqual(walk);
        // Sorting a chain, the dependents of a few rows, or what is pending from the same time on, is fine; sorting an agent's rows is not.
        if (!/recursive|"base_id" in/.test(query))
          expect(
            steps.filter((step) => step.includes("TEMP B-TREE")),
            query,
          ).toEqual(query.includes(`"pending" <=`) ? ["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"] : []);
        // What counts rows reads none of them, unless it is asked for their bytes; what is pending has an index of its own.
        if (query.includes(" - (select count(*)"))
          expect(steps.filter((step) => /agent_checkpoints (?!USING COVERING INDEX)/.test(step))).toEqual([]);
        if (/where "agent_checkpoints"."pending"/.test(query))
          expect(steps[0]).toContain("SEARCH agent_checkpoints USING INDEX agent_checkpoints_pending");
        if (query.startsWith("update"))
          expect(steps).toEqual(["SEARCH agent_checkpoints USING INDEX sqlite_autoindex_agent_checkpoints_1 (id=?)"]);
        if (query.includes(`from "agent_checkpoint_writes"`))
          expect(steps.filter((step) => step.startsWith("SEARCH"))).toEqual([
            expect.stringContaining(
              "SEARCH agent_checkpoint_writes USING INDEX sqlite_autoindex_agent_checkpoint_writes_1",
            ),
          ]);
      }
    }
    database.close();
  });

  it("let no two processes store after the same checkpoint", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    const first = await storage.storeCheckpoint({ agentId: "agent", name: "first", state: 0, createdAt: 0 });
    const child = childProcess("store for ever", databasePath); // a writer that does not take part
    const stores = Array.from({ length: 32 }, (_, state) =>
      storage.storeCheckpoint({ agentId: "other", name: "turn", state, createdAt: 0 }, { ifLatest: null }),
    );
    const results = await Promise.allSettled(stores);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await storage.retrieveCheckpoint(first)).toMatchObject({ state: 0 });
    child.kill("SIGKILL");
  });
});

/** The id of a row's number: all in one millisecond, in order. */
function id(number: number): string {
  return `01890000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
}

/** Ten agents with three namespaces each, their rows interleaved, and newer tombstones; of both a hundredth is pending. */
function fill(database: Database.Database, rows: number): void {
  const insert = database.prepare(
    "insert into agent_checkpoints (id, agent_id, namespace, name, created_at, encoding, state_bytes, digest, pending, state) values (?, ?, ?, 'turn', 0, 'json', 1, x'00', ?, '1')",
  );
  database.transaction(() => {
    for (let number = 0; number < rows + 1_000; number++) {
      insert.run(
        Buffer.from(id(number).replaceAll("-", ""), "hex"),
        number < rows ? `agent-${number % 10}` : NO_AGENT,
        number < rows ? `ns-${Math.floor(number / 10) % 3}` : "",
        number % 100 === 0 ? number : null,
      );
    }
  })();
}
