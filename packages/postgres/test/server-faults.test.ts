import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rejection } from "@waymark/conformance";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createDatabase, killable, type Server, startServer, type TestDatabase } from "waymark-test-servers";
import { classify } from "../src/errors.ts";
import { checkpoint, connect, open, plainRole } from "./on-server.ts";

/** Faults of a whole server, in this order: it does not come back from the last one. */
describe.runIf(process.platform === "linux")("a PostgreSQL server", () => {
  let server: Server;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startServer("postgres", { from: killable });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    database = await createDatabase(server.url); // it is gone with the server
    await open({ connectionString: database.url }).migrate();
  });

  async function write(file: string, lines: readonly string[]): Promise<void> {
    const admin = connect(server.url);
    const [row] = await admin`show data_directory`;
    const values = lines.map((line) => `('${line}')`).join(", ");
    await admin.unsafe(`copy (values ${values}) to '${row?.["data_directory"]}/${file}'`);
  }

  it("that has no connection left is overloaded", async () => {
    const role = await plainRole(database);
    // Of its 400 connections, 6 are left for others than superusers.
    await connect(server.url).unsafe("alter system set superuser_reserved_connections = 394");
    await server.kill();
    await server.start();
    const all = Array.from({ length: 8 }, () => connect(role.url).unsafe("select 1"));
    const outcomes = await Promise.allSettled(all);
    const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused) {
      expect(error).toMatchObject({ code: "53300" });
      expect(classify(error)).toBe("overload");
    }
    await connect(server.url).unsafe("alter system reset all");
    await server.kill();
    await server.start();
  });

  it("that gets a wrong password denies access, and accepts the right one", async () => {
    const role = await plainRole(database);
    await connect(server.url).unsafe(`alter role ${role.name} password 'right'`);
    await write("pg_hba.conf", [`host all ${role.name} 127.0.0.1/32 scram-sha-256`, "host all all 127.0.0.1/32 trust"]);
    await connect(server.url)`select pg_reload_conf()`;
    const wrong = new URL(role.url);
    wrong.password = "wrong";
    let error: Record<string, unknown> | undefined;
    while (error === undefined) {
      error = await rejection(connect(wrong.href).unsafe("select 1")).catch(() => undefined); // until it has read the file
    }
    expect(error).toMatchObject({ code: "28P01" });
    const storage = open({ connectionString: wrong.href });
    expect(await rejection(storage.listCheckpoints())).toMatchObject({ code: "ACCESS_DENIED", retryable: false });
    wrong.password = "right";
    await connect(wrong.href).unsafe("select 1");
  });

  it.runIf(process.getuid?.() === 0)(
    "that has no disk left refuses stores with STORAGE_FULL, and still reads and deletes",
    async () => {
      const disk = mkdtempSync(join(tmpdir(), "waymark-disk-"));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m,mode=777", "none", disk]);
      onTestFinished(() => {
        execFileSync("umount", ["-l", disk]);
        rmSync(disk, { recursive: true });
      });
      const folder = join(disk, "tablespace");
      const admin = connect(server.url);
      await admin.unsafe(`copy (select 1) to program 'mkdir ${folder}'`);
      await admin.unsafe(`create tablespace small location '${folder}'`);
      await admin.unsafe(`alter database ${database.name} set default_tablespace = small`);
      const storage = open({ connectionString: database.url, schema: "on_the_small_disk" });
      await storage.storeCheckpoint(checkpoint());
      // Compression does not make it small.
      const state = () => Array.from({ length: 20_000 }, () => Math.random());
      let error: unknown;
      while (error === undefined) {
        error = await rejection(storage.storeCheckpoint(checkpoint({ state: state() }))).catch(() => undefined);
      }
      expect(error).toMatchObject({ code: "STORAGE_FULL", cause: { code: "53100" } });
      expect(await storage.retrieveLatestCheckpoint("agent")).toMatchObject({ name: "turn" });
      // Deleting makes room.
      await storage.deleteAgent("agent");
      await storage.close();
      for (const drop of [`database ${database.name} with (force)`, "tablespace small"]) {
        await admin.unsafe(`drop ${drop}`);
      }
      await admin`checkpoint`; // or it would look for what is gone when it starts
    },
  );

  it("that is a standby refuses stores with READ_ONLY and reads, and is unreachable once it shuts down", async () => {
    await write("standby.signal", [""]);
    await server.kill();
    await server.start();
    const error = await rejection(connect(database.url).unsafe("create table t (n integer)"));
    expect(error).toMatchObject({ code: "25006" });
    const storage = open({ connectionString: database.url });
    expect(await rejection(storage.storeCheckpoint(checkpoint()))).toMatchObject({ code: "READ_ONLY" });
    expect(await storage.listCheckpoints()).toEqual([]);

    const admin = connect(server.url);
    const [file] = await admin`select pg_read_file('postmaster.pid') as content`;
    process.kill(Number.parseInt(file?.["content"], 10), "SIGTERM");
    let refusal: unknown;
    while (refusal === undefined) {
      refusal = await rejection(connect(database.url).unsafe("select 1")).catch(() => undefined);
    }
    expect(refusal).toMatchObject({ code: "57P03" });
    expect(classify(refusal)).toBe("outage");
  });
});
