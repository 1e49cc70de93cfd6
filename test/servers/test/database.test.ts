import { createConnection } from "mysql2/promise";
import postgres from "postgres";
import { describe, expect, inject, it } from "vitest";
import { execute, isMysql } from "../src/client.ts";
import { createDatabase } from "../src/index.ts";

/** Functions that open a transaction with a lock on the table `turns`. Each returns a function that ends its client. */
const lockers = {
  async postgres(url: string) {
    const sql = postgres(url, { max: 1, onclose: () => {} });
    const reserved = await sql.reserve();
    await reserved`begin`;
    await reserved`select * from turns`;
    return () => sql.end({ timeout: 0 });
  },
  async mysql(url: string) {
    const connection = await createConnection(url);
    connection.on("error", () => {}); // the test kills this connection
    await connection.query("begin");
    await connection.query("select * from turns");
    return async () => connection.destroy();
  },
};

describe.each(Object.entries(inject("waymarkServers")))("a database of %s", (_, server) => {
  const lock = isMysql(server.url) ? lockers.mysql : lockers.postgres;

  it("is empty, and separate from other databases", async () => {
    const [one, two] = await Promise.all([createDatabase(server.url), createDatabase(server.url)]);
    await execute(one.url, "create table turns (id int)");
    await execute(two.url, "create table turns (id int)");
    expect(await execute(two.url, "select * from turns")).toEqual([]);
    await Promise.all([one.drop(), two.drop()]);
  });

  it("is dropped in spite of an open transaction, and dropping it again does nothing", async () => {
    const database = await createDatabase(server.url);
    await execute(database.url, "create table turns (id int)");
    const release = await lock(database.url);
    await database.drop();
    await database.drop();
    await expect(execute(database.url, "select 1")).rejects.toThrow(database.name);
    await release();
  });
});
