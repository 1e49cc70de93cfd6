import { describe, expect, test, vi } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { idClock } from "../../src/database/ids.ts";
import {
  closeAfterEach,
  copyOf,
  database,
  ids,
  live,
  open,
  openAlone,
  turn,
  until,
  values,
  write,
} from "./databases.ts";

closeAfterEach();

describe("reconciling", () => {
  test("fills a new backup, and a new main, with equal digests", async () => {
    const main = database();
    const alone = openAlone(main);
    for (let number = 1; number <= 60; number++) await alone.storeCheckpoint(turn(number));
    const backup = database();
    const storage = open(main, backup, { reconcile: false });
    expect(await storage.reconcile()).toMatchObject({ compared: 60, copiedToBackup: 60, copiedToMain: 0 });
    expect(ids(backup)).toEqual(ids(main));
    await storage.close();

    const anew = database();
    const later = open(anew, copyOf(backup));
    const latest = await later.retrieveLatestCheckpoint("agent");
    expect(latest?.state).toEqual(turn(60).state);
    await until(() => live(anew).length === 60);
    for (const [id, row] of main.rows) expect(anew.rows.get(id)?.digest).toEqual(row.digest);
  });

  test("restores no deleted checkpoint, whichever side has the tombstone", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const stored: string[] = [];
    for (let number = 1; number <= 8; number++) stored.push(await storage.storeCheckpoint(turn(number)));
    await storage.close();
    const dump = copyOf(main); // from before the deletions
    const [again, itsBackup] = [copyOf(main), copyOf(backup)];
    const second = open(again, itsBackup, { replication: "required" });
    for (const id of stored.slice(0, 3)) await second.deleteCheckpoint(id);
    await second.close();
    const third = open(dump, copyOf(itsBackup));
    expect(await third.reconcile()).toMatchObject({ conflicts: 0, copiedToMain: 0 });
    expect(ids(dump)).toEqual([...stored].sort().slice(3));
  });

  test("reports conflicts and damaged checkpoints, and leaves them as they are", async () => {
    const [main, backup] = [database(), database()];
    const seen = { conflict: [] as { id: string }[] };
    const id = idClock.next();
    const [one, other] = [openAlone(main), openAlone(backup)];
    await one.storeCheckpoint(turn(1, { id }));
    await other.storeCheckpoint(turn(2, { id }));
    const sameState = idClock.next();
    await one.storeCheckpoint(turn(3, { id: sameState }));
    await other.storeCheckpoint(turn(3, { id: sameState, name: "another name" }));
    const broken = await one.storeCheckpoint(turn(30));
    const row = main.rows.get(broken) as Row;
    main.rows.set(broken, { ...row, state: row.state.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) });
    const storage = open(main, backup, { reconcile: false }, seen);
    expect(await storage.reconcile()).toMatchObject({ conflicts: 2, damaged: 1, copiedToBackup: 0 });
    expect(seen.conflict.map((event) => event.id).sort()).toEqual([id, sameState]);
    expect(live(backup)).toHaveLength(2);
  });

  test("copies writes to a new backup, and exchanges those that each side lacks", async () => {
    const [main, backup] = [database(), database()];
    const alone = openAlone(main);
    const id = await alone.storeCheckpoint(turn(1));
    await alone.appendWrites(id, [write("in main"), write("older", -1)]);
    const storage = open(main, backup);
    await storage.reconcile();
    expect(values(backup)).toEqual(values(main));
    // Not through the storage: nothing is pending.
    await openAlone(backup).appendWrites(id, [write("in the backup", 1), write("newer", -1)]);
    await alone.appendWrites(id, [write("in main too", 2)]);
    await storage.reconcile();
    const all = ['-1 "newer"', '0 "in main"', '1 "in the backup"', '2 "in main too"'];
    expect([values(main), values(backup)]).toEqual([all, all]);
    expect(await storage.reconcile()).toMatchObject({ copiedToBackup: 0, copiedToMain: 0, conflicts: 0 });
  });

  test("copies writes in commits of bounded size", async () => {
    const [main, backup] = [database(), database()];
    const alone = openAlone(main);
    for (let number = 1; number <= 40; number++) {
      const id = await alone.storeCheckpoint(turn(0, { createdAt: number }));
      await alone.appendWrites(
        id,
        Array.from({ length: 9 }, (_, index) => write(number, index)),
      );
    }
    const commit = vi.spyOn(backup.dialect, "commit");
    await open(main, backup).reconcile();
    expect(values(backup)).toHaveLength(360);
    const sizes = commit.mock.calls.map(([{ insert = [], append = [] }]) => insert.length + append.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(128);
  });
});
