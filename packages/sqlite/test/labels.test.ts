import { createReplicatedStorage } from "@waymark/core";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { afterEach, expect, it, onTestFinished, vi } from "vitest";
import { checkpoint, newFile } from "./fixtures.ts";

afterEach(() => {
  vi.useRealTimers();
});

const USER = { user: "42" };

function open(databasePath: string, indexedLabels: readonly string[] = []) {
  const storage = createSQLiteStorage({ databasePath, indexedLabels });
  const ended: unknown[] = [];
  storage.on("labelsIndexed", (event) => ended.push(event));
  /** Indexes, and waits until the storage has done so in the background too. */
  const index = async () => {
    await storage.indexLabels();
    await vi.waitUntil(() => ended.length === 2, { timeout: 60_000 });
  };
  onTestFinished(async () => {
    await storage.close();
  });
  const put = (metadata: Record<string, string>, members = {}) =>
    storage.storeCheckpoint({ ...checkpoint("a state"), metadata, ...members });
  const list = async (query = {}) => (await storage.listCheckpoints({ metadata: USER, ...query })).map(({ id }) => id);
  return { storage, put, list, index };
}

it("indexes what a process has stored before it learned of a label, once it does", async () => {
  const databasePath = newFile();
  const [unaware, indexing] = [open(databasePath), open(databasePath, ["user"])];
  const first = await unaware.put(USER);
  await indexing.index();
  const second = await unaware.put(USER);
  expect(await indexing.list()).toEqual([first]);
  vi.useFakeTimers({ now: Date.now() + 6 * 60_000, toFake: ["Date"] });
  const third = await unaware.put(USER); // it looks before it stores
  await vi.waitFor(async () => expect(await indexing.list()).toEqual([third, second, first]), { timeout: 60_000 });
});

it("erases in main and backup where only the database of one of them remembers the label", async () => {
  const [main, backup] = [newFile(), newFile()];
  const indexing = open(main, ["user"]);
  await indexing.put(USER, { agentId: "in main" });
  await indexing.index();
  await open(backup).put(USER, { agentId: "in the backup" });
  const pair = createReplicatedStorage({
    main: createSQLiteStorage({ databasePath: main }),
    backup: createSQLiteStorage({ databasePath: backup }),
    reconcile: false,
  });
  onTestFinished(async () => void (await pair.close()));
  expect(await pair.deleteAgents({ metadata: USER })).toEqual({ agents: 2, checkpoints: 2 });
  await pair.reconcile();
  expect(await pair.listAgents()).toEqual([]);
  expect(await open(backup).list()).toEqual([]);
});

it("indexes what a process of an earlier version has stored: at the next start, or before it erases", async () => {
  const databasePath = newFile();
  const { storage, put, list, index } = open(databasePath, ["user"]);
  const id = await put(USER);
  await index();
  let stored = 0;
  const storeAsBefore = () => {
    stored += 1;
    const newId = `${id.slice(0, -4)}000${stored}`;
    const database = new Database(databasePath);
    database
      .prepare(
        `insert into agent_checkpoints select ?, 'earlier', namespace, name, null, null, null, created_at, metadata, encoding,
         state_bytes, digest, null, state from agent_checkpoints where id = ?`,
      )
      .run(...[newId, id].map((text) => Buffer.from(text.replaceAll("-", ""), "hex")));
    database.close();
  };
  storeAsBefore();
  expect(await list()).toHaveLength(1);
  const next = open(databasePath, ["user"]);
  const indexed = new Promise((resolve) => next.storage.on("labelsIndexed", resolve));
  await next.storage.listCheckpoints();
  expect(await indexed).toMatchObject({ labels: ["user"], examined: 2 });
  expect(await list()).toHaveLength(2);
  storeAsBefore();
  expect(await storage.deleteAgents({ metadata: USER })).toEqual({ agents: 2, checkpoints: 3 });
  expect(await storage.listCheckpoints()).toEqual([]);
});

it("refuses an answer that lacks checkpoints while a label is being indexed, unless that is allowed", async () => {
  const databasePath = newFile();
  const { storage, put, list } = open(databasePath);
  await put(USER);
  await Promise.all(Array.from({ length: 1_000 }, (_, turn) => put({ turn: String(turn) })));
  await put(USER);
  const ended = new AbortController();
  const indexing = createSQLiteStorage({ databasePath, indexedLabels: ["user"] });
  await indexing.indexLabels({ signal: ended.signal, onProgress: () => ended.abort() }).catch(() => {});
  await indexing.close();
  const error = await storage.listCheckpoints({ metadata: USER }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "STALE", message: expect.stringContaining('"user" is still being indexed') });
  expect((await list({ allowStale: true })).length).toBeLessThan(2);
  expect(await storage.indexLabels()).toMatchObject({ labels: ["user"] }); // goes on where it was ended
  expect(await list()).toHaveLength(2);
});

it("is still indexing a label at the first call with that option, and does not deny that it was given", async () => {
  const databasePath = newFile();
  await using unaware = createSQLiteStorage({ databasePath });
  await unaware.storeCheckpoint({ agentId: "agent", name: "turn", state: 1, createdAt: 1, metadata: USER });
  await using storage = createSQLiteStorage({ databasePath, indexedLabels: ["user"] });
  const refused = await storage.listAgents({ metadata: USER }).then(
    () => "STALE", // it was faster
    ({ code }) => code,
  );
  expect(refused).toBe("STALE");
  await storage.indexLabels();
  expect(await storage.listAgents({ metadata: USER })).toEqual(["agent"]);
});

it("keeps no more labels than a database may have, and no name that is too long", async () => {
  const databasePath = newFile();
  const names = Array.from({ length: 8 }, (_, at) => `label ${at}`);
  await open(databasePath, names).storage.indexLabels();
  await expect(open(databasePath, ["one more"]).storage.indexLabels()).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
  expect(() => createSQLiteStorage({ databasePath, indexedLabels: [...names, "one more"] })).toThrow(
    "options.indexedLabels to be at most 8",
  );
  expect(() => createSQLiteStorage({ databasePath, indexedLabels: ["é".repeat(65)] })).toThrow(
    "options.indexedLabels[0] to be 1 to 128 bytes",
  );
});
