import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { newRow, rejection } from "@waymark/conformance";
import { CheckpointError } from "@waymark/postgres";
import { expect, it, onTestFinished } from "vitest";
import { startPgbouncer, startProxy } from "waymark-test-servers";
import { checkpoint, connect, createDialect, emptyDatabase, open, sharedServer } from "./on-server.ts";

const POOL_SIZE = 2;
const ROUNDS = 12;

/** Waits until a condition holds. The test's timeout ends it. */
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await delay(50);
}

it.each(["the server", "pgbouncer"])("leaves no statements that wait for a lock behind at %s", async (where) => {
  const { url, name } = await emptyDatabase();
  await open({ connectionString: url }).migrate();
  let connectionString = url;
  if (where === "pgbouncer") {
    const pooler = await startPgbouncer(sharedServer(), { poolSize: 20 });
    onTestFinished(() => pooler.stop());
    connectionString = pooler.url(name);
  }
  const dialect = createDialect({ connectionString, poolSize: POOL_SIZE, migrate: "off" });
  onTestFinished(() => dialect.close());
  const [locking, admin] = [connect(url), connect(url)];
  const waiting = async () => {
    const [row] = await admin`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    return Number(row?.["count"]);
  };
  await locking`begin`;
  await locking`lock table agent_checkpoints`;

  let most = 0;
  const outcomes: Promise<unknown>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const deadline = new AbortController();
    // More calls than connections: some wait for one, and are not sent any more when the others are cancelled.
    for (let call = 0; call < 2 * POOL_SIZE; call++) {
      const insert = [newRow(0, { id: randomUUID() })];
      outcomes.push(dialect.commit({ insert }, deadline.signal).catch((error) => dialect.classify(error)));
    }
    await delay(400);
    deadline.abort(new CheckpointError("TIMEOUT", "a deadline"));
    most = Math.max(most, await waiting());
  }
  // A client that is replaced has a second before it is cancelled: three deadlines, and some more on a busy machine.
  expect(most).toBeLessThan(ROUNDS * POOL_SIZE);
  await until(async () => (await waiting()) === 0);
  for (const outcome of await Promise.all(outcomes)) expect(["timeout", "connection"]).toContain(outcome);
  await locking`commit`;
  const [row] = await admin`select count(*)::int as count from agent_checkpoints`;
  expect(row).toEqual({ count: 0 });
  await dialect.ping(new AbortController().signal);
});

it("sends no more calls that waited for a connection when their client is replaced", async () => {
  const { url } = await emptyDatabase();
  await open({ connectionString: url }).migrate();
  const proxy = await startProxy(url);
  onTestFinished(() => proxy.stop());
  // Drops requests to cancel: connections end when the test ends them.
  proxy.intercept((chunk) => (chunk.length === 16 && chunk.readUInt32BE(4) === 80_877_102 ? "drop" : "forward"));
  const dialect = createDialect({ connectionString: proxy.url, poolSize: POOL_SIZE, migrate: "off" });
  onTestFinished(() => dialect.close());
  const [locking, admin] = [connect(url), connect(url)];
  const waiting = () => admin`select pid from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' order by query_start`;
  await locking`begin`;
  await locking`lock table agent_checkpoints`;

  const deadline = new AbortController();
  const ended: string[] = [];
  const calls = Array.from({ length: 2 * POOL_SIZE }, async () => {
    const insert = [newRow(0, { id: randomUUID() })];
    await dialect.commit({ insert }, deadline.signal).catch((error) => ended.push(dialect.classify(error)));
  });
  await until(async () => (await waiting()).length === POOL_SIZE);
  const [first] = await waiting();
  deadline.abort(new CheckpointError("TIMEOUT", "a deadline"));
  await admin`select pg_terminate_backend(${first?.["pid"]})`;
  await until(() => ended.length === 2); // the call that had this connection, and the one that waited for it
  expect(await waiting()).toHaveLength(POOL_SIZE - 1);
  await admin`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`;
  await Promise.all(calls);
  expect(await waiting()).toEqual([]);
  expect(new Set(ended)).toEqual(new Set(["connection"]));
});

it("gives up the connections of aborted calls while the server is silent", async () => {
  const { url } = await emptyDatabase();
  const proxy = await startProxy(url);
  onTestFinished(() => proxy.stop());
  const storage = open({ connectionString: proxy.url, poolSize: POOL_SIZE, operationTimeoutMs: 30_000 });
  await storage.storeCheckpoint(checkpoint());
  proxy.intercept(() => "hold");
  const controller = new AbortController();
  const calls = [1, 2, 3].map(() => rejection(storage.listCheckpoints({ signal: controller.signal })));
  await delay(50);
  controller.abort();
  for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: "ABORTED" });
  await until(() => proxy.connections === 0);
  proxy.intercept();
  expect(await storage.listCheckpoints()).toHaveLength(1);
});
