import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { connect, execute } from "../src/client.ts";
import { createDatabase, killable, startServer } from "../src/index.ts";
import { waitUntilGone } from "./observe.ts";

const folders = {
  postgres: "select current_setting('data_directory') as folder",
  mysql: "select @@datadir as folder",
  mariadb: "select @@datadir as folder",
};
const isMounted = async (folder: string) => (await readFile("/proc/mounts", "utf8")).includes(folder);
const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== "linux" || !isRoot).each(["postgres", "mysql", "mariadb"] as const)(
  "a %s with a disk of its own",
  (kind) => {
    it("fails when the disk is full, loses no acknowledged row, and works again when there is space", async () => {
      const server = await startServer(kind, { from: killable, diskBytes: 300 * 2 ** 20 });
      expect(server.canBeFilled).toBe(true);
      const [row] = await execute(server.url, folders[kind]);
      const folder = `${row?.["folder"]}`.replace(/\/$/, "");
      const database = await createDatabase(server.url);
      await execute(database.url, "create table turns (id int primary key, body varchar(16000))");
      await server.fillDisk();

      const acknowledged: number[] = [];
      const insert = (id: number) => `insert into turns values (${id}, repeat('x', 15000))`;
      const session = await connect(database.url);
      const failure = await (async () => {
        for (let id = 0; ; id++) {
          await session.execute(insert(id));
          acknowledged.push(id);
        }
      })().catch((error) => error);
      await session.end();
      // MariaDB may abort, if there is no space for the rollback of the failed write either.
      const full = { postgres: /^53100$/, mysql: /^ER_RECORD_FILE_FULL$/, mariadb: /FULL|^PROTOCOL_CONNECTION_LOST$/ };
      expect(failure.code).toMatch(full[kind]);

      await server.freeDisk();
      await execute(database.url, insert(-1));
      const rows = await execute(database.url, "select id from turns order by id");
      const stored = rows.map((row) => row["id"]);
      expect(stored).toEqual(expect.arrayContaining([-1, ...acknowledged]));

      await server.fillDisk();
      await server.kill();
      await server.stop();
      await waitUntilGone(dirname(folder));
      expect(await isMounted(folder)).toBe(false);
    });
  },
);

describe.skipIf(process.platform !== "linux" || !isRoot)("a PostgreSQL that cannot write its log", () => {
  it("ends, is started when there is space again, and has lost nothing", async () => {
    const server = await startServer("postgres", { from: killable, diskBytes: 300 * 2 ** 20 });
    await execute(server.url, "create table turns (id int)");
    await execute(server.url, "insert into turns values (1)");
    await server.fillDisk();
    const log = "perform pg_logical_emit_message(false, 'x', repeat('y', 10000))";
    await expect(execute(server.url, `do $$ begin for i in 1..3000 loop ${log}; end loop; end $$`)).rejects.toThrow();
    await server.freeDisk();
    await execute(server.url, "insert into turns values (2)");
    expect(await execute(server.url, "select id from turns order by id")).toEqual([{ id: 1 }, { id: 2 }]);
    await server.stop();
  });
});

describe.skipIf(process.platform !== "linux")("a server without a disk of its own", () => {
  it("rejects fillDisk and freeDisk, and names the option", async () => {
    const server = await startServer("postgres", { from: killable });
    expect(server.canBeFilled).toBe(false);
    await expect(server.fillDisk()).rejects.toThrow("start it with { diskBytes }");
    await expect(server.freeDisk()).rejects.toThrow("start it with { diskBytes }");
    await server.stop();
    await expect(startServer("postgres", { from: ["url", "docker"], diskBytes: 1 })).rejects.toThrow(
      "url: its disk cannot be filled",
    );
  });

  it.skipIf(isRoot)("cannot get one unless the user is root", async () => {
    await expect(startServer("postgres", { from: killable, diskBytes: 300 * 2 ** 20 })).rejects.toThrow(
      "mount a small disk: expected to be root",
    );
  });
});
