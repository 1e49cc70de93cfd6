import type { CheckpointStorage } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { newCheckpoint, ServerBench } from "./bench.ts";
import type { ServerDatabase, ServerTarget } from "./target.ts";

/** Describes storages and their server to the suite of connection pools. */
export interface PoolTarget extends ServerTarget {
  /** Counts the connections that storages have to a database. */
  countConnections(database: ServerDatabase): Promise<number>;
}

/** Program of a process that stores, and closes nothing. */
const STORE = `
  const storage = createCheckpointStorage({ connectionString: args[0], idleTimeoutMs: 50, poolSize: args[1] });
  const store = (state) => storage.storeCheckpoint({ agentId: "agent", name: "turn", state, createdAt: 0 });
  await Promise.all([store(1), store(2), storage.listCheckpoints()]);
  console.log("stored");`;

/** Calls every method of a storage on an empty database, as the life of an agent does, and expects what each returns. */
export async function callEveryMethod(storage: CheckpointStorage): Promise<void> {
  const first = await storage.storeCheckpoint(newCheckpoint({ metadata: { step: 1 } }));
  const state = [1n, new Date(0)];
  const second = await storage.storeCheckpoint(newCheckpoint({ namespace: "n", parentId: first, state }));
  const conflicting = storage.storeCheckpoint(newCheckpoint(), { ifLatest: second });
  await expect(conflicting).rejects.toMatchObject({ code: "CONFLICT" });
  const third = await storage.storeCheckpoint(newCheckpoint({ state: { turn: 3 } }), { ifLatest: first });
  expect(await storage.retrieveCheckpoint(second)).toMatchObject({ namespace: "n", state });
  expect((await storage.retrieveLatestCheckpoint("agent"))?.id).toBe(third);
  const labelled = await storage.listCheckpoints({ agentId: "agent", metadata: { step: 1 } });
  expect(labelled.map(({ id }) => id)).toEqual([first]);
  const before = await storage.listCheckpoints({ agentId: "agent", before: third });
  expect(before.map(({ id }) => id)).toEqual([second, first]);
  expect(await storage.listAgents()).toEqual(["agent"]);
  expect(await storage.stats()).toMatchObject({ checkpoints: 3 });
  expect(await storage.health()).toMatchObject({ ok: true });
  expect(await storage.pruneCheckpoints({ keepLast: 1 })).toMatchObject({ examined: 3, removed: 1 });
  expect(await storage.deleteCheckpoint(third)).toBe(true);
  expect(await storage.deleteAgent("agent")).toBe(1);
  expect(await storage.migrate()).toEqual([]);
}

/** Stores fifty checkpoints at once, named "turn 0" to "turn 49". */
export async function storeFifty(storage: CheckpointStorage): Promise<string[]> {
  const stores = Array.from({ length: 50 }, (_, index) =>
    storage.storeCheckpoint(newCheckpoint({ name: `turn ${index}` })),
  );
  return await Promise.all(stores);
}

/** Registers the tests of how many connections a storage opens, and how long it keeps them. */
export function describePool(target: PoolTarget): void {
  const bench = new ServerBench(target);

  describe(`${target.name}: the connections of a storage`, () => {
    it("are no more than poolSize, and one is enough", async () => {
      for (const poolSize of [1, 3]) {
        const database = await bench.createDatabase();
        const storage = bench.open({ connectionString: database.url, poolSize });
        await storeFifty(storage);
        // Stores that come at once share a commit; reads do not.
        await Promise.all(Array.from({ length: 50 }, () => storage.listCheckpoints({ limit: 1 })));
        expect(await target.countConnections(database)).toBe(poolSize);
        expect(await storage.deleteAgent("agent")).toBe(50);
        await callEveryMethod(storage);
      }
    });

    it("are given back when they are idle for idleTimeoutMs, and made anew for the next call", async () => {
      const database = await bench.createDatabase();
      const storage = bench.open({ connectionString: database.url, idleTimeoutMs: 50 });
      await storeFifty(storage);
      while ((await target.countConnections(database)) > 0);
      expect(await storage.listCheckpoints()).toHaveLength(50);
    });

    it("let their process end when they were idle for idleTimeoutMs, though nothing closes the storage", async () => {
      const database = await bench.createDatabase();
      const children = [1, 3].map((poolSize) => bench.startNode(STORE, database.url, poolSize));
      const exits = await Promise.all(children.map((child) => child.exit));
      expect(exits).toEqual(children.map(() => ({ code: 0, signal: null, output: "stored\n" })));
    });
  });
}
