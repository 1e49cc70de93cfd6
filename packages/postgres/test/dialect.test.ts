import type { Change, Row } from "@waymark/core/kit";
import { describe, expect, it, onTestFinished } from "vitest";
import { tombstoneOf } from "../../core/src/checkpoints/tombstones.ts";
import { describeDialect } from "../../core/test/describe-dialect.ts";
import { createPostgresDialect } from "../src/checkpoints/dialect.ts";
import { resolveOptions } from "../src/options.ts";
import { startNode } from "./node.ts";
import { checkpoint, connect, emptyDatabase, open } from "./on-server.ts";

describe.each([false, true])("with prepare: %s", (prepare) => {
  describeDialect(
    async () => {
      const { url } = await emptyDatabase();
      return {
        async open() {
          const dialect = createPostgresDialect(resolveOptions({ connectionString: url, prepare }));
          onTestFinished(() => dialect.close());
          await dialect.open(new AbortController().signal);
          return dialect;
        },
        async begin() {
          const client = connect(url);
          await client`begin`;
          return { run: (sql) => client.unsafe(sql), commit: () => client`commit` };
        },
      };
    },
    (id) => `uuid '${id}'`,
  );
});

it("lets exactly one of 32 writers in four processes store after the latest, each time", async () => {
  const { url } = await emptyDatabase();
  const program = `
    const storage = createPostgresStorage({ connectionString: args[0], poolSize: 8 });
    await storage.listAgents();
    console.log("ready");
    for (let latest = await line(); latest !== "end"; latest = await line()) {
      const ifLatest = latest === "none" ? null : latest;
      const stores = Array.from({ length: 8 }, () =>
        storage.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 0 }, { ifLatest }));
      const results = await Promise.allSettled(stores);
      console.log(JSON.stringify(results.map(({ value, reason }) => value ?? reason.code)));
    }
    await storage.close();`;
  const children = Array.from({ length: 4 }, () => startNode(program, url));
  await Promise.all(children.map((child) => child.line()));

  const storage = open({ connectionString: url });
  let latest = "none";
  for (let round = 1; round <= 25; round++) {
    for (const child of children) child.send(latest);
    const outcomes = (await Promise.all(children.map((child) => child.line()))).flatMap(
      (text) => JSON.parse(text) as string[],
    );
    const winners = outcomes.filter((outcome) => outcome !== "CONFLICT");
    expect(winners).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    expect(outcomes).toHaveLength(32);
    latest = winners[0] as string;
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(latest);
  }
  for (const child of children) child.send("end");
  expect((await Promise.all(children.map((child) => child.exit))).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(await storage.listCheckpoints()).toHaveLength(25);
  expect(await storage.storeCheckpoint(checkpoint(), { ifLatest: latest })).toEqual(expect.any(String));
});

describe("a row that gives way to its tombstone while another client builds on it", () => {
  const { signal } = new AbortController();
  const id = (number: number) => `01890000-0000-7000-8000-${String(number).padStart(12, "0")}`;
  const row = (number: number, baseId: string | null = null): Row => ({
    ...tombstoneOf(id(number), 0, null),
    agentId: "agent",
    digest: Buffer.alloc(32, number),
    baseId,
  });
  const base = { id: id(1), digest: Buffer.alloc(32, 1) };
  const burial: Change = { remove: [id(1)], bury: [tombstoneOf(id(1), 0, null)] };
  const inserts: readonly [title: string, change: Change][] = [
    ["one row", { insert: [row(2, id(1))], bases: [base] }],
    ["many rows", { insert: [row(2, id(1)), row(3)], bases: [base] }],
    ["a row after the latest", { insert: [{ ...row(2, id(1)), afterId: id(1) }], bases: [base] }],
    ["one row that does not say what its base holds", { insert: [row(2, id(1))] }],
  ];

  /** The row itself, and what is done in a transaction that another one then waits for. */
  async function withWaiting(first: string[], waiting: Change) {
    const { url } = await emptyDatabase();
    const dialect = createPostgresDialect(resolveOptions({ connectionString: url }));
    onTestFinished(() => dialect.close());
    await dialect.open(signal);
    await dialect.commit({ insert: [row(1)] }, signal);
    const [client, admin] = [connect(url), connect(url)];
    await client`begin`;
    for (const statement of first) await client.unsafe(statement);
    const outcome = dialect.commit(waiting, signal).then(
      (done) => (done ? "done" : "guard missed"),
      (error: unknown) => dialect.classify(error),
    );
    const waits = () =>
      admin`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    while ((await waits()).length === 0);
    await client`commit`;
    const rows =
      await admin`select right(id::text, 1) as id, right(base_id::text, 1) as base, agent_id from agent_checkpoints order by 1`;
    return { outcome: await outcome, rows: rows.map(({ id, base, agent_id }) => [id, base, agent_id]) };
  }

  const others = "agent_id, namespace, name, created_at, encoding, state_bytes, digest, state";
  const rest = "'', '', 0, 'tombstone', 0, '', ''";

  it.each(inserts)("keeps %s out that waited for it", async (_, change) => {
    const bury = [
      `delete from agent_checkpoints where id = '${id(1)}'`,
      `insert into agent_checkpoints (id, ${others}) values ('${id(1)}', '', ${rest})`,
    ];
    const { outcome, rows } = await withWaiting(bury, change);
    expect(outcome).toMatch(/^(guard missed|foreign-key)$/);
    expect(rows).toEqual([["1", null, ""]]);
  });

  it("stays if what builds on it was first", async () => {
    const insert = `insert into agent_checkpoints (id, base_id, ${others}) values ('${id(2)}', '${id(1)}', 'agent', ${rest})`;
    const { outcome, rows } = await withWaiting([insert], burial);
    expect(outcome).toBe("foreign-key");
    expect(rows).toEqual([
      ["1", null, "agent"],
      ["2", "1", "agent"],
    ]);
  });
});
