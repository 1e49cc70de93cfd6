import { describe, expect, test } from "vitest";
import { ScriptedError } from "../scripted-dialect.ts";
import { codeOf } from "../scripted-storage.ts";
import { closeAfterEach, copyOf, database, live, open, pending, turn, until } from "./databases.ts";

closeAfterEach();

describe("closing", () => {
  test("sends the backlog, and reports the rows that were not sent", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    for (let number = 1; number <= 20; number++) await storage.storeCheckpoint(turn(number));
    expect(await storage.close()).toEqual({ unsent: { toBackup: 0, toMain: 0 } });
    expect(live(backup)).toHaveLength(20);

    const second = open(copyOf(main), Object.assign(database(), { isDown: true }));
    for (let number = 21; number <= 23; number++) await second.storeCheckpoint(turn(number));
    expect(await second.close({ timeoutMs: 300 })).toEqual({ unsent: { toBackup: 3, toMain: null } });
    expect(await codeOf(second.storeCheckpoint(turn(24)))).toBe("CLOSED");
  });

  test.each([2, 3, 5])("of %i storages at once sends the backlog of a killed process", async (count) => {
    const [main, backup] = [database(), database()];
    backup.isDown = true;
    const killed = open(main, backup);
    const id = await killed.storeCheckpoint(turn(1));
    await killed.appendWrites(id, [{ taskId: "t", index: 0, channel: "c", value: 1 }]);
    await killed.storeCheckpoint(turn(2));
    const storages = Array.from({ length: count }, () => open(main, backup));
    await Promise.all(storages.map((storage) => storage.listAgents()));
    backup.isDown = false;
    const reports = await Promise.all(storages.map((storage) => storage.close()));
    for (const { unsent } of reports) expect(unsent).toEqual({ toBackup: 0, toMain: 0 });
    expect([live(backup).length, pending(main)]).toEqual([2, 0]);
  });
});

describe("health", () => {
  test("is that of the backup while main is away, but not if main's login was never right", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    main.isDown = true;
    expect(await storage.health()).toMatchObject({ ok: true });

    const lockedOut = database();
    Object.assign(lockedOut.dialect, { open: () => Promise.reject(new ScriptedError("login")) });
    expect(await open(lockedOut, backup).health()).toMatchObject({ ok: false, error: { code: "ACCESS_DENIED" } });
  });
});

describe("events", () => {
  test("have listeners whose errors are ignored, synchronous or not", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    storage.on("replicated", () => {
      throw new TypeError("at once");
    });
    storage.on("replicated", async () => {
      throw new TypeError("later");
    });
    await storage.storeCheckpoint(turn(1));
    await until(() => pending(main) === 0);
  });

  test("of an unknown name are refused", () => {
    const storage = open(database(), database());
    expect(() => storage.on("failovers" as "failover", () => {})).toThrow("event");
  });
});
