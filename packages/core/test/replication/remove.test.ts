import { describe, expect, test } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { idClock } from "../../src/database/ids.ts";
import { codeOf } from "../scripted-storage.ts";
import {
  closeAfterEach,
  database,
  ids,
  live,
  open,
  openAlone,
  pending,
  tombstones,
  turn,
  until,
  values,
  write,
} from "./databases.ts";

closeAfterEach();

describe("removing with a backup", () => {
  test("delivers deletes and prunes, and lets no deleted checkpoint be stored again", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const stored: string[] = [];
    for (let number = 1; number <= 10; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    expect(await storage.deleteCheckpoint(stored[4] as string)).toBe(true);
    expect(await storage.pruneCheckpoints({ keepLast: 3 })).toMatchObject({ removed: 6 });
    await until(() => live(backup).length === 3 && pending(main) === 0);
    expect(tombstones(backup).sort()).toEqual([...stored].sort().slice(0, 7));
    expect(ids(backup)).toEqual(ids(main));
    expect(await codeOf(storage.storeCheckpoint(turn(5, { id: stored[4] })))).toBe("CONFLICT");
    expect(await storage.retrieveCheckpoint(stored[4] as string)).toBeNull();
    expect(await storage.deleteCheckpoint(stored[4] as string)).toBe(false);
    expect(await storage.listCheckpoints()).toHaveLength(3);
    expect(await storage.listAgents()).toEqual(["agent"]);
    expect(await storage.deleteAgent("agent")).toBe(3);
    await until(() => live(backup).length === 0);
    expect((await storage.stats()).checkpoints).toBe(0);
  });

  test("deletes an agent's checkpoints that only the backup has, and none that is stored afterwards, whatever its id", async () => {
    const [main, backup] = [database(), database()];
    await openAlone(backup).storeCheckpoint(turn(1));
    const storage = open(main, backup, { reconcile: false });
    const old = idClock.next();
    await storage.storeCheckpoint(turn(2));
    expect(await storage.deleteAgent("agent")).toBe(2);
    await storage.storeCheckpoint(turn(3, { id: old }));
    await storage.reconcile();
    expect([ids(main), ids(backup)]).toEqual([[old], [old]]);
    backup.isDown = true;
    expect(await codeOf(storage.deleteAgent("agent"))).toBe("UNAVAILABLE");
  });

  test("removes the writes of a deleted checkpoint in both, and lets no late copy restore them", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    await storage.appendWrites(id, [write(1)]);
    await until(() => values(backup).length === 1);
    await storage.deleteCheckpoint(id);
    expect(await codeOf(storage.appendWrites(id, [write(2)]))).toBe("NOT_FOUND");
    await until(() => live(backup).length === 0 && pending(main) === 0);
    await storage.reconcile();
    expect([...values(main), ...values(backup)]).toEqual([]);
  });

  test("deletes with an agent what another process delivers from the backup to main at that moment", async () => {
    const [main, backup] = [database(), database()];
    const id = await openAlone(backup).storeCheckpoint(turn(1));
    const row = backup.rows.get(id) as Row;
    const storage = open(main, backup, { reconcile: false });
    await storage.health();
    const [vacuum, list] = [main.dialect.vacuum, backup.dialect.list];
    let isDeletedInMain = false;
    main.dialect.vacuum = async (signal) => {
      isDeletedInMain = true; // it comes last
      return await vacuum(signal);
    };
    backup.dialect.list = async (query, signal) => {
      if (isDeletedInMain) main.rows.set(id, row);
      isDeletedInMain = false;
      return await list(query, signal);
    };
    expect(await storage.deleteAgent("agent")).toBe(1);
    expect([live(main), tombstones(main)]).toEqual([[], [id]]);
  });
});
