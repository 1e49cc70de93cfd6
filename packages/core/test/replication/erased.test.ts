import { describe, expect, test } from "vitest";
import { NO_AGENT } from "../../src/checkpoints/dialect.ts";
import { tombstoneOf } from "../../src/checkpoints/tombstones.ts";
import { openCheckpointStorage } from "../../src/config/open.ts";
import { createStorage } from "../../src/create-storage.ts";
import { endReplication } from "../../src/replication/end.ts";
import { scriptedDialect } from "../scripted-dialect.ts";
import { codeOf } from "../scripted-storage.ts";
import {
  closeAfterEach,
  closeAfterwards,
  type Database,
  database,
  ids,
  live,
  open,
  openAlone,
  pending,
  tombstones,
  turn,
  until,
} from "./databases.ts";

closeAfterEach();

/** Opens a pair on these databases, stores a checkpoint, and closes it when both have it. */
async function useWithBackup(main: Database, backup: Database): Promise<string> {
  const storage = open(main, backup);
  const id = await storage.storeCheckpoint(turn(1));
  await until(() => live(backup).length === live(main).length && pending(main) === 0);
  await storage.close();
  return id;
}

const isReplicated = async (one: Database) => {
  const storage = openAlone(one);
  await storage.listAgents(); // opens it
  return (await storage.status()).providers.main.replicated;
};

describe("a database that has, or had, a backup", () => {
  test("leaves tombstones of what is removed by a storage that opens it alone: in main, and in the backup", async () => {
    const [main, backup] = [database(), database()];
    const first = await useWithBackup(main, backup);
    const second = await useWithBackup(main, backup);
    expect(await openAlone(main).deleteCheckpoint(first)).toBe(true);
    expect(await openAlone(backup).deleteAgent("agent")).toBe(2);
    expect(tombstones(main)).toEqual([first]);
    expect(tombstones(backup).sort()).toEqual([first, second].sort());
    expect([await isReplicated(main), await isReplicated(backup)]).toEqual([true, true]);

    const storage = open(main, backup);
    expect(await storage.listAgents()).toEqual([]);
    await until(() => live(main).length + pending(main) + pending(backup) === 0);
    expect([ids(main), ids(backup)]).toEqual([[], []]);
  });

  test("has them of a storage that opened it alone before it had one", async () => {
    const [main, backup] = [database(), database()];
    const job = openAlone(main);
    expect((await job.status()).providers.main.replicated).toBeNull(); // not opened yet
    await job.deleteCheckpoint(await job.storeCheckpoint(turn(1)));
    expect(tombstones(main)).toEqual([]);
    expect((await job.status()).providers.main.replicated).toBe(false);
    const id = await useWithBackup(main, backup);
    expect(await job.deleteCheckpoint(id)).toBe(true);
    expect(tombstones(main)).toEqual([id]);
  });

  test("has them if it is marked between the plan of a removal and its commit", async () => {
    const main = database();
    const job = openAlone(main);
    const [first, second] = [await job.storeCheckpoint(turn(1)), await job.storeCheckpoint(turn(2))];
    await job.deleteCheckpoint(first); // the job knows now that there is no backup
    main.values.set("replicated", "yes");
    expect(await job.deleteCheckpoint(second)).toBe(true);
    expect(tombstones(main)).toEqual([second]);
  });

  test("is recognised where an earlier version has left tombstones or pending rows", async () => {
    for (const leave of ["tombstone", "pending row"]) {
      const main = database();
      const job = openAlone(main);
      const [id, other] = [await job.storeCheckpoint(turn(1)), await job.storeCheckpoint(turn(2))];
      main.values.set("replicated", "no");
      const row = main.rows.get(other);
      if (row === undefined) throw new TypeError("expected the row");
      main.rows.set(other, leave === "tombstone" ? tombstoneOf(other, 1, null) : { ...row, pending: 1 });
      expect((await job.status()).providers.main.replicated).toBe(true);
      expect(main.values.get("replicated")).toBe("no"); // asking changes nothing
      await job.deleteCheckpoint(id);
      expect(tombstones(main)).toContain(id);
      expect(main.values.get("replicated")).toBe("yes");
    }
  });

  test("has nothing copied to it or from it until it is marked, and is read meanwhile", async () => {
    const [main, backup] = [database(), database()];
    const id = await openAlone(main).storeCheckpoint(turn(1));
    main.isReadOnly = true;
    const storage = open(main, backup);
    expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id, source: "main" });
    await storage.storeCheckpoint(turn(2)); // in the backup
    expect(main.values.get("replicated")).toBeUndefined();
    expect(live(backup)).toHaveLength(1);
    main.isReadOnly = false;
    expect(await storage.reconcile()).toMatchObject({ copiedToBackup: 1 });
    expect(main.values.get("replicated")).toBe("yes");
  });

  test("is marked again when another database has taken its place", async () => {
    const [main, backup] = [database(), database()];
    const storage = open(main, backup);
    const id = await storage.storeCheckpoint(turn(1));
    main.values.clear(); // as in a dump of before
    await storage.deleteCheckpoint(id);
    expect(tombstones(main)).toEqual([id]);
    main.values.clear();
    await storage.reconcile();
    expect(main.values.get("replicated")).toBe("yes");
  });

  test("needs settings for it", () => {
    const { settings: _, ...without } = scriptedDialect({ name: "minimal" });
    const main = createStorage(without);
    expect(() => open({ ...database(), dialect: without } as unknown as Database, database())).toThrow(
      "expected main to be a storage whose dialect has an outbox and settings, got the dialect minimal, which has no settings",
    );
    return main.close();
  });
});

describe("ending replication", () => {
  test("removes all tombstones and pending marks, and later removals leave none", async () => {
    const [main, backup] = [database(), database()];
    const id = await useWithBackup(main, backup);
    const kept = await useWithBackup(main, backup);
    const job = openAlone(main);
    await job.deleteCheckpoint(id);
    for (const [key, row] of main.rows) main.rows.set(key, { ...row, pending: 1 });
    const alone = openAlone(main);
    expect(await endReplication(alone)).toBe(1);
    expect([ids(main), tombstones(main), pending(main)]).toEqual([[kept], [], 0]);
    expect(await isReplicated(main)).toBe(false);
    expect(await job.deleteCheckpoint(kept)).toBe(true); // it knew otherwise
    expect([...main.rows.values()].filter(({ agentId }) => agentId === NO_AGENT)).toEqual([]);
    expect(await endReplication(alone)).toBe(0);
  });

  test("holds against another process that deletes meanwhile", async () => {
    const [main, backup] = [database(), database()];
    const first = await useWithBackup(main, backup);
    const second = await useWithBackup(main, backup);
    const job = openAlone(main);
    await job.deleteCheckpoint(first);
    const { commit } = main.dialect;
    let isFirst = true;
    const slow = openAlone({
      ...main,
      dialect: {
        ...main.dialect,
        commit: async (change, signal) => {
          if (isFirst && (change.remove?.length ?? 0) > 0) {
            isFirst = false;
            await job.deleteCheckpoint(second); // finds the first tombstone, and leaves one
            expect(tombstones(main)).toHaveLength(2);
          }
          return await commit(change, signal);
        },
      },
    });
    expect(await endReplication(slow)).toBe(2);
    expect([ids(main), tombstones(main), await isReplicated(main)]).toEqual([[], [], false]);
  });

  test("takes a storage of openCheckpointStorage, unless that has a backup", async () => {
    const [main, backup] = [database(), database()];
    const id = await useWithBackup(main, backup);
    await openAlone(main).deleteCheckpoint(id);
    const opened = async (...given: [name: string, Database][]) => {
      const providers = given.map(([name, one]) => [name, { type: () => openAlone(one) }]);
      const config = { checkpoint: { providers: Object.fromEntries(providers) as never } };
      return closeAfterwards(await openCheckpointStorage({ config, env: {} }));
    };
    const pair = await opened(["main", main], ["backup", database()]);
    expect(await codeOf(endReplication(pair))).toBe("INVALID_ARGUMENT");
    expect(await endReplication(await opened(["main", main], ["archive", backup]))).toBe(1);
    expect([tombstones(main), await isReplicated(main)]).toEqual([[], false]);
  });

  test("is refused for a storage with a backup, and does nothing without an outbox", async () => {
    const storage = open(database(), database());
    expect(await codeOf(endReplication(storage))).toBe("INVALID_ARGUMENT");
    const { outbox: _, settings: __, ...dialect } = scriptedDialect();
    await using alone = createStorage(dialect);
    const id = await alone.storeCheckpoint(turn(1));
    expect(await alone.deleteCheckpoint(id)).toBe(true);
    expect((await alone.status()).providers.main.replicated).toBe(false);
    expect(await endReplication(alone)).toBe(0);
  });
});
