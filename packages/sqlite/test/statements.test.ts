import { NIL_ID } from "@waymark/core/dialect-kit";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { describe, expect, it } from "vitest";
import { handleOn } from "../src/handle.ts";
import { migrateSchema } from "../src/migrate.ts";
import { checkpointsTable } from "../src/schema.ts";
import { createStatements } from "../src/statements.ts";
import { childProcess, newFile } from "./fixtures.ts";

describe("statements of SQLite", () => {
  it("reach 100,000 rows of an agent by an index", () => {
    const database = new Database(":memory:");
    migrateSchema(handleOn(database), "", "apply");
    fill(database, 100_000);
    const ran: string[] = [];
    const statements = createStatements(
      drizzle(database, { logger: { logQuery: (query) => ran.push(query) } }),
      checkpointsTable(""),
      NIL_ID,
    );
    const agent = { agentId: "agent-1", limit: 20 };
    expect(statements.list(agent)).toHaveLength(20);
    expect(statements.list({ ...agent, namespace: "ns-1" })).toHaveLength(20);
    expect(statements.list({ ...agent, before: id(50_000) })).toHaveLength(20);
    expect(statements.list({ ...agent, namespace: "ns-1", since: id(10) })).toHaveLength(20);
    expect(statements.list({ ...agent, name: "none" })).toEqual([]);
    expect(statements.list({ ...agent, namespace: "ns-1", metadataLines: ["none"], parentId: id(1) })).toEqual([]);
    expect(statements.list({ limit: 20 })).toHaveLength(20);
    expect(statements.list({ limit: 20, before: id(70_000) })).toHaveLength(20);
    expect(statements.list({ id: id(7), limit: 1 })).toHaveLength(1);
    expect(statements.readChain(id(7))).toHaveLength(1);
    expect(statements.dependents([id(7)])).toEqual([]);
    expect(statements.agents(null, 100)).toHaveLength(10);
    expect(statements.agents("agent-3", 2)).toEqual(["agent-4", "agent-5"]);
    expect(statements.stats("agent-1")).toMatchObject({ rows: 10_000, longestChain: 1 });
    for (const query of ran) {
      const plan = database
        .prepare(`explain query plan ${query}`)
        .all(...Array.from(query.matchAll(/\?/g), () => 1)) as { detail: string }[];
      const steps = plan.map(({ detail }) => detail);
      // Without a condition the primary key is walked from its end.
      const walk = query.includes(" where ")
        ? []
        : ["SCAN agent_checkpoints USING INDEX sqlite_autoindex_agent_checkpoints_1"];
      expect(
        steps.filter((step) => /^SCAN (?!(chain|agent|CONSTANT ROW)\b)/.test(step)),
        query,
      ).toEqual(walk);
      // Sorting a chain or the dependents of a few rows is fine; sorting an agent's rows is not.
      if (!/recursive|"base_id" in/.test(query))
        expect(
          steps.filter((step) => step.includes("TEMP B-TREE")),
          query,
        ).toEqual([]);
    }
    expect(ran).toHaveLength(14);
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

/** Ten agents with three namespaces each, their rows interleaved. */
function fill(database: Database.Database, rows: number): void {
  const insert = database.prepare(
    "insert into agent_checkpoints (id, agent_id, namespace, name, created_at, encoding, state_bytes, digest, state) values (?, ?, ?, 'turn', 0, 'json', 1, x'00', '1')",
  );
  database.transaction(() => {
    for (let number = 0; number < rows; number++) {
      insert.run(
        Buffer.from(id(number).replaceAll("-", ""), "hex"),
        `agent-${number % 10}`,
        `ns-${Math.floor(number / 10) % 3}`,
      );
    }
  })();
  database.exec("analyze");
}
