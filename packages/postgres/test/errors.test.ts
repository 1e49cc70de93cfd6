import { rejection } from "@waymark/conformance";
import type { Fault } from "@waymark/core/kit";
import type { PostgresStorageOptions } from "@waymark/postgres";
import { expect, it } from "vitest";
import { startProxy, type TestDatabase } from "waymark-test-servers";
import { classify } from "../src/errors.ts";
import { checkpoint, connect, emptyDatabase, open, plainRole, sharedServer } from "./on-server.ts";

/** Ways to provoke each error of the server or the driver, and the fault that it is. */
const provocations: readonly [code: string, Fault, (database: TestDatabase) => Promise<unknown>][] = [
  ["40P01", "serialization", deadlock],
  [
    "40001",
    "serialization",
    async ({ url }) => {
      const [one, other] = [connect(url), connect(url)];
      await one.unsafe("create table t (n integer); insert into t values (1)");
      await one.unsafe("begin isolation level repeatable read");
      await one.unsafe("select * from t");
      await other.unsafe("update t set n = 2");
      return one.unsafe("update t set n = 3");
    },
  ],
  [
    "55P03",
    "busy",
    async ({ url }) => {
      const [one, other] = [connect(url), connect(url)];
      await one.unsafe("create table t (n integer)");
      await one.unsafe("begin");
      await one.unsafe("lock table t");
      await other.unsafe("set lock_timeout = 10");
      return other.unsafe("select * from t");
    },
  ],
  [
    "57014",
    "timeout",
    async ({ url }) => {
      const client = connect(url);
      await client.unsafe("set statement_timeout = 10");
      return client.unsafe("select pg_sleep(60)");
    },
  ],
  [
    "57P01",
    "connection",
    async ({ url }) => {
      const client = connect(url);
      const ended = await rejection(client.unsafe("select pg_terminate_backend(pg_backend_pid())"));
      expect(ended["code"]).toBe("CONNECTION_CLOSED");
      return client.unsafe("select 1"); // postgres.js gives the reason to this one
    },
  ],
  [
    "53300",
    "overload",
    async (database) => {
      const role = await plainRole(database);
      await connect(database.url).unsafe(`alter role ${role.name} connection limit 0`);
      return connect(role.url).unsafe("select 1");
    },
  ],
  [
    "25006",
    "read-only",
    async ({ url }) => {
      const client = connect(url);
      await client.unsafe("set default_transaction_read_only = on");
      return client.unsafe("create table t (n integer)");
    },
  ],
  ["28000", "login", async ({ url }) => connect(url, { username: "nobody_of_this_name" }).unsafe("select 1")],
  ["3D000", "database", async ({ url }) => connect(url, { database: "nothing_of_this_name" }).unsafe("select 1")],
  [
    "42501",
    "privilege",
    async (database) => {
      await connect(database.url).unsafe("create table t (n integer)");
      return connect((await plainRole(database)).url).unsafe("select * from t");
    },
  ],
  [
    "42501",
    "database",
    async (database) => {
      await connect(database.url).unsafe(`revoke connect on database ${database.name} from public`);
      return connect((await plainRole(database)).url).unsafe("select 1");
    },
  ],
  [
    "55000",
    "outage",
    async ({ url, name }) => {
      await connect(sharedServer()).unsafe(`alter database ${name} allow_connections = false`);
      return connect(url).unsafe("select 1");
    },
  ],
  ["55000", "other", async ({ url }) => connect(url).unsafe("create sequence s; select currval('s')")],
  [
    "55006",
    "busy",
    async ({ url }) =>
      connect(url).unsafe("create table t (n integer); begin; declare c cursor for table t; drop table t"),
  ],
  ["42P01", "schema", async ({ url }) => connect(url).unsafe("select * from nothing")],
  ["42703", "schema", async ({ url }) => connect(url).unsafe("select nothing from pg_class")],
  ["3F000", "schema", async ({ url }) => connect(url).unsafe("create table nothing.t (n integer)")],
  [
    "54011",
    "too-large",
    async ({ url }) => {
      const columns = Array.from({ length: 1_700 }, (_, index) => `c${index} integer`);
      return connect(url).unsafe(`create table t (${columns.join(", ")})`);
    },
  ],
  ["22012", "other", async ({ url }) => connect(url).unsafe("select 1 / 0")],
  [
    "CONNECTION_ENDED",
    "connection",
    async ({ url }) => {
      const client = connect(url);
      await client.end();
      return client.unsafe("select 1");
    },
  ],
  [
    "CONNECTION_DESTROYED",
    "connection",
    async ({ url }) => {
      const client = connect(url);
      await client.unsafe("select 1");
      const sleeping = client.unsafe("select pg_sleep(60)").execute();
      await client.end({ timeout: 0 });
      return sleeping;
    },
  ],
  [
    "CONNECTION_CLOSED",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      const client = connect(proxy.url);
      await client.unsafe("select 1");
      const sleeping = client.unsafe("select pg_sleep(60)").execute();
      proxy.intercept(() => "drop");
      proxy.dropAll();
      await proxy.stop();
      return sleeping;
    },
  ],
  [
    "CONNECT_TIMEOUT",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      proxy.blackhole(true);
      const refused = connect(proxy.url, { connect_timeout: 0.05 }).unsafe("select 1").execute();
      await rejection(refused);
      await proxy.stop();
      return refused;
    },
  ],
  [
    "ECONNREFUSED",
    "connection",
    async ({ url }) => {
      const proxy = await startProxy(url);
      await proxy.stop();
      return connect(proxy.url).unsafe("select 1");
    },
  ],
  ["ENOENT", "connection", async ({ url }) => connect(url, { path: "/nothing/of/this/name" }).unsafe("select 1")],
];

async function deadlock({ url }: TestDatabase): Promise<unknown> {
  const [one, other] = [connect(url), connect(url)];
  await one.unsafe("create table t (id integer primary key, n integer); insert into t values (1, 0), (2, 0)");
  for (const client of [one, other]) await client.unsafe("begin");
  await one.unsafe("set local deadlock_timeout = 10");
  await other.unsafe("set local deadlock_timeout = 10");
  await one.unsafe("update t set n = 1 where id = 1");
  await other.unsafe("update t set n = 1 where id = 2");
  const updates = [
    one.unsafe("update t set n = 1 where id = 2").execute(),
    other.unsafe("update t set n = 1 where id = 1").execute(),
  ];
  return await Promise.all(updates);
}

it.each(provocations)("classifies %s as %s", async (code, fault, provoke) => {
  const error = await rejection(provoke(await emptyDatabase()));
  expect(error["code"]).toBe(code);
  expect(classify(error)).toBe(fault);
  expect(classify(new Error("wrapped", { cause: error }))).toBe(fault);
});

/** All SQLSTATEs of the classes of connections, resources, object states, intervention and system errors, and some more. */
const states: Readonly<Partial<Record<Fault, readonly string[]>>> = {
  connection: ["08000", "08001", "08003", "08004", "08006", "08007", "08P01", "40003", "25P03"],
  overload: ["53000", "53200", "53300"],
  full: ["53100"],
  busy: ["55006", "55P03"],
  timeout: ["57014", "25P04"],
  database: ["57P04", "3D000"],
  outage: ["57P03", "58000", "58030"],
  serialization: ["40000", "40001", "40002", "40P01"],
  login: ["28000", "28P01"],
  other: ["53400", "55000", "55P02", "55P04", "58P01", "58P02", "58P03", "XX000"],
};

it("classifies errors that cannot be provoked here", () => {
  const faults: readonly (readonly [error: object, fault: Fault])[] = [
    ...Object.entries(states).flatMap(([fault, codes]) => codes.map((code) => [{ code }, fault as Fault] as const)),
    ...["57000", "57P01", "57P02", "57P05"].map((code) => [{ code }, "connection"] as const),
    [{ code: "XX000", severity: "FATAL" }, "outage"],
    [{ code: "28000", message: 'no pg_hba.conf entry for host "::1", user "u", database "d", no encryption' }, "tls"],
    [{ code: "DEPTH_ZERO_SELF_SIGNED_CERT" }, "tls"],
    [{ code: "ERR_OUT_OF_RANGE" }, "connection"],
    [{ code: "EMFILE" }, "overload"],
  ];
  for (const [error, fault] of faults) expect([error, classify(error)]).toEqual([error, fault]);
});

it("classifies any other error as other", () => {
  for (const error of [new Error("no code"), { code: 5 }, { code: "EMOJI" }, "08006", null, undefined]) {
    expect(classify(error)).toBe("other");
  }
});

/** Statements of an administrator, and the error of a storage after them. */
const situations: readonly [title: string, statement: string, code: string, more?: Partial<PostgresStorageOptions>][] =
  [
    ["may write no more", "alter database DB set default_transaction_read_only = on", "READ_ONLY"],
    ["ends statements that take too long", "alter database DB set statement_timeout = 100", "TIMEOUT"],
    ["waits for locks no longer than its own limit", "alter database DB set lock_timeout = 1", "CONTENTION"],
    [
      "lacks the table",
      "drop table agent_checkpoint_labels, agent_checkpoint_writes, agent_checkpoints",
      "SCHEMA_OUTDATED",
      { migrate: "off" },
    ],
    ["lacks a column", "alter table agent_checkpoints drop column state", "SCHEMA_OUTDATED"],
  ];

it.each(situations)("names the fault of a database that %s", async (_, statement, code, more = {}) => {
  const { url, name } = await emptyDatabase();
  await open({ connectionString: url }).migrate();
  const admin = connect(url);
  await admin.unsafe(statement.replace("DB", name));
  if (["TIMEOUT", "CONTENTION"].includes(code)) {
    await admin.unsafe("begin");
    await admin.unsafe("lock table agent_checkpoints");
  }
  const refused = await rejection(
    open({ connectionString: url, operationTimeoutMs: 10_000, ...more }).storeCheckpoint(checkpoint()),
  );
  expect(refused).toMatchObject({ name: "CheckpointError", code, retryable: code !== "SCHEMA_OUTDATED" });
});

it("names the fault of a role that has no rights, or no connection left", async () => {
  const database = await emptyDatabase();
  await open({ connectionString: database.url }).migrate();
  const role = await plainRole(database);
  const storage = open({ connectionString: role.url, migrate: "off" });
  expect(await rejection(storage.storeCheckpoint(checkpoint()))).toMatchObject({
    code: "ACCESS_DENIED",
    retryable: false,
  });

  await connect(database.url).unsafe(`alter role ${role.name} connection limit 0`);
  const crowded = open({ connectionString: role.url });
  expect(await rejection(crowded.listCheckpoints())).toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    cause: { name: "DriverError", code: "53300" },
  });
});

it("refuses a database that does not exist", async () => {
  const { url } = await emptyDatabase();
  const refused = await rejection(open({ connectionString: `${url}_not` }).listCheckpoints());
  expect(refused).toMatchObject({ code: "ACCESS_DENIED", retryable: false, cause: { code: "3D000" } });
});
