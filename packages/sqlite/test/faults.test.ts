import { once } from "node:events";
import { existsSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { untilDone } from "@waymark/conformance";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { answerOf, checkpoint, childProcess, failure, newFile } from "./fixtures.ts";

const CANARY = "canary-4f1c9e";

describe("a storage in an SQLite file", () => {
  it("loses no acknowledged store when its process is killed", async () => {
    const databasePath = newFile();
    const child = childProcess("store for ever", databasePath);
    const acknowledged: { turn: number; id: string }[] = [];
    child.on("message", (message) => {
      acknowledged.push(message as { turn: number; id: string });
      if (acknowledged.length === 200) child.kill("SIGKILL");
    });
    await Promise.all([once(child, "exit"), once(child, "disconnect")]); // with the messages that were on their way
    await using storage = createSQLiteStorage({ databasePath });
    const stored: string[] = [];
    for await (const { id } of storage.iterateCheckpoints({ agentId: "agent" })) stored.unshift(id);
    expect(stored.slice(0, acknowledged.length)).toEqual(acknowledged.map(({ id }) => id));
    const latest = await storage.retrieveLatestCheckpoint("agent");
    expect(latest?.state).toEqual({ turn: stored.length, text: "x".repeat(5_000) });
  });

  it("gives its backup in time what it stores in a loop without a pause, and lets timers fire", async () => {
    const { exit, stored } = storeInALoop("store in a loop, and die");
    expect(await exit).toEqual([null, "SIGKILL"]); // by a timer of its own
    const { main, backup } = stored();
    expect(backup).toBeGreaterThan(0);
    expect(main - backup).toBeLessThanOrEqual(128); // rows of one delivery
  });

  it("is closed by SIGTERM while it stores in a loop without a pause", async () => {
    const { child, exit, stored } = storeInALoop("store in a loop");
    await Promise.race([answerOf(child), exit]);
    child.kill("SIGTERM");
    expect(await exit).toEqual([null, "SIGTERM"]);
    const { main, backup } = stored();
    expect(main).toBeGreaterThanOrEqual(200);
    expect(backup).toBe(main);
  });

  it.skipIf(process.platform === "win32")(
    "has what a process saves at SIGTERM, and the next one goes on from",
    async () => {
      const databasePath = newFile();
      for (const starts of [1, 2, 3]) {
        const child = childProcess("work until the signal", databasePath);
        const exit = once(child, "exit");
        expect(await answerOf(child)).toEqual({ starts, researcher: starts * 10, writer: starts * 100 });
        child.kill("SIGTERM");
        expect(await exit).toEqual([null, "SIGTERM"]);
      }
      await using storage = createSQLiteStorage({ databasePath });
      expect(await storage.listCheckpoints()).toHaveLength(3); // one for each stop
    },
  );

  it("lets one of 32 stores after the same checkpoint succeed, while another process stores", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    const first = await storage.storeCheckpoint({ agentId: "agent", name: "first", state: 0, createdAt: 0 });
    const child = childProcess("store for ever", databasePath); // stores for another agent
    const stores = Array.from({ length: 32 }, (_, state) =>
      storage.storeCheckpoint({ agentId: "other", name: "turn", state, createdAt: 0 }, { ifLatest: null }),
    );
    const results = await Promise.allSettled(stores);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await storage.retrieveCheckpoint(first)).toMatchObject({ state: 0 });
    child.kill("SIGKILL");
  });

  it("lets its process end by itself after close", async () => {
    const child = childProcess("store and close", newFile());
    expect(await answerOf(child)).toBe("closed");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("survives garbage collection, for which better-sqlite3 12 ends the process on Node 24.19 and later", async () => {
    const child = childProcess("collect garbage", newFile());
    const exit = once(child, "exit");
    expect(await Promise.race([answerOf(child), exit])).toBe("collected");
    expect(await exit).toEqual([0, null]);
  });

  it("waits while another connection holds the write lock, up to the deadline", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath, busyTimeoutMs: 20, operationTimeoutMs: 5_000 });
    await storage.storeCheckpoint(checkpoint(1));
    const other = new Database(databasePath);
    other.exec("begin immediate");
    const code = expect.stringMatching(/^(CONTENTION|TIMEOUT)$/); // TIMEOUT where the deadline comes between two attempts
    await expect(storage.storeCheckpoint(checkpoint(2))).rejects.toMatchObject({ code, retryable: true });
    const waiting = untilDone(() => storage.storeCheckpoint(checkpoint(3)));
    other.exec("rollback");
    await expect(waiting).resolves.toBeTypeOf("string");
    other.close();
    expect((await storage.stats()).checkpoints).toBe(2);
  });

  it("names a folder that is a file, and a file that is no database", async () => {
    const file = newFile();
    writeFileSync(file, "no database, but a text that is long enough to have a header ".repeat(20));
    await expect(createSQLiteStorage({ databasePath: join(file, "state.db") }).listCheckpoints()).rejects.toMatchObject(
      { code: "ACCESS_DENIED" },
    );
    const error = await createSQLiteStorage({ databasePath: file })
      .listCheckpoints()
      .catch((reason) => reason);
    expect(error).toMatchObject({ code: "DATABASE_ERROR", cause: { code: "SQLITE_NOTADB" } });
    expect(error.message).toContain("file is not a database"); // the driver's words: nothing was asked yet
  });

  it.skipIf(process.platform === "win32")("acknowledges no store in a file that was deleted or replaced", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    await using other = createSQLiteStorage({ databasePath: `${databasePath}.other` });
    await other.storeCheckpoint(checkpoint("of another file"));
    await other.close();
    await storage.storeCheckpoint(checkpoint(1));
    renameSync(databasePath, `${databasePath}.aside`);
    for (const call of [storage.storeCheckpoint(checkpoint(2)), storage.retrieveLatestCheckpoint("agent")]) {
      const error = await failure(call);
      expect([error.code, error.message]).toEqual([
        "UNAVAILABLE",
        expect.stringContaining(`${databasePath} was deleted`),
      ]);
    }
    expect(await storage.health()).toMatchObject({ ok: false, error: { code: "UNAVAILABLE" } });
    expect(existsSync(databasePath)).toBe(false);
    renameSync(`${databasePath}.other`, databasePath);
    expect((await failure(storage.storeCheckpoint(checkpoint(3)))).message).toContain("was replaced");
    renameSync(`${databasePath}.aside`, databasePath); // put back
    expect(await storage.health()).toMatchObject({ ok: true });
    await storage.storeCheckpoint(checkpoint(4));
    expect((await storage.stats()).checkpoints).toBe(2);
  });

  it.skipIf(process.platform === "win32")(
    "acknowledges no store once the write-ahead log was deleted, or the path leads elsewhere",
    async () => {
      const files = [newFile(), newFile()] as const;
      const link = `${files[0]}.link`;
      symlinkSync(files[0], link);
      await using other = createSQLiteStorage({ databasePath: files[1] });
      await other.storeCheckpoint(checkpoint(1));
      await using linked = createSQLiteStorage({ databasePath: link });
      await linked.storeCheckpoint(checkpoint(1));
      unlinkSync(link);
      symlinkSync(files[1], link);
      await expect(linked.storeCheckpoint(checkpoint(2))).rejects.toMatchObject({ code: "UNAVAILABLE" });
      unlinkSync(`${files[1]}-wal`);
      await expect(other.storeCheckpoint(checkpoint(2))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    },
  );

  it("refuses stores with READ_ONLY on a handle that is read-only", async () => {
    const databasePath = newFile();
    await using storage = createSQLiteStorage({ databasePath });
    const id = await storage.storeCheckpoint(checkpoint(1));
    const database = new Database(databasePath, { readonly: true });
    await using reader = createSQLiteStorage({ database });
    expect(await reader.retrieveCheckpoint(id)).toMatchObject({ state: 1 });
    await expect(reader.storeCheckpoint(checkpoint(2))).rejects.toMatchObject({ code: "READ_ONLY", retryable: true });
  });

  it("refuses a store with STORAGE_FULL when the file may not grow, and goes on when it may", async () => {
    const database = new Database(newFile());
    await using storage = createSQLiteStorage({ database });
    await storage.storeCheckpoint(checkpoint("small"));
    const pages = Number(database.pragma("page_count", { simple: true }));
    database.pragma(`max_page_count = ${pages}`);
    const large = checkpoint(Array.from({ length: 50_000 }, () => Math.random()));
    await expect(storage.storeCheckpoint(large)).rejects.toMatchObject({ code: "STORAGE_FULL", retryable: true });
    expect((await storage.stats()).checkpoints).toBe(1);
    database.pragma("max_page_count = 1000000");
    await expect(storage.storeCheckpoint(large)).resolves.toBeTypeOf("string");
  });

  it("refuses a store with SCHEMA_OUTDATED when a table is missing", async () => {
    await using storage = createSQLiteStorage({ databasePath: newFile(), migrate: "off" });
    await expect(storage.storeCheckpoint(checkpoint(1))).rejects.toMatchObject({ code: "SCHEMA_OUTDATED" });
  });

  it("shows no state, name or label in an error", async () => {
    const database = new Database(newFile());
    await using storage = createSQLiteStorage({ database, operationTimeoutMs: 2_000 });
    const secret = { ...checkpoint({ token: CANARY }), name: CANARY, metadata: { token: CANARY } };
    const id = await storage.storeCheckpoint(secret);
    const errors = [await failure(storage.storeCheckpoint({ ...secret, id, state: [CANARY] }))];
    database.exec("create trigger refuse before insert on agent_checkpoints begin select raise(abort, 'refused'); end");
    errors.push(await failure(storage.storeCheckpoint(secret)));
    database.exec("drop trigger refuse; alter table agent_checkpoints rename to elsewhere");
    errors.push(await failure(storage.storeCheckpoint(secret)));
    database.exec(`alter table elsewhere rename to agent_checkpoints; create table "${CANARY}" (x check (x > 0))`);
    database.exec(
      `create trigger quote before insert on agent_checkpoints begin select raise(abort, '${CANARY}'); end`,
    );
    errors.push(await failure(storage.storeCheckpoint(secret)));
    expect(errors.map(({ code }) => code)).toEqual(["CONFLICT", "DATABASE_ERROR", "SCHEMA_OUTDATED", "DATABASE_ERROR"]);
    for (const error of errors) {
      const shown = [
        inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
        error.stack,
        JSON.stringify(error),
        String(error.cause),
      ];
      expect(shown.join("\n")).not.toContain(CANARY);
    }
  });
});

/** Starts a process that stores in a loop, with a backup. One that never ends by itself is ended, by a code of its own. */
function storeInALoop(task: string) {
  const paths = { main: newFile(), backup: newFile() };
  const child = childProcess(task, paths.main, paths.backup);
  const giveUp = setTimeout(() => child.kill("SIGABRT"), 60_000);
  const exit = once(child, "exit").finally(() => clearTimeout(giveUp));
  const rows = (path: string) => {
    const database = new Database(path);
    const count = database.prepare("select count(*) from agent_checkpoints").pluck().get();
    database.close();
    return count as number;
  };
  return { child, exit, stored: () => ({ main: rows(paths.main), backup: rows(paths.backup) }) };
}
