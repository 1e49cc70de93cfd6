import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, type Pgbouncer, startPgbouncer, type TestDatabase } from "../src/index.ts";

const serverUrl = inject("waymarkServers").postgres?.url ?? "";

describe.skipIf(!serverUrl || process.platform !== "linux")("pgbouncer", () => {
  let pgbouncer: Pgbouncer;
  let database: TestDatabase;
  beforeAll(async () => {
    pgbouncer = await startPgbouncer(serverUrl, { poolSize: 1 });
    database = await createDatabase(serverUrl);
  });
  afterAll(async () => {
    await pgbouncer.stop();
    await database.drop();
  });

  it("shares one backend among clients that are connected at the same time, as in transaction mode", async () => {
    const clients = [1, 2, 3].map(() => postgres(pgbouncer.url(database.name), { max: 1 }));
    const backends = await Promise.all(
      clients.map(async (sql) => (await sql`select pg_backend_pid() as pid`)[0]?.["pid"]),
    );
    expect(new Set(backends).size).toBe(1);
    // Each client prepares this statement for itself, on the same backend.
    for (const sql of clients) expect(await sql`select ${41}::int + 1 as sum`).toEqual([{ sum: 42 }]);
    for (const sql of clients) expect(await sql`select ${1}::int + 1 as sum`).toEqual([{ sum: 2 }]);
    await Promise.all(clients.map((sql) => sql.end()));
  });

  it("connects to the database that the URL names", async () => {
    const sql = postgres(pgbouncer.url(database.name), { max: 1 });
    expect(await sql`select current_database() as name`).toEqual([{ name: database.name }]);
    await sql.end();
  });
});
