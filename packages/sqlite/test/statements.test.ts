import { NIL_ID, type Row } from "@waymark/core/dialect-kit";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { describe, expect, it } from "vitest";
import { createSQLiteDialect } from "../src/dialect.ts";
import { handleOn } from "../src/handle.ts";
import { migrateSchema } from "../src/migrate.ts";
import { resolveOptions } from "../src/options.ts";
import { checkpointsTable } from "../src/schema.ts";
import { createStatements } from "../src/statements.ts";
import { childProcess, newFile } from "./fixtures.ts";

const signal = new AbortController().signal;

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
    expect(statements.list({ limit: 20, before: id(70_000) })).toHaveLength(20);
    expect(statements.list({ id: id(7), limit: 1 })).toHaveLength(1);
    expect(statements.readChain(id(7))).toHaveLength(1);
    expect(statements.dependents([id(7)])).toEqual([]);
    expect(statements.agents(null, 100)).toHaveLength(10);
    for (const query of ran) {
      const plan = database
        .prepare(`explain query plan ${query}`)
        .all(...Array.from(query.matchAll(/\?/g), () => 1)) as { detail: string }[];
      const steps = plan.map(({ detail }) => detail);
      expect(
        steps.filter((step) => /^SCAN (?!(chain|agent|CONSTANT ROW)\b)/.test(step)),
        query,
      ).toEqual([]);
      // Sorting a chain or the dependents of a few rows is fine; sorting an agent's rows is not.
      if (!/recursive|"base_id" in/.test(query))
        expect(
          steps.filter((step) => step.includes("TEMP B-TREE")),
          query,
        ).toEqual([]);
    }
    expect(ran).toHaveLength(9);
    database.close();
  });

  it("refuse an orphan, and the removal of a base", async () => {
    const dialect = await openDialect();
    await dialect.commit({ insert: [row(1)] }, signal);
    await expect(fault(dialect, { insert: [{ ...row(3), baseId: id(2) }] })).resolves.toBe("foreign-key");
    await dialect.commit({ insert: [{ ...row(3), baseId: id(1) }] }, signal);
    await expect(fault(dialect, { remove: [id(1)] })).resolves.toBe("foreign-key");
    await expect(dialect.commit({ remove: [id(3), id(1)] }, signal)).resolves.toBe(true);
    await dialect.close();
  });

  it("change all or nothing when a guard misses", async () => {
    const dialect = await openDialect();
    await dialect.commit({ insert: [row(1), row(2), { ...row(3), baseId: id(2) }] }, signal);
    const rewrite = { id: id(3), fromBaseId: id(1), baseId: null, encoding: "json", state: Buffer.from("3") };
    const change = { insert: [row(4)], rewrite: [rewrite], remove: [id(1)] };
    await expect(dialect.commit(change, signal)).resolves.toBe(false);
    expect((await dialect.list({ limit: 10 }, signal)).map((head) => head.id)).toEqual([id(3), id(2), id(1)]);
    await expect(dialect.commit({ ...change, rewrite: [{ ...rewrite, fromBaseId: id(2) }] }, signal)).resolves.toBe(
      true,
    );
    expect((await dialect.list({ limit: 10 }, signal)).map((head) => [head.id, head.baseId])).toEqual([
      [id(4), null],
      [id(3), null],
      [id(2), null],
    ]);
    await dialect.close();
  });

  it("read a chain of 256 rows nearest first, whatever the order of its ids", async () => {
    const dialect = await openDialect();
    const order = Array.from({ length: 256 }, (_, at) => (at * 97) % 256); // each once
    for (const [at, number] of order.entries()) {
      const base = order[at - 1];
      await dialect.commit({ insert: [{ ...row(number), baseId: base === undefined ? null : id(base) }] }, signal);
    }
    const chain = await dialect.readChain(id(order[255] as number), signal);
    expect(chain.map((link) => link.id)).toEqual(order.map((number) => id(number)).reverse());
    await dialect.close();
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

function row(number: number): Row {
  const state = Buffer.from(String(number));
  return {
    id: id(number),
    agentId: "agent",
    namespace: "",
    name: "turn",
    parentId: null,
    afterId: null,
    baseId: null,
    createdAt: number,
    metadata: null,
    encoding: "json",
    stateBytes: state.byteLength,
    digest: Buffer.alloc(32),
    pending: null,
    state,
  };
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

async function openDialect() {
  const dialect = createSQLiteDialect(resolveOptions({ databasePath: ":memory:" }));
  await dialect.open(signal);
  return dialect;
}

async function fault(dialect: Awaited<ReturnType<typeof openDialect>>, change: Parameters<typeof dialect.commit>[0]) {
  const error = await dialect.commit(change, signal).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return dialect.classify(error);
}
