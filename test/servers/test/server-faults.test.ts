import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connect, execute, isMysql, type Session } from "../src/client.ts";
import {
  createDatabase,
  exhaustConnections,
  killable,
  killConnections,
  type Server,
  setReadOnly,
  startServer,
  type TestDatabase,
} from "../src/index.ts";

const codes = {
  postgres: { readOnly: "25006", exhausted: "53300" },
  mysql: { readOnly: "ER_OPTION_PREVENTS_STATEMENT", exhausted: "ER_CON_COUNT_ERROR" },
  mariadb: { readOnly: "ER_OPTION_PREVENTS_STATEMENT", exhausted: "ER_CON_COUNT_ERROR" },
};

/** Returns the server's id of a session. It changes if the driver replaces a lost session. */
const idOf = async (session: Session, url: string) => {
  const [row] = await session.execute(`select ${isMysql(url) ? "connection_id()" : "pg_backend_pid()"} as id`);
  return row?.["id"];
};

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "no error",
    (error: { code: string }) => error.code,
  );

describe.skipIf(process.platform !== "linux").each(["postgres", "mysql", "mariadb"] as const)("%s", (kind) => {
  let server: Server;
  let database: TestDatabase;
  let bystander: TestDatabase;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable, maxConnections: 12 });
    database = await createDatabase(server.url, { ownUser: true });
    bystander = await createDatabase(server.url);
    await execute(database.url, "create table turns (id int)");
  });
  afterAll(() => server.stop());

  it("refuses the writes of old and new sessions while it is read-only", async () => {
    const insert = "insert into turns values (1)";
    const session = await connect(database.url);
    await session.execute(insert);
    await setReadOnly(server.url, true);
    expect(await codeOf(session.execute(insert))).toBe(codes[kind].readOnly);
    expect(await codeOf(execute(database.url, insert))).toBe(codes[kind].readOnly);
    expect(await session.execute("select * from turns")).toEqual([{ id: 1 }]);
    await setReadOnly(server.url, false);
    await session.execute(insert);
    await execute(database.url, insert);
    await session.end();
  });

  it("has no connection left for other clients until they are released", async () => {
    const before = await connect(database.url);
    const release = await exhaustConnections(server.url);
    expect(await codeOf(connect(database.url))).toBe(codes[kind].exhausted);
    await before.execute("select 1");
    await release();
    await vi.waitUntil(async () => (await codeOf(execute(database.url, "select 1"))) === "no error", {
      timeout: 90_000,
    });
    await before.end();
  });

  it("has no connection left for clients that had one, if they are evicted", async () => {
    const session = await connect(database.url);
    const release = await exhaustConnections(server.url, { evict: database.name });
    expect(await codeOf(session.execute("select 1"))).not.toBe("no error");
    expect(await codeOf(connect(database.url))).toBe(codes[kind].exhausted);
    await release();
    await session.end();
  });

  it("ends the sessions of one database, and no others", async () => {
    await vi.waitUntil(async () => (await codeOf(execute(database.url, "select 1"))) === "no error", {
      timeout: 90_000,
    });
    const sessions = await Promise.all([connect(database.url), connect(database.url)]);
    const other = await connect(bystander.url);
    const ids = await Promise.all(sessions.map((session) => idOf(session, server.url)));
    const otherId = await idOf(other, server.url);
    // More than two if the server has not noticed yet that earlier sessions were closed.
    expect(await killConnections(server.url, database.name)).toBeGreaterThanOrEqual(2);
    for (const [index, session] of sessions.entries()) {
      expect(await idOf(session, server.url).catch(() => "gone")).not.toBe(ids[index]);
    }
    expect(await idOf(other, server.url)).toBe(otherId);
    await Promise.all([...sessions, other].map((session) => session.end()));
  });

  it("refuses a database's own user in other databases", async () => {
    const url = new URL(database.url);
    url.pathname = new URL(bystander.url).pathname;
    if (kind !== "postgres") await expect(execute(url.href, "select 1")).rejects.toThrow(bystander.name);
    await database.drop();
    await expect(execute(database.url, "select 1")).rejects.toThrow();
  });
});
