import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { execute } from "../src/client.ts";
import {
  createDatabase,
  killable,
  type Pgbouncer,
  type Server,
  type Standby,
  startPgbouncer,
  startServer,
  startStandby,
  type TestDatabase,
} from "../src/index.ts";
import { waitUntilGone } from "./observe.ts";

const folderOf = async (server: Server) =>
  String((await execute(server.url, "select current_setting('data_directory') as folder"))[0]?.["folder"]);
const onServer = (database: TestDatabase, server: Server) => {
  const url = new URL(database.url);
  url.host = new URL(server.url).host;
  return url.href;
};

describe.skipIf(process.platform !== "linux")("a synchronous standby", () => {
  let primary: Server;
  let standby: Standby;
  let database: TestDatabase;
  let pgbouncer: Pgbouncer;
  beforeAll(async () => {
    primary = await startServer("postgres", { from: killable });
    database = await createDatabase(primary.url);
    await execute(database.url, "create table turns (id int)");
    await execute(database.url, "insert into turns values (1)");
    standby = await startStandby(primary, { synchronous: true });
    pgbouncer = await startPgbouncer(primary.url);
  });
  afterAll(() => Promise.all([pgbouncer.stop(), standby.stop(), primary.stop()]));

  it("has the rows that were stored before and after its start, and takes no writes", async () => {
    await execute(database.url, "insert into turns values (2)");
    const url = onServer(database, standby);
    // The standby has written the commit, but may not show it yet.
    await vi.waitUntil(async () => (await execute(url, "select * from turns")).length === 2, { timeout: 90_000 });
    await expect(execute(url, "insert into turns values (3)")).rejects.toMatchObject({ code: "25006" });
  });

  it("makes commits wait while it does not answer, and catches up after it was killed", async () => {
    await standby.pause();
    let acknowledged = false;
    const commit = execute(database.url, "insert into turns values (3)").then(() => {
      acknowledged = true;
    });
    const waiting = "select 1 from pg_stat_activity where wait_event = 'SyncRep'";
    await vi.waitUntil(async () => (await execute(primary.url, waiting)).length === 1, { timeout: 90_000 });
    expect(acknowledged).toBe(false);
    await standby.resume();
    await commit;

    await standby.kill();
    const pendingCommit = execute(database.url, "insert into turns values (4)");
    await standby.start();
    await pendingCommit;
  });

  it("is promoted when the primary is lost with its data, and the pooler's clients reach it", async () => {
    const pooled = pgbouncer.url(database.name);
    expect(await execute(pooled, "select max(id) as id from turns")).toEqual([{ id: 4 }]);
    const folder = await folderOf(primary);
    await primary.kill();
    await primary.stop();
    await waitUntilGone(dirname(folder));

    await standby.promote();
    await pgbouncer.pointTo(standby.url);
    const store = () =>
      execute(pooled, "insert into turns values (5)").then(
        () => true,
        () => false,
      );
    await vi.waitUntil(store, { timeout: 90_000 });
    expect(await execute(onServer(database, standby), "select max(id) as id from turns")).toEqual([{ id: 5 }]);
  });
});

describe.skipIf(process.platform !== "linux")("a standby", () => {
  it("leaves nothing behind when it is stopped, and the primary no longer waits for it", async () => {
    const primary = await startServer("postgres", { from: killable });
    const standby = await startStandby(primary, { synchronous: true });
    const folder = await folderOf(standby);
    await standby.stop();
    await waitUntilGone(dirname(folder));
    await execute(primary.url, "create table turns (id int)"); // its commit does not wait
    expect(await execute(primary.url, "select * from pg_replication_slots")).toEqual([]);
    expect(await execute(primary.url, "show synchronous_standby_names")).toEqual([{ synchronous_standby_names: "" }]);
    await primary.stop();
  });

  it("is refused for a PostgreSQL that this package does not run", async () => {
    const primary = await startServer("postgres", { from: killable });
    const foreign = await startServer("postgres", { env: { WAYMARK_TEST_POSTGRES_URL: primary.url } });
    await expect(startStandby(foreign)).rejects.toThrow("start it with { from: killable }");
    await primary.stop();
  });
});
