import { rejection, untilDone } from "@waymark/conformance";
import type { Fault } from "@waymark/core/kit";
import { createConnection } from "mysql2/promise";
import { describe, expect, it, onTestFinished } from "vitest";
import { killable, startProxy, startServer, type TestDatabase } from "waymark-test-servers";
import { classify } from "../src/errors.ts";
import { checkpoint, connect, emptyDatabase, open, plainUser, run, servers, type TestServer } from "./on-server.ts";

type Provocation = (database: TestDatabase, server: TestServer) => Promise<unknown>;

/** Ways to provoke each error of the server or the driver, and the fault that it is. */
const provocations: readonly [code: number | string, Fault, Provocation][] = [
  [1213, "serialization", deadlock],
  [
    1205,
    "busy",
    async ({ url }) => {
      const [one, other] = [await connect(url), await connect(url)];
      await one.query("create table t (n integer)");
      await one.query("insert into t values (1)");
      await one.query("begin");
      await one.query("select * from t for update");
      await other.query("set innodb_lock_wait_timeout = 1");
      await other.query("update t set n = 2");
    },
  ],
  [
    1317,
    "timeout",
    async ({ url }) => {
      const [one, other, admin] = [await connect(url), await connect(url), await connect(url)];
      await one.query("create table t (n integer)");
      await one.query("insert into t values (1)");
      await one.query("begin");
      await one.query("select n from t for update");
      const waiting = rejection(other.query("update t set n = 2"));
      const waits = async () => JSON.stringify((await admin.query("show processlist"))[0]).includes("update t set");
      while (!(await waits()));
      await admin.query(`kill query ${other.threadId}`);
      throw await waiting;
    },
  ],
  [
    1045,
    "login",
    async (database) => {
      const user = await plainUser(database);
      await run(user.url.replace("right", "wrong"), "select 1");
    },
  ],
  [1044, "database", async (database) => await run((await plainUser(database)).url, "select 1")],
  [1049, "database", async ({ url }) => await run(`${url}_not`, "select 1")],
  [
    1046,
    "database",
    async ({ url }) => {
      const nowhere = new URL(url);
      nowhere.pathname = "";
      await run(nowhere.href, "select * from t");
    },
  ],
  [
    1142,
    "privilege",
    async (database) => {
      const user = await plainUser(database);
      await run(database.url, "create table t (n integer)");
      await run(database.url, "create table mine (n integer)");
      await run(database.url, `grant select on ${database.name}.mine to ${user.name}`);
      await run(user.url, "select * from t");
    },
  ],
  [
    1227,
    "privilege",
    async (database) => {
      const user = await plainUser(database);
      await run(database.url, `grant all on ${database.name}.* to ${user.name}`);
      await run(user.url, "set global max_connections = 5");
    },
  ],
  [
    1226,
    "overload",
    async (database) => {
      const user = await plainUser(database);
      await run(database.url, `grant all on ${database.name}.* to ${user.name}`);
      await run(database.url, `alter user ${user.name} with max_user_connections 1`);
      const first = await connect(user.url);
      await first.query("select 1");
      await run(user.url, "select 1");
    },
  ],
  [
    1792,
    "read-only",
    async ({ url }) => {
      const connection = await connect(url);
      await connection.query("create table t (n integer)");
      await connection.query("set session transaction read only");
      await connection.query("insert into t values (1)");
    },
  ],
  [1146, "schema", async ({ url }) => await run(url, "select * from nothing")],
  [1054, "schema", async ({ url }) => await run(url, "select nothing from information_schema.tables")],
  [
    1176,
    "schema",
    async ({ url }) => {
      await run(url, "create table t (n integer)");
      await run(url, "select * from t force index (nothing)");
    },
  ],
  [
    1062,
    "duplicate",
    async ({ url }) => {
      await run(url, "create table t (n integer primary key)");
      await run(url, "insert into t values (1), (1)");
    },
  ],
  [
    1452,
    "foreign-key",
    async ({ url }) => {
      await run(url, "create table t (n integer primary key, b integer, foreign key (b) references t (n))");
      await run(url, "insert into t values (1, 2)");
    },
  ],
  [
    1451,
    "foreign-key",
    async ({ url }) => {
      await run(url, "create table t (n integer primary key, b integer, foreign key (b) references t (n))");
      await run(url, "insert into t values (1, null), (2, 1)");
      await run(url, "delete from t where n = 1");
    },
  ],
  [
    1406,
    "too-large",
    async ({ url }) => {
      await run(url, "create table t (n varbinary(2))");
      await run(url, "insert into t values ('too long')");
    },
  ],
  [
    1153,
    "too-large",
    async ({ url }) => {
      // The server's answer may be lost with the connection that it cuts: then the statement runs again.
      const text = `select length('${"x".repeat(70_000_000)}')`;
      for (;;) {
        const error = (await rejection(run(url, text))) as { code?: string };
        if (!["ECONNRESET", "EPIPE", "PROTOCOL_CONNECTION_LOST"].includes(error.code ?? "")) throw error;
      }
    },
  ],
  [
    1365,
    "other",
    async ({ url }) => {
      await run(url, "create table t (n integer)");
      await run(url, "insert into t values (1 / 0)");
    },
  ],
  [
    "ECONNRESET",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      const connection = await connect(proxy.url);
      const lost = rejection(connection.query("select sleep(60)"));
      proxy.dropAll();
      await proxy.stop();
      throw await lost;
    },
  ],
  [
    "ETIMEDOUT",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      onTestFinished(() => proxy.stop());
      proxy.blackhole(true);
      await createConnection({ uri: proxy.url, connectTimeout: 50 });
    },
  ],
  [
    "ECONNREFUSED",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      await proxy.stop();
      await run(proxy.url, "select 1");
    },
  ],
  ["ENOENT", "connection", async () => await createConnection({ socketPath: "/nothing/of/this/name" })],
];

async function deadlock({ url }: TestDatabase): Promise<void> {
  const [one, other] = [await connect(url), await connect(url)];
  await one.query("create table t (id integer primary key, n integer)");
  await one.query("insert into t values (1, 0), (2, 0)");
  for (const connection of [one, other]) await connection.query("begin");
  await one.query("update t set n = 1 where id = 1");
  await other.query("update t set n = 1 where id = 2");
  const crossing = [one.query("update t set n = 1 where id = 2"), other.query("update t set n = 1 where id = 1")];
  await Promise.all(crossing);
}

/** The servers' numbers from 1000 to 1299 and from 1800 to 1899 that mean something, MariaDB's and MySQL's own, and clients'. */
const numbers: Readonly<Partial<Record<Fault, readonly number[]>>> = {
  duplicate: [1022, 1062, 1586],
  "foreign-key": [1216, 1217, 1451, 1452],
  serialization: [1020, 1213, 1412, 1615, 3101],
  busy: [1015, 1027, 1205, 1206, 1223, 1297, 3572],
  timeout: [1317, 1969, 3024],
  connection: [
    1042, 1043, 1053, 1077, 1078, 1079, 1080, 1152, 1156, 1157, 1158, 1159, 1160, 1161, 1180, 1181, 1184, 1835, 1927,
    2002, 2003, 2005, 2006, 2013, 2027, 2055, 3169, 4031,
  ],
  outage: [1047, 3032, 3100, 3168, 9001],
  overload: [1037, 1040, 1041, 1129, 1135, 1203, 1226, 1637, 4082, 4083],
  full: [1021, 1114, 1878],
  "read-only": [1036, 1290, 1792, 1836, 1874, 1881],
  login: [1045, 1130, 1251, 1524, 1698, 1820, 1862, 1873, 3118, 3955, 4151],
  database: [1044, 1046, 1049],
  privilege: [1142, 1143, 1227, 1370],
  tls: [3159],
  schema: [1054, 1146, 1176, 1932],
  "too-large": [1153, 1197, 1406, 1713],
};

it("classifies every number of the servers", () => {
  const known = new Map(Object.entries(numbers).flatMap(([fault, all]) => all.map((errno) => [errno, fault as Fault])));
  const ranges = [
    [1_000, 2_100],
    [3_000, 4_200],
    [9_000, 9_010],
  ] as const;
  for (const [from, to] of ranges) {
    for (let errno = from; errno < to; errno++)
      expect([errno, classify({ errno })]).toEqual([errno, known.get(errno) ?? "other"]);
  }
});

it("classifies errors that cannot be provoked here: by code, and by message", () => {
  const faults: readonly [error: object, fault: Fault][] = [
    [{ errno: 1047, message: "WSREP has not yet prepared node for application use" }, "outage"],
    [{ errno: 1017, message: "Can't find file: './t.ibd' (errno: 24 \"Too many open files\")" }, "overload"],
    [{ errno: 1026, message: "Error writing file './t.ibd' (errno: 5 \"Input/output error\")" }, "outage"],
    [{ errno: 1005, message: 'Can\'t create table `t` (errno: 30 "Read-only file system")' }, "read-only"],
    [{ errno: 1030, message: "Got error 28 'No space left on device' from storage engine InnoDB" }, "full"],
    [{ errno: 3, message: "Error writing file '/tmp/x' (OS errno 28 - No space left on device)" }, "full"],
    [{ errno: 1030, message: "Got error 168 from storage engine" }, "other"],
    [{ code: "HANDSHAKE_SSL_ERROR", fatal: true, message: "self-signed certificate" }, "tls"],
    [{ code: "HANDSHAKE_SSL_ERROR", fatal: true, message: "socket hang up" }, "connection"],
    [{ code: "PROTOCOL_UNEXPECTED_PACKET", fatal: true }, "connection"],
    [{ code: "ERR_OUT_OF_RANGE", fatal: true }, "connection"],
    [{ message: "Should not reach here: 251", fatal: true }, "connection"],
    [{ errno: 1064, fatal: true }, "other"],
  ];
  for (const [error, fault] of faults) expect([error, classify(error)]).toEqual([error, fault]);
});

it("classifies any other error as other", () => {
  for (const error of [new Error("no code"), { errno: 5 }, { code: "EMOJI" }, "ECONNREFUSED", 1213, null, undefined]) {
    expect(classify(error)).toBe("other");
  }
});

describe.each(servers)("$title", (server) => {
  const { url: serverUrl } = server;

  it.each(provocations)("classifies %s as %s", async (code, fault, provoke) => {
    const error = await rejection(provoke(await emptyDatabase(serverUrl), server));
    expect(error).toMatchObject(typeof code === "number" ? { errno: code } : { code });
    expect(classify(error)).toBe(fault);
    expect(classify(new Error("wrapped", { cause: error }))).toBe(fault);
  });

  it("classifies a connection that was killed, in use or idle, as connection", async () => {
    const { url } = await emptyDatabase(serverUrl);
    const killed = await connect(url);
    const sleeping = rejection(killed.query("select sleep(60)"));
    await run(url, `kill ${killed.threadId}`);
    expect(classify(await sleeping)).toBe("connection");

    const idle = await connect(url);
    const gone = new Promise((resolve) => idle.on("error", resolve));
    await run(url, `kill ${idle.threadId}`);
    const lost = await gone;
    expect(lost).toMatchObject({ code: "PROTOCOL_CONNECTION_LOST" });
    expect(classify(lost)).toBe("connection");
    expect(classify(await rejection(idle.query("select 1")))).toBe("connection");
  });

  it("classifies a server without a free connection as overload", async () => {
    // On a server of its own: other tests need connections too.
    const own = await startServer(server.kind, { from: killable });
    onTestFinished(() => own.stop());
    await run(own.url, "set global max_connections = 10");
    let refusal: unknown;
    while (refusal === undefined) {
      try {
        const connection = await createConnection({ uri: own.url, connectTimeout: 50_000 });
        onTestFinished(() => connection.destroy());
      } catch (error) {
        refusal = error;
      }
    }
    expect(refusal).toMatchObject({ errno: 1040 });
    expect(classify(refusal)).toBe("overload");
  });

  it("names the fault of a database that lacks a table, a column or an index", async () => {
    for (const statement of [
      "drop table agent_checkpoint_labels, agent_checkpoint_writes, agent_checkpoints",
      "alter table agent_checkpoints drop column state",
      "drop index agent_checkpoints_by_agent on agent_checkpoints",
    ]) {
      const { url } = await emptyDatabase(serverUrl);
      await open({ connectionString: url }).migrate();
      await run(url, statement);
      const storage = open({ connectionString: url, migrate: "off" });
      const calls = async () => {
        await storage.storeCheckpoint(checkpoint());
        await storage.listCheckpoints({ agentId: "agent" });
      };
      expect(await rejection(calls())).toMatchObject({ code: "SCHEMA_OUTDATED", retryable: false });
    }
  });

  it("names the fault of a table that is locked for too long", async () => {
    const { url } = await emptyDatabase(serverUrl);
    await open({ connectionString: url }).migrate();
    const storage = open({ connectionString: url, operationTimeoutMs: 1_000 });
    await untilDone(() => storage.listAgents());
    const admin = await connect(url);
    await admin.query("lock tables agent_checkpoints write");
    expect(await rejection(storage.storeCheckpoint(checkpoint()))).toMatchObject({ code: "TIMEOUT", retryable: true });
    await admin.query("unlock tables");
    expect(await untilDone(() => storage.storeCheckpoint(checkpoint()))).toEqual(expect.any(String));
  });

  it("names the fault of a user who has no rights, or no connection left", async () => {
    const database = await emptyDatabase(serverUrl);
    await open({ connectionString: database.url }).migrate();
    const user = await plainUser(database);
    await run(database.url, `grant select on ${database.name}.* to ${user.name}`);
    const storage = open({ connectionString: user.url, migrate: "verify" });
    expect(await rejection(storage.storeCheckpoint(checkpoint()))).toMatchObject({
      code: "ACCESS_DENIED",
      retryable: false,
    });
    await storage.close();

    await run(database.url, `alter user ${user.name} with max_user_connections 1`);
    await connect(user.url);
    const crowded = open({ connectionString: user.url });
    expect(await rejection(crowded.listCheckpoints())).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      cause: { name: "DriverError", errno: 1226 },
    });
  });
});
