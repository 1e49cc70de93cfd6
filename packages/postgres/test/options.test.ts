import { callEveryMethod, describePool, rejection, storeFifty } from "@waymark/conformance";
import postgres from "postgres";
import { expect, it, onTestFinished } from "vitest";
import { startPgbouncer } from "waymark-test-servers";
import { checkpoint, connect, emptyDatabase, open, run, sharedServer, target } from "./on-server.ts";

describePool(target);

it("works through pgbouncer in transaction mode by default, with fewer connections than clients", async () => {
  const database = await emptyDatabase();
  const pooler = await startPgbouncer(sharedServer(), { poolSize: 2 });
  onTestFinished(() => pooler.stop());
  const storages = [1, 2, 3].map(() => open({ connectionString: pooler.url(database.name) }));
  await Promise.all(storages.map((storage) => storage.migrate()));
  await callEveryMethod(storages[0] as ReturnType<typeof open>);
  const ids = await Promise.all(storages.map(storeFifty));
  expect(new Set(ids.flat()).size).toBe(150);
  expect(await open({ connectionString: database.url }).listCheckpoints()).toHaveLength(150);
});

it("prepares statements with the option prepare, and never without it", async () => {
  for (const prepare of [true, false]) {
    const { url } = await emptyDatabase();
    const client = connect(url);
    const storage = open({ client, prepare });
    await callEveryMethod(storage);
    const [counts] = await client.unsafe(
      "select count(*)::int as prepared from pg_prepared_statements where statement ilike '%checkpoints%'",
    );
    if (prepare) expect(counts?.["prepared"]).toBeGreaterThan(0);
    else expect(counts).toEqual({ prepared: 0 });
    await callEveryMethod(open({ connectionString: url, prepare }));
  }
});

it("leaves a user's own client open, and its reading and writing of dates as it was", async () => {
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
  await callEveryMethod(storage);
  expect((await storage.status()).providers.main).toMatchObject({ location: null, driver: "postgres.js" });
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
])("works on a user's own client that %s", async (_, options) => {
  const { url } = await emptyDatabase();
  const client = connect(url, options as Parameters<typeof connect>[1]);
  const storage = open({ client: client as never });
  await callEveryMethod(storage);
  await storeFifty(storage);
  const [newest] = await storage.listCheckpoints({ limit: 1 });
  expect(newest).toMatchObject({ createdAt: 1_700_000_000_000, name: expect.stringMatching(/^turn \d+$/) });
  expect(Object.keys(newest ?? {}).sort()).toEqual(["agentId", "createdAt", "id", "name"]);
  expect(await storage.stats()).toMatchObject({ checkpoints: 50, stateBytes: 50 * '{"turn":1}'.length });
});

it("decodes the name of a database", async () => {
  const { url, name } = await emptyDatabase();
  const other = `a b/c%${name}`;
  await run(sharedServer(), `create database "${other}"`);
  onTestFinished(async () => void (await run(sharedServer(), `drop database "${other}" with (force)`)));
  const named = open({ connectionString: url.replace(name, encodeURIComponent(other)) });
  expect(await named.listCheckpoints()).toEqual([]);
  await named.close();
});

it("sends settings of the server, and names the one that it refuses, of a pooler too", async () => {
  const { url, name } = await emptyDatabase();
  const working = open({
    connectionString: `${url}?statement_timeout=5000&app.tenant=x&options=-c%20lock_timeout%3D5s`,
  });
  expect(await working.listCheckpoints()).toEqual([]);
  const pooler = await startPgbouncer(sharedServer(), { poolSize: 1 });
  onTestFinished(() => pooler.stop());
  for (const [connectionString, parameter] of [
    [`${url}?statement_timeout=hunter2`, "statement_timeout (22023)"],
    [`${url}?role=hunter2`, "role (22023)"],
    [`${url}?options=-c%20hunter2%3D1`, "options (42704)"],
    [`${pooler.url(name)}?lock_timeout=5000`, "lock_timeout (08P01)"],
  ]) {
    const refused = await rejection(open({ connectionString }).listCheckpoints());
    const words = {
      code: "INVALID_CONFIG",
      message: expect.stringContaining(`refuses the parameter ${parameter?.split(" ")[0]}`),
    };
    expect(refused).toMatchObject(words);
    expect(refused.message).toContain(parameter?.split(" ")[1]);
    expect(refused.message).not.toContain("hunter2");
  }
});

/** Settings of a database that sessions begin with, each of which some statement might depend on. */
const SETTINGS = [
  "bytea_output = 'escape'",
  "standard_conforming_strings = off",
  "default_transaction_isolation = 'serializable'",
  "default_transaction_deferrable = on",
  "row_security = off",
  "search_path = 'nothing'",
  "client_encoding = 'LATIN1'",
  "datestyle = 'German'",
  "intervalstyle = 'sql_standard'",
  "timezone = 'Asia/Tokyo'",
  "transform_null_equals = on",
  "array_nulls = off",
  "quote_all_identifiers = on",
  "extra_float_digits = 0",
  "plan_cache_mode = 'force_generic_plan'",
  "statement_timeout = 10000",
  "idle_in_transaction_session_timeout = 10000",
];

it("works whatever the database's settings are, and refuses a user's own client where bytes do not come as they are", async () => {
  const { name, url } = await emptyDatabase();
  await run(sharedServer(), ...SETTINGS.map((setting) => `alter database ${name} set ${setting}`));
  for (const prepare of [false, true]) {
    const storage = open({ connectionString: url, prepare });
    await callEveryMethod(storage);
    const state = { text: "\\ ' \u0001 é 🚀", random: Array.from({ length: 1_000 }, () => Math.random()) };
    const id = await storage.storeCheckpoint(checkpoint({ state })); // compressed: bytes of every kind
    expect(await open({ connectionString: url }).retrieveCheckpoint(id)).toMatchObject({ state });
    await storage.deleteAgent("agent");
  }
  const refused = await rejection(open({ client: connect(url) as never }).listCheckpoints());
  expect(refused).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining("bytea_output") });
});

it("refuses wrong options at once, names what it expects, and does not show them", async () => {
  const wrong = [
    [{}, "one of connectionString, client, pgliteDataDir, pglite"],
    [{ connectionString: undefined }, "is the environment variable set?), got undefined"],
    [{ connectionString: "mysql://root:hunter2@localhost/db" }, "postgres://"],
    [
      { connectionString: "postgres://u:hunter2@localhost/db", client: connect(sharedServer()) },
      "one of connectionString, client, pgliteDataDir, pglite",
    ],
    [{ client: { query() {} } }, "postgres.js client"],
    [{ client: connect(sharedServer()), poolSize: 3 }, "poolSize"],
    [{ connectionString: "postgres://localhost/db", schema: 'a"; drop table x' }, "options.schema"],
    [{ connectionString: "postgres://localhost/db", tablePrefix: "a-b" }, "options.tablePrefix"],
    [{ connectionString: "postgres://localhost/db", tablePrefix: "p".repeat(25) }, "options.tablePrefix"],
    [{ connectionString: "postgres://localhost/db", poolSize: 0 }, "options.poolSize"],
    [{ connectionString: "postgres://localhost/db", prepare: "no" }, "options.prepare"],
    [{ connectionString: "postgres://localhost/db", ssl: "perhaps" }, "options.ssl"],
    [{ connectionString: "postgres://localhost/db", ssl: undefined }, "options.ssl"],
    [{ connectionString: "postgres://localhost/db", migrate: "maybe" }, "options.migrate"],
    [{ connectionString: "postgres://localhost/db", poolsize: 3 }, "poolsize"],
    [{ pgliteDataDir: undefined }, "options.pgliteDataDir to be a folder's path (is the environment variable set?)"],
    [{ pgliteDataDir: "./x", connectionString: "postgres://localhost/db" }, "got connectionString and pgliteDataDir"],
    [{ pgliteDataDir: "./x", poolSize: 3 }, "options.poolSize to be absent beside options.pgliteDataDir"],
    [{ pgliteDataDir: "postgres://u:hunter2@h/d" }, "got a URL (postgres:)"],
    [{ pgliteDataDir: "idb://x" }, "got a URL (idb:)"],
    [{ pgliteDataDir: "~/x" }, "got ~, which only a shell replaces"],
    [{ pgliteDataDir: " x" }, "a path without spaces around it"],
    [{ pgliteDataDir: "" }, "options.pgliteDataDir"],
    [{ pglite: {} }, "options.pglite to be a PGlite, got an object"],
  ] as const;
  for (const [options, words] of wrong) {
    const refused = await rejection((async () => open(options as never))());
    expect(refused).toMatchObject({ name: "CheckpointError", code: "INVALID_ARGUMENT" });
    expect(refused.message).toContain(words);
    expect(refused.message).not.toContain("hunter2");
  }
});

it("asks for TLS where its options say so, and is refused by a server that has none", async () => {
  const { url } = await emptyDatabase();
  const [row] = await connect(url)`select current_setting('ssl') as ssl`;
  expect(row).toEqual({ ssl: "off" });
  for (const options of [
    { connectionString: `${url}?sslmode=require` },
    { connectionString: url, ssl: "require" } as const,
  ]) {
    const refused = await rejection(open(options).listCheckpoints());
    expect(refused).toMatchObject({ code: "ACCESS_DENIED", message: expect.stringContaining("no TLS") });
  }
  expect(await open({ connectionString: url, ssl: "prefer" }).listCheckpoints()).toEqual([]);
});
