import mysql from "mysql2";
import mysqlPromise, { type PoolOptions } from "mysql2/promise";
import { describe, expect, it, onTestFinished } from "vitest";
import { checkpoint, emptyDatabase, open, rejection, run, servers } from "./on-server.ts";

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

describe.each(servers)("$title", ({ url: serverUrl }) => {
  const connectionsTo = async (name: string) =>
    (await run(serverUrl, `select id from information_schema.processlist where db = '${name}'`)).length;

  it("opens no more connections than poolSize, and needs no more than one", async () => {
    for (const poolSize of [1, 3]) {
      const database = await emptyDatabase(serverUrl);
      const storage = open({ connectionString: database.url, poolSize });
      await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
      // Stores that come at once share a commit; reads do not.
      await Promise.all(fifty.map(() => storage.listCheckpoints({ limit: 1 })));
      expect(await connectionsTo(database.name)).toBe(poolSize);
      expect(await storage.deleteAgent("agent")).toBe(50);
      await live(storage);
    }
  });

  it("gives back idle connections after idleTimeoutMs, and goes on with new ones", async () => {
    const database = await emptyDatabase(serverUrl);
    const storage = open({ connectionString: database.url, idleTimeoutMs: 50 });
    await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
    for (let left = 1; left > 0; ) left = await connectionsTo(database.name);
    expect(await storage.listCheckpoints()).toHaveLength(50);
  });

  it.each(["autocommit = 0", "completion_type = 1"])(
    "commits what it acknowledges, on a pool with %s too",
    async (setting) => {
      const { url } = await emptyDatabase(serverUrl);
      const pool = mysql.createPool({ uri: url, connectionLimit: 1 });
      onTestFinished(() => pool.promise().end());
      pool.on("connection", (connection) => connection.query(`set ${setting}`));
      const storage = open({ pool });
      const first = await storage.storeCheckpoint(checkpoint());
      const second = await storage.storeCheckpoint(checkpoint(), { ifLatest: first });
      const third = await storage.storeCheckpoint(checkpoint());
      const other = open({ connectionString: url });
      expect((await other.listCheckpoints()).map(({ id }) => id)).toEqual([third, second, first]);
    },
  );

  it.each<[string, PoolOptions]>([
    ["is as it comes", {}],
    ["reads big numbers as strings", { supportBigNumbers: true, bigNumberStrings: true }],
    ["reads dates as strings", { dateStrings: true }],
    ["reads decimals as numbers", { decimalNumbers: true }],
    ["reads rows as arrays", { rowsAsArray: true }],
    [
      "has a typeCast of its own",
      { typeCast: (field, next) => (field.type === "LONGLONG" ? `${field.string()}n` : next()) },
    ],
    ["has another character set", { charset: "latin1_swedish_ci" }],
    ["allows several statements", { multipleStatements: true }],
    ["counts only the rows that change", { flags: ["-FOUND_ROWS"] }],
    ["replaces named placeholders", { namedPlaceholders: true }],
    ["has one connection", { connectionLimit: 1 }],
  ])("works on a pool of the user's own that %s, of either module, and leaves it open", async (_, options) => {
    const pools = [
      (url: string) => mysql.createPool({ uri: url, ...(options as object) }),
      (url: string) => mysqlPromise.createPool({ uri: url, ...options }),
    ];
    for (const makePool of pools) {
      const { url } = await emptyDatabase(serverUrl);
      const pool = makePool(url);
      const promised = "promise" in pool ? pool.promise() : pool;
      onTestFinished(() => promised.end());
      const storage = open({ pool });
      await live(storage);
      await Promise.all(fifty.map((one) => storage.storeCheckpoint(one)));
      const [newest] = await storage.listCheckpoints({ limit: 1 });
      expect(newest).toMatchObject({ createdAt: 1_700_000_000_000, name: expect.stringMatching(/^turn \d+$/) });
      expect(await storage.stats()).toMatchObject({ checkpoints: 50, stateBytes: 50 * '{"turn":1}'.length });
      await storage.close();
      await expect(storage.listCheckpoints()).rejects.toMatchObject({ code: "CLOSED" });
      const [rows] = await promised.query("select 1 as one");
      expect(rows).toHaveLength(1);
    }
  });

  it("takes TLS if it is told to, and is refused where the certificate is nobody's that it knows", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const [row] = await run(url, "show variables like 'have_ssl'");
    const hasTls = row === undefined || row["Value"] === "YES"; // MySQL 9 has always
    const trusting = open({ connectionString: url, ssl: { rejectUnauthorized: false } });
    if (hasTls) expect(await trusting.listCheckpoints()).toEqual([]);
    else await expect(trusting.listCheckpoints()).rejects.toMatchObject({ name: "CheckpointError" });
    const refused = await rejection(open({ connectionString: url, ssl: true }).listCheckpoints());
    expect(refused.name).toBe("CheckpointError");
  });
});

it("says what it takes for its options, at once and without showing them", async () => {
  const pool = { getConnection() {}, query() {}, end() {} };
  const wrong = [
    [{}, "connectionString or pool"],
    [{ connectionString: "postgres://root:hunter2@localhost/db" }, "mysql://"],
    [{ connectionString: "mysql://u:hunter2@localhost/db", pool }, "connectionString or pool"],
    [{ pool: { query() {} } }, "pool"],
    [{ pool, poolSize: 3 }, "poolSize"],
    [{ connectionString: "mysql://localhost/db", tablePrefix: "a-b" }, "options.tablePrefix"],
    [{ connectionString: "mysql://localhost/db", tablePrefix: "p".repeat(25) }, "options.tablePrefix"],
    [{ connectionString: "mysql://localhost/db", poolSize: 0 }, "options.poolSize"],
    [{ connectionString: "mysql://localhost/db", ssl: "perhaps" }, "options.ssl"],
    [{ connectionString: "mysql://localhost/db", migrate: "maybe" }, "options.migrate"],
    [{ connectionString: "mysql://localhost/db", schema: "other" }, "schema"],
  ] as const;
  for (const [options, words] of wrong) {
    const refused = await rejection((async () => open(options as never))());
    expect(refused).toMatchObject({ name: "CheckpointError", code: "INVALID_ARGUMENT" });
    expect(refused.message).toContain(words);
    expect(refused.message).not.toContain("hunter2");
  }
});
