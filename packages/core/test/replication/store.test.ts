import { describe, expect, test } from "vitest";
import { createStorage, resolveStorageOptions } from "../../src/create-storage.ts";
import { createReplicatedStorage } from "../../src/replication/storage.ts";
import { never } from "../scripted-dialect.ts";
import { codeOf } from "../scripted-storage.ts";
import {
  closeAfterEach,
  closeAfterwards,
  database,
  ids,
  live,
  open,
  pending,
  QUICK,
  turn,
  until,
  values,
  write,
} from "./databases.ts";

closeAfterEach();

describe("storing with a backup", () => {
  test("delivers the rows to the backup, byte for byte, and leaves none pending", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    for (let number = 1; number <= 40; number++) await storage.storeCheckpoint(turn(number));
    await until(() => live(backup).length === 40 && pending(main) === 0);
    for (const [id, row] of main.rows) {
      expect({ ...backup.rows.get(id), pending: 0 }).toEqual({ ...row, pending: 0 });
    }
    expect((await storage.retrieveLatestCheckpoint("agent"))?.source).toBe("main");
    expect((await storage.status()).providers["main"]?.backlog).toEqual({ rows: 0, bytes: 0, ageMs: 0 });
  });

  test("acknowledges a store once both have it, with replication required", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    const id = await storage.storeCheckpoint(turn(3));
    expect(ids(backup)).toEqual([id]);
    backup.isDown = true;
    expect(await codeOf(storage.storeCheckpoint(turn(4)))).toBe("UNAVAILABLE");
    backup.isDown = false;
    await until(() => live(backup).length === 2); // it is in main, and pending
  });

  test("does not wait for an unreachable backup, which catches up later", async () => {
    const [main, backup] = [database(), database()];
    backup.isDown = true;
    const storage = open(main, backup);
    for (let number = 1; number <= 300; number++)
      await storage.storeCheckpoint(turn(number % 20, { namespace: `${number % 7}` }));
    expect((await storage.status()).providers["main"]?.backlog?.rows).toBe(300);
    backup.isDown = false;
    await until(() => live(backup).length === 300 && pending(main) === 0);
    expect(ids(backup)).toEqual(ids(main));
  }, 30_000);

  test("stops waiting for the backup if the caller's signal aborts, with replication required", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    await storage.storeCheckpoint(turn(1));
    backup.dialect.commit = never;
    const ending = new AbortController();
    const call = storage.storeCheckpoint(turn(2), { signal: ending.signal });
    await until(() => live(main).length === 2);
    ending.abort();
    expect(await codeOf(call)).toBe("ABORTED");
  });

  test("reports an error of the call as the backup does", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => live(backup).length === 1);
    main.isDown = true;
    expect(await codeOf(storage.storeCheckpoint(turn(2, { id })))).toBe("CONFLICT");
  });
});

describe("restoring with a backup", () => {
  test("stores in main and delivers to the backup; while main is down, in the backup", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    const first = await storage.storeCheckpoint(turn(1));
    await storage.storeCheckpoint(turn(20));
    const second = await storage.restoreCheckpoint(first, { agentId: "agent" });
    expect(ids(backup)).toContain(second);
    main.isDown = true;
    const third = await storage.restoreCheckpoint(first);
    expect(await codeOf(storage.restoreCheckpoint(first, { ifLatest: third }))).toBe("UNAVAILABLE"); // main decides
    main.isDown = false;
    await until(() => ids(main).includes(third) && pending(backup) === 0);
    expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(third);
    expect((await storage.retrieveCheckpoint(third))?.state).toEqual(turn(1).state);
  });

  test("restores what only the backup has, and not what main has deleted and the backup not yet", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const deleted = await storage.storeCheckpoint(turn(1));
    await until(() => ids(backup).includes(deleted) && pending(main) === 0);
    backup.isReadOnly = true;
    await storage.deleteCheckpoint(deleted);
    expect(await codeOf(storage.restoreCheckpoint(deleted))).toBe("NOT_FOUND");
    expect(ids(backup)).toEqual([deleted]);
    backup.isReadOnly = false;
    main.isDown = true;
    const only = await storage.storeCheckpoint(turn(20));
    main.isDown = false;
    main.isReadOnly = true;
    const id = await storage.restoreCheckpoint(only);
    expect(ids(main)).toEqual([]);
    expect((await storage.retrieveCheckpoint(id))?.state).toEqual(turn(20).state);
  });
});

describe("appending writes with a backup", () => {
  test("delivers them with their checkpoint or after it, and leaves none pending", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const early = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(early, [write("early")]); // while the checkpoint is being delivered
    await until(() => live(backup).length === 1 && pending(main) === 0);
    expect(values(backup)).toEqual(['0 "early"']);
    await storage.appendWrites(early, [write("late", 1), write("failed", -1)]);
    await storage.appendWrites(early, [write("failed again", -1)]);
    await until(() => pending(main) === 0);
    expect(values(backup)).toEqual(['-1 "failed again"', '0 "early"', '1 "late"']);
    expect(values(backup)).toEqual(values(main));
    expect(await storage.listWrites(early)).toHaveLength(3);
  });

  test("acknowledges them once both have them, with replication required", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup, { replication: "required" });
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    expect(values(backup)).toEqual(["0 1"]);
    await until(() => pending(main) === 0);
    backup.isDown = true;
    expect(await codeOf(storage.appendWrites(id, [write(2, 1)]))).toBe("UNAVAILABLE");
    backup.isDown = false;
    await until(() => values(backup).length === 2); // they are in main, and pending
  });

  test("delivers them once an unreachable backup is reachable again", async () => {
    const [main, backup] = [database(), database()];
    const replicationFailed: unknown[] = [];
    const storage = open(main, backup, {}, { replicationFailed });
    const id = await storage.storeCheckpoint(turn(1));
    await until(() => pending(main) === 0);
    backup.isDown = true;
    for (let index = 0; index < 5; index++) await storage.appendWrites(id, [write(index, index)]);
    await until(() => replicationFailed.length > 0);
    // Which of the two deliveries meets the backup first is open: one writes to it, the other one looks for what it has for main.
    expect(replicationFailed[0]).toMatchObject({ provider: "backup", code: "UNAVAILABLE" });
    backup.isDown = false;
    await until(() => values(backup).length === 5 && pending(main) === 0);
  });

  test("encrypts them in main and not in the backup, as each is configured", async () => {
    const [main, backup] = [database(), database()];
    const keys = { current: "a", keys: { a: "11".repeat(32) }, digestKey: "22".repeat(32) };
    const { parse: _, ...quick } = QUICK;
    const encrypted = createReplicatedStorage({
      main: createStorage(main.dialect, resolveStorageOptions({ ...quick, encryption: { keys } })),
      backup: createStorage(backup.dialect, QUICK),
    });
    const storage = closeAfterwards(encrypted);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write("canary")]);
    await until(() => values(backup).length === 1);
    expect(values(backup)).toEqual(['0 "canary"']);
    expect(values(main)[0]).not.toContain("canary");
    expect(await storage.listWrites(id)).toEqual([write("canary")]);
  });
});
