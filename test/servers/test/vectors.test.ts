import { describe, expect, inject, it } from "vitest";
import { execute } from "../src/client.ts";
import { createDatabase, startServer, urlVariable } from "../src/index.ts";

const { postgres, mariadb, "postgres-vector": pgvector, "mariadb-vector": mariadbVector } = inject("waymarkServers");

describe.skipIf(!pgvector)("PostgreSQL with pgvector", () => {
  const serverUrl = pgvector?.url ?? "";

  it("lets the administrator create the extension in a database", async () => {
    const database = await createDatabase(serverUrl);
    await execute(database.url, "create extension vector");
    const [row] = await execute(
      database.url,
      `select '[1,0]'::vector <=> '[0,1]'::vector as distance, extversion as version
       from pg_extension where extname = 'vector'`,
    );
    expect(row).toEqual({ distance: 1, version: expect.stringMatching(/^0\.([89]|\d\d)/) });
    console.log(`PostgreSQL ${pgvector?.version} with pgvector ${row?.["version"]} (${pgvector?.origin})`);
    await database.drop();
  });

  it("lets a database's own user use the extension that the administrator created, but not create it", async () => {
    const database = await createDatabase(serverUrl, { ownUser: true });
    await expect(execute(database.url, "create extension vector")).rejects.toThrow("permission denied");
    const asAdministrator = new URL(serverUrl);
    asAdministrator.pathname = `/${database.name}`;
    await execute(asAdministrator.href, "create extension vector");
    await execute(database.url, "create table turns (v vector(2))");
    await execute(database.url, "create index on turns using hnsw (v vector_cosine_ops)");
    await database.drop();
  });
});

describe.skipIf(!mariadbVector)("MariaDB with vectors", () => {
  const serverUrl = mariadbVector?.url ?? "";

  it("answers with the distance of two vectors, and indexes them", async () => {
    const database = await createDatabase(serverUrl, { ownUser: true });
    await execute(database.url, "create table turns (id int primary key, v vector(2) not null, vector index (v))");
    await execute(
      database.url,
      "insert into turns values (1, vec_fromtext('[1,0]')), (2, vec_fromtext('[0,1]')), (3, vec_fromtext('[-1,0]'))",
    );
    const distance = "vec_distance_cosine(v, vec_fromtext('[1,0]'))";
    const rows = await execute(
      database.url,
      `select id, ${distance} as distance, version() as version from turns order by distance`,
    );
    expect(rows.map(({ id, distance }) => [id, distance])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ]);
    console.log(`MariaDB ${rows[0]?.["version"]} (${mariadbVector?.origin})`);
    await database.drop();
  });
});

describe("a running server without vectors", () => {
  it.skipIf(!postgres)("is refused if it is a PostgreSQL without pgvector", async ({ skip }) => {
    const url = postgres?.url ?? "";
    const [row] = await execute(url, "select count(*)::int as n from pg_available_extensions where name = 'vector'");
    if (row?.["n"] !== 0) skip("it has pgvector");
    const starting = startServer("postgres-vector", { env: { WAYMARK_TEST_POSTGRES_VECTOR_URL: url } });
    await expect(starting).rejects.toThrow(
      /^connect to WAYMARK_TEST_POSTGRES_VECTOR_URL: expected a server of PostgreSQL with pgvector, got version \d/,
    );
  });

  it.skipIf(!mariadb || Number.parseFloat(mariadb.version) > 11)("is refused if it is an old MariaDB", async () => {
    const variable = urlVariable({ kind: "mariadb-vector" });
    const starting = startServer("mariadb-vector", { env: { [variable]: mariadb?.url } });
    await expect(starting).rejects.toThrow(/^connect to WAYMARK_TEST_MARIADB_VECTOR_URL: expected .*, got version 10/);
  });
});
