import { execFileSync } from "node:child_process";
import fs, {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { rejection, startNode } from "@waymark/conformance";
import { createPostgresStorage, type PostgresStorageOptions } from "@waymark/postgres";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { checkpoint, open } from "./on-server.ts";
import { newFolder } from "./pglite-cases.ts";

const module = new URL("../dist/index.js", import.meta.url).href;

/** A folder that the tests share, since it takes seconds to make one. */
const folder = newFolder();

async function nameLatest(options: PostgresStorageOptions): Promise<string | undefined> {
  await using storage = createPostgresStorage({ operationTimeoutMs: 240_000, ...options });
  return (await storage.retrieveLatestCheckpoint("agent"))?.name;
}

describe("a folder of PGlite", () => {
  it("is created once, for nobody else to read, with a path that is resolved when the storage is made", async () => {
    const events: unknown[] = [];
    const pgliteDataDir = relative(process.cwd(), folder);
    for (let opening = 0; opening < 2; opening++) {
      await using storage = createPostgresStorage({ pgliteDataDir, operationTimeoutMs: 240_000 });
      storage.on("created", (event) => events.push(event));
      await storage.storeCheckpoint(checkpoint({ name: `opening ${opening}` }));
      expect((await storage.status()).providers.main).toMatchObject({ driver: "pglite", location: folder });
    }
    expect(events).toEqual([{ provider: "main", location: folder }]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(await nameLatest({ pgliteDataDir: folder })).toBe("opening 1");
    expect(readdirSync(folder).filter((name) => name.startsWith("waymark"))).toEqual([]);
  });

  it("is opened once by all storages of a process, whatever path leads to it, also while it is being closed", async () => {
    const link = join(dirname(folder), "link");
    symlinkSync(folder, link);
    const one = createPostgresStorage({ pgliteDataDir: folder });
    const other = createPostgresStorage({ pgliteDataDir: link });
    await Promise.all([one.listCheckpoints(), other.listCheckpoints()]);
    await one.storeCheckpoint(checkpoint({ name: "by one" }));
    expect(await other.retrieveLatestCheckpoint("agent")).toMatchObject({ name: "by one" });
    await one.close();
    await other.storeCheckpoint(checkpoint({ name: "by the other" }));
    const [latest] = await Promise.all([nameLatest({ pgliteDataDir: folder }), other.close()]);
    expect(latest).toBe("by the other");
  });

  it("makes its commits durable: each reaches the disk by fsync", async () => {
    const storage = open({ pgliteDataDir: folder });
    await storage.storeCheckpoint(checkpoint());
    const fsync = vi.spyOn(fs, "fsyncSync");
    syncBuiltinESMExports();
    onTestFinished(() => {
      fsync.mockRestore();
      syncBuiltinESMExports();
    });
    for (let turn = 0; turn < 5; turn++) await storage.storeCheckpoint(checkpoint({ state: { turn } }));
    expect(fsync.mock.calls.length).toBeGreaterThanOrEqual(5);
  });

  it("loses no acknowledged store when its process is killed, and is refused meanwhile with that process's number", async () => {
    const child = startNode(
      module,
      `const storage = createCheckpointStorage(args[0]);
       for (let turn = 1; ; turn++) {
         await storage.storeCheckpoint({ agentId: "killed", name: "turn", state: { turn }, createdAt: 1 });
         console.log(turn === 1 ? process.pid : turn);
       }`,
      { pgliteDataDir: folder },
    );
    const pid = await child.nextLine();
    const refused = await rejection(open({ pgliteDataDir: folder }).listCheckpoints());
    expect(refused).toMatchObject({ code: "CONTENTION", retryable: true });
    expect(refused.message).toContain(`(FOLDER_IN_USE): process ${pid} has ${folder} open, and only one process can`);
    child.kill();
    const acknowledged = Number((await child.exit).output.trim().split("\n").at(-1));
    await using storage = createPostgresStorage({ pgliteDataDir: folder });
    const latest = await storage.retrieveLatestCheckpoint("killed");
    expect(latest?.state).toMatchObject({ turn: expect.toSatisfy((turn: number) => turn >= acknowledged) });
  });

  it("lets its process end by itself, closed or not", async () => {
    const program = (close: string) =>
      `const storage = createCheckpointStorage(args[0]); await storage.listAgents(); ${close}`;
    for (const close of ["await storage.close();", ""]) {
      const child = startNode(module, program(close), { pgliteDataDir: folder });
      expect(await child.exit).toEqual({ code: 0, signal: null, output: "" });
    }
  });

  it("is refused with UNAVAILABLE once it was deleted or replaced while it is open", async () => {
    const storage = open({ pgliteDataDir: folder, retry: { maxRetries: 0 } });
    await storage.listCheckpoints();
    renameSync(folder, `${folder}-moved`);
    mkdirSync(folder);
    const refused = await rejection(storage.storeCheckpoint(checkpoint()));
    expect(refused).toMatchObject({ code: "UNAVAILABLE" });
    expect(refused.message).toContain(`the folder ${folder} was deleted or replaced while it was open`);
    rmSync(folder, { recursive: true });
    renameSync(`${folder}-moved`, folder);
    await storage.storeCheckpoint(checkpoint({ name: "put back" }));
  });

  it("is created anew if the process that began to died in the middle", async () => {
    const half = newFolder();
    mkdirSync(join(half, "base"), { recursive: true });
    writeFileSync(join(half, "PG_VERSION"), "18\n");
    writeFileSync(join(half, "base", "1"), "half a file");
    writeFileSync(join(half, "waymark-unfinished"), "");
    expect(await nameLatest({ pgliteDataDir: half })).toBeUndefined();
    expect(readdirSync(half)).not.toContain("waymark-unfinished");
  });

  it("is refused if it holds other files, and those stay", async () => {
    const other = newFolder();
    mkdirSync(other);
    writeFileSync(join(other, "notes.txt"), "mine");
    expect(await rejection(open({ pgliteDataDir: other }).listCheckpoints())).toMatchObject({
      code: "INVALID_CONFIG",
      message: expect.stringContaining(`to be an empty folder, or one of PGlite, got ${other} with other files`),
    });
    expect(readdirSync(other)).toEqual(["notes.txt"]);
  });

  it("is refused in PGlite's words if another version has made it", async () => {
    const version = join(folder, "PG_VERSION");
    const own = readFileSync(version, "utf8");
    onTestFinished(() => writeFileSync(version, own));
    writeFileSync(version, "11\n");
    expect(await rejection(open({ pgliteDataDir: folder }).listCheckpoints())).toMatchObject({
      code: "DATABASE_ERROR",
      message: expect.stringMatching(/cannot open .*initialized by PostgreSQL version 11, which is not compatible/),
    });
  });

  it.runIf(process.getuid?.() === 0)(
    "that has no disk left refuses stores with STORAGE_FULL, and works again when it has, without a new process",
    async () => {
      const disk = realpathSync(mkdtempSync(join(tmpdir(), "waymark-disk-")));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=80m,mode=777", "none", disk]);
      onTestFinished(() => {
        execFileSync("umount", ["-l", disk]);
        rmSync(disk, { recursive: true });
      });
      const storage = open({ pgliteDataDir: join(disk, "data"), operationTimeoutMs: 240_000 });
      const kept = await storage.storeCheckpoint(checkpoint({ name: "kept" }));
      const filler = join(disk, "filler");
      const { bavail, bsize } = statfsSync(disk);
      // Room for rows, but not for the next 16 MB of the log: PostgreSQL ends with a PANIC.
      writeFileSync(filler, Buffer.alloc(bavail * bsize - 14_000_000));
      // Compression does not make it small.
      const state = () => Array.from({ length: 50_000 }, () => Math.random());
      let error: unknown;
      while (error === undefined) {
        error = await rejection(storage.storeCheckpoint(checkpoint({ state: state() }))).catch(() => undefined);
      }
      expect(error).toMatchObject({ code: "STORAGE_FULL", cause: { code: "53100" } });
      expect(await rejection(storage.listCheckpoints())).toMatchObject({
        code: "STORAGE_FULL",
        message: expect.stringContaining("No space left on device"),
      });
      rmSync(filler);
      expect(await storage.retrieveCheckpoint(kept)).toMatchObject({ name: "kept" });
      await storage.storeCheckpoint(checkpoint({ state: state() }));
    },
  );
});
