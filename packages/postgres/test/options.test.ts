import postgres from "postgres";
import { expect, it, onTestFinished } from "vitest";
import { startPgbouncer } from "waymark-test-servers";
import { checkpoint, connect, emptyDatabase, open, rejection, sharedServer } from "./on-server.ts";

/** One turn of every method, as an agent's life has it. */
async function live(storage: ReturnType<typeof open>): Promise<void> {
  const first = await storage.storeCheckpoint(checkpoint({ metadata: { step: 1 } }));
  const second = await storage.storeCheckpoint(
    checkpoint({ namespace: "n", parentId: first, state: [1n, new Date(0)] }),
  );
  await expect(storage.storeCheckpoint(checkpoint(), { ifLatest: second })).rejects.toMatchObject({ code: "CONFLICT" });
  const third = await storage.storeCheckpoint(checkpoint({ state: { turn: 3 } }), { ifLatest: first });
  expect(await storage.retrieveCheckpoint(second)).toMatchObject({ namespace: "n", state: [1n, new Date(0)] });
  expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(third);
  expect((await storage.listCheckpoints({ agentId: "agent", metadata: { step: 1 } })).map(({ id }) => id)).toEqual([
    first,
  ]);
  expect((await storage.listCheckpoints({ agentId: "agent", before: third })).map(({ id }) => id)).toEqual([
    second,
    first,
  ]);
  expect(await storage.listAgents()).toEqual(["agent"]);
  expect(await storage.stats()).toMatchObject({ checkpoints: 3 });
  expect(await storage.health()).toMatchObject({ ok: true });
  expect(await storage.pruneCheckpoints({ keepLast: 1 })).toEqual({ examined: 3, removed: 1 });
  expect(await storage.deleteCheckpoint(third)).toBe(true);
  expect(await storage.deleteAgent("agent")).toBe(1);
  expect(await storage.migrate()).toEqual([]);
}

const fifty = Array.from({ length: 50 }, (_, index) => checkpoint({ name: `turn ${index}` }));

it("opens no more connections than poolSize, and needs no more than one", async () => {
  for (const poolSize of [1, 3]) {
    const database = await emptyDatabase();
    const storage = open({ connectionString: database.url, poolSize });
    await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
    // Stores that come at once share a commit; reads do not.
    await Promise.all(fifty.map(() => storage.listCheckpoints({ limit: 1 })));
    const rows = await connect(database.url)`
      select count(*)::int as connections from pg_stat_activity
      where datname = ${database.name} and application_name = 'waymark'`;
    expect(rows[0]).toEqual({ connections: poolSize });
    expect(await storage.deleteAgent("agent")).toBe(50);
    await live(storage);
  }
});

it("gives back idle connections after idleTimeoutMs, and goes on with new ones", async () => {
  const database = await emptyDatabase();
  const storage = open({ connectionString: database.url, idleTimeoutMs: 50 });
  await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
  const admin = connect(database.url);
  const ours = () =>
    admin`select from pg_stat_activity where datname = ${database.name} and application_name = 'waymark'`;
  for (let left = 1; left > 0; ) left = (await ours()).length;
  expect(await storage.listCheckpoints()).toHaveLength(50);
});

it("works through pgbouncer in transaction mode as it comes, with fewer connections than clients", async () => {
  const database = await emptyDatabase();
  const pooler = await startPgbouncer(sharedServer(), { poolSize: 2 });
  onTestFinished(() => pooler.stop());
  const storages = [1, 2, 3].map(() => open({ connectionString: pooler.url(database.name) }));
  await Promise.all(storages.map((storage) => storage.migrate()));
  await live(storages[0] as ReturnType<typeof open>);
  const ids = await Promise.all(fifty.flatMap((one) => storages.map((storage) => storage.storeCheckpoint(one))));
  expect(new Set(ids).size).toBe(150);
  expect(await open({ connectionString: database.url }).listCheckpoints()).toHaveLength(150);
});

it("prepares statements if it is told to, and otherwise never", async () => {
  for (const prepare of [true, false]) {
    const { url } = await emptyDatabase();
    const client = connect(url);
    const storage = open({ client, prepare });
    await live(storage);
    const [counts] = await client.unsafe(
      "select count(*)::int as prepared from pg_prepared_statements where statement ilike '%checkpoints%'",
    );
    if (prepare) expect(counts?.["prepared"]).toBeGreaterThan(0);
    else expect(counts).toEqual({ prepared: 0 });
    await live(open({ connectionString: url, prepare }));
  }
});

it("leaves a client of the user's own open, and reading and writing dates as before", async () => {
  const { url } = await emptyDatabase();
  const client = connect(url, { max: 2 });
  const before = {
    ...client.options,
    parsers: { ...client.options.parsers },
    serializers: { ...client.options.serializers },
  };
  const dates = async () => {
    const [row] =
      await client`select ${new Date(5)}::timestamptz as time, '[{"a":1}]'::jsonb as json, date '2020-01-02' as day`;
    return row;
  };
  const read = await dates();
  expect(read).toEqual({ time: new Date(5), json: [{ a: 1 }], day: new Date("2020-01-02") });

  const storage = open({ client });
  await live(storage);
  await storage.close();
  await expect(storage.listCheckpoints()).rejects.toMatchObject({ code: "CLOSED" });
  expect(await dates()).toEqual(read);
  expect(client.options.parsers).toEqual(before.parsers);
  expect(client.options.serializers).toEqual(before.serializers);
});

it.each([
  ["names columns in camel case", { transform: postgres.camel }],
  ["writes undefined as null", { transform: { undefined: null } }],
  ["reads bigint as BigInt", { types: { bigint: postgres.BigInt } }],
  [
    "reads dates and times its own way",
    { types: { date: { to: 1184, from: [1082, 1114, 1184], serialize: String, parse: String } } },
  ],
  ["fetches types", { fetch_types: true }],
  ["has one connection", { max: 1 }],
  ["has a search path of its own", { connection: { search_path: "pg_catalog" } }],
])("works on a client of the user's own that %s", async (_, options) => {
  const { url } = await emptyDatabase();
  const client = connect(url, options as Parameters<typeof connect>[1]);
  const storage = open({ client: client as never });
  await live(storage);
  await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
  const [newest] = await storage.listCheckpoints({ limit: 1 });
  expect(newest).toMatchObject({ createdAt: 1_700_000_000_000, name: expect.stringMatching(/^turn \d+$/) });
  expect(Object.keys(newest ?? {}).sort()).toEqual(["agentId", "createdAt", "id", "name"]);
  expect(await storage.stats()).toMatchObject({ checkpoints: 50, stateBytes: 50 * '{"turn":1}'.length });
});

it("says what it takes for its options, at once and without showing them", async () => {
  const wrong = [
    [{}, "connectionString or client"],
    [{ connectionString: undefined }, "is the environment variable set?), got undefined"],
    [{ connectionString: "mysql://root:hunter2@localhost/db" }, "postgres://"],
    [
      { connectionString: "postgres://u:hunter2@localhost/db", client: connect(sharedServer()) },
      "connectionString or client",
    ],
    [{ client: { query() {} } }, "postgres.js client"],
    [{ client: connect(sharedServer()), poolSize: 3 }, "poolSize"],
    [{ connectionString: "postgres://localhost/db", schema: 'a"; drop table x' }, "options.schema"],
    [{ connectionString: "postgres://localhost/db", tablePrefix: "a-b" }, "options.tablePrefix"],
    [{ connectionString: "postgres://localhost/db", tablePrefix: "p".repeat(25) }, "options.tablePrefix"],
    [{ connectionString: "postgres://localhost/db", poolSize: 0 }, "options.poolSize"],
    [{ connectionString: "postgres://localhost/db", prepare: "no" }, "options.prepare"],
    [{ connectionString: "postgres://localhost/db", ssl: "perhaps" }, "options.ssl"],
    [{ connectionString: "postgres://localhost/db", migrate: "maybe" }, "options.migrate"],
    [{ connectionString: "postgres://localhost/db", poolsize: 3 }, "poolsize"],
  ] as const;
  for (const [options, words] of wrong) {
    const refused = await rejection((async () => open(options as never))());
    expect(refused).toMatchObject({ name: "CheckpointError", code: "INVALID_ARGUMENT" });
    expect(refused.message).toContain(words);
    expect(refused.message).not.toContain("hunter2");
  }
});

it("asks for TLS where it is told to, and is refused by a server that has none", async () => {
  const { url } = await emptyDatabase();
  const [row] = await connect(url)`select current_setting('ssl') as ssl`;
  expect(row).toEqual({ ssl: "off" });
  for (const options of [
    { connectionString: `${url}?sslmode=require` },
    { connectionString: url, ssl: "require" } as const,
  ]) {
    const refused = await rejection(open({ ...options, operationTimeoutMs: 2_000 }).listCheckpoints());
    expect(refused["retryable"]).toBe(true);
  }
  expect(await open({ connectionString: url, ssl: "prefer" }).listCheckpoints()).toEqual([]);
});
