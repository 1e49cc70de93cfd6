import { describe, expect, test } from "vitest";
import { openCheckpointStorage } from "../../src/config/open.ts";
import { createStorage } from "../../src/create-storage.ts";
import { createReplicatedStorage } from "../../src/replication/storage.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import { codeOf } from "../scripted-storage.ts";
import { closeAfterEach, closeAfterwards, database, live, open, openAlone, turn, until } from "./databases.ts";

closeAfterEach();

describe("main and backup", () => {
  test("have to be two storages", () => {
    const main = database();
    const one = openAlone(main);
    expect(() => createReplicatedStorage({ main: one, backup: one })).toThrow("got one twice");
  });

  test("are refused at the first delivery if they are the same database", async () => {
    const main = database();
    const seen = { replicationFailed: [] as { code: string }[] };
    const storage = open(main, main, { replication: "required" }, seen);
    expect(await codeOf(storage.storeCheckpoint(turn(1)))).toBe("UNAVAILABLE");
    await until(() => seen.replicationFailed.some(({ code }) => code === "INVALID_CONFIG"));
  });

  test.each(["main", "backup"])("need a dialect with an outbox: %s", (name) => {
    const { outbox: _, ...without } = scriptedDialect({ name: "minimal" });
    const storages = { main: createStorage(scriptedDialect()), backup: createStorage(scriptedDialect()) };
    expect(() => createReplicatedStorage({ ...storages, [name]: createStorage(without) })).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: `expected ${name} to be a storage whose dialect has an outbox and settings, got the dialect minimal, which has no outbox`,
      }),
    );
  });

  test("are not needed for a storage on a dialect without an outbox", async () => {
    const { outbox: _, ...dialect } = scriptedDialect();
    await using storage = createStorage(dialect);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [{ taskId: "t", index: 0, channel: "c", value: 1 }]);
    expect(await storage.pruneCheckpoints({ keepLast: 1 })).toMatchObject({ examined: 1, removed: 0 });
    expect(await storage.deleteCheckpoint(id)).toBe(true);
  });

  test.each(["main", "backup"])("have to be made by createStorage: %s", (name) => {
    const storages = { main: createStorage(scriptedDialect()), backup: createStorage(scriptedDialect()) };
    expect(() => createReplicatedStorage({ ...storages, [name]: { storeCheckpoint() {} } as never })).toThrow(
      `expected ${name} to be a storage of one database: of a factory, or a provider of openCheckpointStorage, got an object`,
    );
  });

  test("may be providers of a config, but not all of its storage, which has more to close", async () => {
    const [main, backup] = [database(), database()];
    const providers = { main: { type: () => openAlone(main) } };
    const config = closeAfterwards(await openCheckpointStorage({ config: { checkpoint: { providers } }, env: {} }));
    const storages = { main: config, backup: openAlone(backup) };
    expect(() => createReplicatedStorage(storages)).toThrow("or a provider of openCheckpointStorage, got an object");
    const storage = createReplicatedStorage({ ...storages, main: config.provider("main") });
    await storage.storeCheckpoint(turn(1));
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    expect(live(backup)).toHaveLength(1);
    expect(await config.close()).toEqual({ unsent: null });
  });
});
