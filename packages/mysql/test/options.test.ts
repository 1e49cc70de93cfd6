import { callEveryMethod, describePool, rejection, storeFifty } from "@waymark/conformance";
import mysql from "mysql2";
import mysqlPromise, { type PoolOptions } from "mysql2/promise";
import { describe, expect, it, onTestFinished } from "vitest";
import { checkpoint, emptyDatabase, open, run, servers, serversOfDriver } from "./on-server.ts";

for (const { target } of serversOfDriver) describePool(target);

describe.each(serversOfDriver)("a pool of the user's own on $title", ({ url: serverUrl }) => {
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
  ])("that %s, of either module, works, and is left open", async (_, options) => {
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
      await callEveryMethod(storage);
      await storeFifty(storage);
      expect((await storage.status()).providers.main).toMatchObject({ location: null, driver: "mysql2" });
      const [newest] = await storage.listCheckpoints({ limit: 1 });
      expect(newest).toMatchObject({ createdAt: 1_700_000_000_000, name: expect.stringMatching(/^turn \d+$/) });
      expect(await storage.stats()).toMatchObject({ checkpoints: 50, stateBytes: 50 * '{"turn":1}'.length });
      await storage.close();
      await expect(storage.listCheckpoints()).rejects.toMatchObject({ code: "CLOSED" });
      const [rows] = await promised.query("select 1 as one");
      expect(rows).toHaveLength(1);
    }
  });
});

describe.each(servers)("$title", ({ kind, url: serverUrl }) => {
  const settings = ["autocommit = 0", "completion_type = 1", ...(kind === "mariadb" ? ["sql_mode = ORACLE"] : [])];

  it.each(settings)("commits what it acknowledges, on a pool with %s too", async (setting) => {
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
  });

  it("uses TLS where its options say so, and refuses a certificate that it does not trust", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const [row] = await run(url, "show variables like 'have_ssl'");
    const hasTls = row === undefined || row["Value"] === "YES"; // MySQL 9 always has it
    for (const trusting of [
      open({ connectionString: url, ssl: { rejectUnauthorized: false } }),
      open({ connectionString: `${url}?ssl-mode=REQUIRED` }),
    ]) {
      if (hasTls) expect(await trusting.listCheckpoints()).toEqual([]);
      else await expect(trusting.listCheckpoints()).rejects.toMatchObject({ code: "ACCESS_DENIED" });
    }
    const refused = await rejection(open({ connectionString: url, ssl: true }).listCheckpoints());
    expect(refused.name).toBe("CheckpointError");
  });
});

it("refuses wrong options at once, names what it expects, and does not show them", async () => {
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
    [{ connectionString: "mysql://localhost/db", ssl: undefined }, "options.ssl"],
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
