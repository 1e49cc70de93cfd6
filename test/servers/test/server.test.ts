import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { execute } from "../src/client.ts";
import { postgres as engine } from "../src/engines/postgres.ts";
import { createDatabase, killable, type Server, startServer } from "../src/index.ts";
import { startOwnServer } from "../src/own-server.ts";
import { findProgram } from "../src/programs.ts";
import { isReachable, waitUntilGone } from "./observe.ts";

const whereabouts = {
  postgres: { folder: "select current_setting('data_directory') as folder", pidFile: "postmaster.pid" },
  mysql: { folder: "select @@datadir as folder", pidFile: "server.pid" },
  mariadb: { folder: "select @@datadir as folder", pidFile: "server.pid" },
};

describe.skipIf(process.platform !== "linux").each(["postgres", "mysql", "mariadb"] as const)("%s", (kind) => {
  let server: Server;
  let folder: string;
  beforeAll(async () => {
    server = await startServer(kind, { from: killable });
    folder = String((await execute(server.url, whereabouts[kind].folder))[0]?.["folder"]);
  });
  afterAll(() => server.stop());

  const stateOfMainProcess = async () => {
    const pid = Number.parseInt(await readFile(`${folder}/${whereabouts[kind].pidFile}`, "utf8"), 10);
    return /State:\s+(\w)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
  };

  it("has its kind, its version and a killable origin", () => {
    expect(server).toMatchObject({ kind, canBeKilled: true, version: expect.stringMatching(/^\d+\.\d+/) });
    expect(killable).toContain(server.origin);
  });

  it("keeps what was committed when it is killed, and starts again at the same URL", async () => {
    const database = await createDatabase(server.url);
    await execute(database.url, "create table turns (id int primary key)");
    await execute(database.url, "insert into turns values (42)");
    await server.kill();
    expect(await isReachable(server.url)).toBe(false);
    await server.start();
    expect(await execute(database.url, "select id from turns")).toEqual([{ id: 42 }]);
    await database.drop();
  });

  it("can be killed several times", async () => {
    for (let round = 0; round < 3; round++) {
      await server.kill();
      await server.start();
    }
    expect(await execute(server.url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("refuses to start while it is running", async () => {
    await expect(server.start()).rejects.toThrow("expected it to be killed");
  });

  it("stops while it is paused, and answers queries of that time when it is resumed", async () => {
    await server.pause();
    expect(await stateOfMainProcess()).toBe("T");
    const answer = execute(server.url, "select 1 as one");
    await server.resume();
    expect(await answer).toEqual([{ one: 1 }]);
    expect(await stateOfMainProcess()).not.toBe("T");
  });

  it("can be killed while it is paused", async () => {
    await server.pause();
    await server.kill();
    await server.start();
    expect(await execute(server.url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("leaves nothing behind when it is stopped, paused or not", async () => {
    const other = await startServer(kind, { from: killable });
    const [row] = await execute(other.url, whereabouts[kind].folder);
    await other.pause();
    await other.stop();
    await other.stop();
    expect(await isReachable(other.url)).toBe(false);
    await waitUntilGone(dirname(`${row?.["folder"]}`.replace(/\/$/, "")));
  });
});

describe.skipIf(process.platform !== "linux")("postgres", () => {
  it("has no backend left after a kill, not even one that was too busy to notice", async () => {
    const server = await startServer("postgres", { from: killable });
    let sql: postgres.Sql | undefined;
    let outcome: Promise<unknown> | undefined;
    const pid = await new Promise<string>((resolve) => {
      sql = postgres(server.url, { max: 1, onnotice: (notice) => resolve(String(notice["message"])) });
      outcome = sql`do $$ begin raise notice '%', pg_backend_pid(); loop end loop; end $$`.catch((error) => error);
    });
    await server.kill();
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State: gone");
    expect(status).toMatch(/State:\s+(gone|Z)/); // a zombie until its new parent, the system's first process, has reaped it
    expect(await outcome).toBeInstanceOf(Error);
    await sql?.end({ timeout: 0 });
    await server.start();
    await server.stop();
  });

  it("shows the end of its log when it does not start", async ({ skip }) => {
    const program = await findProgram(engine.program, "/", process.env["PATH"]);
    if (!program) return skip("no PostgreSQL on this machine");
    const request = { env: process.env, diskBytes: 0, args: [] };
    const unstartable = { ...engine, settings: ["-c", "nonsense=1"] };
    await expect(startOwnServer(unstartable, program, "program", request)).rejects.toThrow(
      /^start PostgreSQL: expected an answer at 127\.0\.0\.1:\d+ within 60 seconds, but it ended with 1\..*"nonsense"/s,
    );
  });
});
