import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { callEveryMethod, rejection, storeFifty, untilDone } from "@waymark/conformance";
import { createPool } from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createDatabase, killable, type Server, startServer } from "waymark-test-servers";
import { classify } from "../src/errors.ts";
import { checkpoint, connect, open, run, servers } from "./on-server.ts";

/** Faults of a whole server, in this order: it does not come back from the last one. */
describe.runIf(process.platform === "linux").each(servers)("a $title server", ({ kind }) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
  });
  afterAll(() => server.stop());

  /** Makes a database and a user of its own. Administrators are let through where others are refused. */
  async function databaseOfUser() {
    const database = await createDatabase(server.url); // it is gone with the server
    await open({ connectionString: database.url }).migrate();
    await run(server.url, `create user ${database.name} identified by 'right'`);
    await run(server.url, `grant all on ${database.name}.* to ${database.name}`);
    const url = new URL(database.url);
    url.username = database.name;
    url.password = "right";
    return { name: database.name, url: url.href };
  }

  it("that takes no writes, as a replica, refuses stores with READ_ONLY until it takes them", async () => {
    const { url } = await databaseOfUser();
    await run(server.url, "set global read_only = 1");
    const error = await rejection(run(url, "create table t (n integer)"));
    expect(error).toMatchObject({ errno: 1290 });
    expect(classify(error)).toBe("read-only");
    const storage = open({ connectionString: url, migrate: "off" });
    expect(await rejection(storage.storeCheckpoint(checkpoint()))).toMatchObject({ code: "READ_ONLY" });
    expect(await storage.listCheckpoints()).toEqual([]);
    await run(server.url, "set global read_only = 0");
    await storage.storeCheckpoint(checkpoint());
  });

  it("that has other settings than most is used as any", async () => {
    const isolation = { mysql: "transaction_isolation", mariadb: "tx_isolation" }[kind as "mysql" | "mariadb"];
    const modes = ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PAD_CHAR_TO_FULL_LENGTH", "NO_UNSIGNED_SUBTRACTION"];
    if (kind === "mariadb") modes.push("ORACLE");
    const settings = [
      ["innodb_default_row_format", "'compact'"],
      ["innodb_strict_mode", "0"],
      ["default_storage_engine", "MyISAM"],
      ["character_set_server", "latin1"],
      ["sql_mode", `'${modes.join()}'`], // not strict: too long a value is cut off
      ["autocommit", "0"],
      ["completion_type", "2"],
      [isolation, "'READ-UNCOMMITTED'"],
      ["foreign_key_checks", "0"],
      ["sql_select_limit", "1"],
      ["max_join_size", "1"],
      ["sql_big_selects", "0"],
      ["sql_safe_updates", "1"],
      ["max_allowed_packet", "65536"],
    ];
    const { url } = await createDatabase(server.url);
    const admin = await connect(server.url);
    for (const [name, value] of settings) await admin.query(`set global ${name} = ${value}`);
    const storage = open({ connectionString: url });
    await callEveryMethod(storage);
    await storeFifty(storage);
    expect(await storage.listCheckpoints()).toHaveLength(50);
    const state = Array.from({ length: 20_000 }, () => Math.random());
    expect(await rejection(storage.storeCheckpoint(checkpoint({ state })))).toMatchObject({ code: "STATE_TOO_LARGE" });
    for (const [name] of settings) await admin.query(`set global ${name} = default`);
  });

  it("that takes no more connections of a user, or none, is overloaded or denies access", async () => {
    const { name, url } = await databaseOfUser();
    if (kind === "mysql") {
      await run(server.url, "set global max_user_connections = 1");
      await connect(url);
      const error = await rejection(connect(url));
      expect(error).toMatchObject({ errno: 1203 });
      expect(classify(error)).toBe("overload");
      await run(server.url, "set global max_user_connections = 0");
    }
    await run(server.url, `alter user ${name} account lock`);
    const locked = await rejection(connect(url));
    expect(locked).toMatchObject({ errno: { mysql: 3118, mariadb: 4151 }[kind as "mysql" | "mariadb"] });
    expect(classify(locked)).toBe("login");
  });

  it("has pools whose faults are known by their messages alone", async () => {
    const { url } = await databaseOfUser();
    const full = createPool({ uri: url, connectionLimit: 1, queueLimit: 1 });
    const held = await full.getConnection();
    const waiting = rejection(full.getConnection());
    expect(classify(await rejection(full.getConnection()))).toBe("overload");
    held.destroy();
    const ending = full.end();
    expect(classify(await waiting)).toBe("connection");
    expect(classify(await rejection(full.getConnection()))).toBe("connection");
    await ending;

    const impatient = createPool({ uri: url, connectionLimit: 1, waitForConnections: false });
    await impatient.getConnection();
    expect(classify(await rejection(impatient.getConnection()))).toBe("overload");
    await impatient.end();
  });

  it("that has no TLS, or a certificate that nobody signed, denies access where TLS is wanted", async () => {
    const { url } = await databaseOfUser();
    const error = await rejection(connect(url, { ssl: {} }));
    expect(["HANDSHAKE_NO_SSL_SUPPORT", "HANDSHAKE_SSL_ERROR"]).toContain(error["code"]);
    expect(classify(error)).toBe("tls");
  });

  it.runIf(process.getuid?.() === 0)(
    "that has no disk left refuses stores, and takes them when there is room",
    async () => {
      const small = await startServer(kind, { from: killable, diskBytes: 400_000_000 });
      onTestFinished(() => small.stop());
      const { url } = await createDatabase(small.url);
      await open({ connectionString: url }).migrate();
      const storage = open({ connectionString: url, operationTimeoutMs: kind === "mysql" ? 20_000 : 5_000 });
      await untilDone(() => storage.listAgents());
      await untilRedoFilesAreEqual(small.url);
      await small.fillDisk();
      // Compression does not make it small.
      const state = Array.from({ length: 100_000 }, () => Math.random());
      const error = await rejection(storage.storeCheckpoint(checkpoint({ state })));
      // MariaDB does not answer for some seconds, and then breaks all connections: either may come first.
      const expected = {
        mysql: { code: "STORAGE_FULL", cause: { errno: 1114 } },
        mariadb: { code: expect.stringMatching(/^(TIMEOUT|UNAVAILABLE)$/) },
      };
      expect(error).toMatchObject(expected[kind as "mysql" | "mariadb"]);
      await small.freeDisk();
      const afterwards = open({ connectionString: url });
      await afterwards.storeCheckpoint(checkpoint({ state }));
    },
  );

  it("that shuts down is unreachable, also for statements under way", async () => {
    const { url } = await databaseOfUser();
    const [one, other, admin] = [await connect(url), await connect(url), await connect(server.url)];
    await one.query("create table t (n integer primary key)");
    await one.query("begin");
    await one.query("insert into t values (1)");
    const waiting = rejection(other.query("insert into t values (1)"));
    const waits = async () => JSON.stringify((await admin.query("show processlist"))[0]).includes("insert into t");
    while (!(await waits()));
    await admin.query("shutdown");
    expect(classify(await waiting)).toBe("connection");
    const error = await rejection(connect(url));
    expect(classify(error)).toBe("connection");
  });
});

/**
 * Some seconds after it starts, MySQL makes its first redo file as large as the others, and aborts if there is no disk left for
 * that: https://dev.mysql.com/doc/refman/en/innodb-redo-log.html
 */
async function untilRedoFilesAreEqual(serverUrl: string): Promise<void> {
  const [row] = await run(serverUrl, "select @@datadir as folder");
  const folder = join(String(row?.["folder"]), "#innodb_redo"); // MariaDB has none
  const sizes = () =>
    new Set(readdirSync(folder).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size));
  while (existsSync(folder) && sizes().size > 1) await turn();
}
