import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { execute } from "../src/client.ts";
import { startServer } from "../src/index.ts";

const { postgres, mariadb } = inject("waymarkServers");

describe("a running server", () => {
  it.skipIf(!postgres)("is used but neither killed nor stopped", async () => {
    const url = postgres?.url ?? "";
    const server = await startServer("postgres", { env: { WAYMARK_TEST_POSTGRES_URL: url } });
    expect(server).toMatchObject({ origin: "url", url, canBeKilled: false, version: postgres?.version });
    for (const action of ["kill", "start", "pause", "resume"] as const) {
      await expect(server[action]()).rejects.toThrow(
        `${action} PostgreSQL: expected a server of the origin program or archive`,
      );
    }
    await server.stop();
    expect(await execute(url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it.skipIf(!mariadb)("is refused if it is not of the kind that its variable names", async () => {
    const starting = startServer("mysql", { env: { WAYMARK_TEST_MYSQL_URL: mariadb?.url } });
    await expect(starting).rejects.toThrow(
      /^connect to WAYMARK_TEST_MYSQL_URL: expected a server of MySQL, got .*MariaDB/,
    );
  });

  it("is refused if it does not answer, without the password in the error", async () => {
    const env = { WAYMARK_TEST_POSTGRES_URL: "postgres://me:secret@127.0.0.1:1/db" };
    const error = await startServer("postgres", { env }).catch((error: Error) => error);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toContain("connect to WAYMARK_TEST_POSTGRES_URL");
    expect((error as Error).message).not.toContain("secret");
  });
});

describe("a container", () => {
  it.for(["postgres", "mysql", "mariadb", "postgres-vector", "mariadb-vector"] as const)(
    "serves %s",
    async (kind, { skip }) => {
      const server = await startServer(kind, { from: ["docker"] }).catch((error: Error) => error);
      if (server instanceof Error && server.message.includes("docker: no engine answers"))
        skip("no Docker engine answers");
      if (server instanceof Error) throw server;
      expect(await execute(server.url, "select 1 as one")).toEqual([{ one: 1 }]);
      await server.stop();
    },
  );
});

describe("without a server", () => {
  it("rejects, and names the server and three ways to get it", async () => {
    await expect(startServer("mysql", { from: ["url"], env: {} })).rejects.toThrow(
      "start MySQL: expected an administrator's URL in WAYMARK_TEST_MYSQL_URL, a Docker engine, or the package " +
        "mysql-server on this machine, found none of them:\n  url: WAYMARK_TEST_MYSQL_URL is not set",
    );
  });

  it("rejects with the reason why the archive failed, and leaves no incomplete files in the cache", async () => {
    const cache = await mkdtemp(join(tmpdir(), "waymark-cache-"));
    const nowhere = "http://127.0.0.1:1";
    const env = { PATH: process.env["PATH"], WAYMARK_TEST_CACHE: cache, http_proxy: nowhere, https_proxy: nowhere };
    const starting = startServer("mysql", { from: ["archive"], env });
    await expect(starting).rejects.toThrow(/archive: (fetching .*mysql-server-core.* failed: \S|this is neither)/);
    expect((await readdir(cache)).filter((name) => !name.endsWith(".lock"))).toEqual([]);
    await rm(cache, { recursive: true });
  });
});
