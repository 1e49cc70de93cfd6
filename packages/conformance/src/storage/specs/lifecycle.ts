import type { CheckpointStorage } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeLine } from "../bench.ts";
import { conversation } from "../conversations.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const CALLS: Readonly<Record<string, (storage: CheckpointStorage) => Promise<unknown>>> = {
  storeCheckpoint: (storage) => storage.storeCheckpoint(checkpointOf(newAgent())),
  retrieveCheckpoint: (storage) => storage.retrieveCheckpoint(idAt(Date.now())),
  retrieveLatestCheckpoint: (storage) => storage.retrieveLatestCheckpoint(newAgent()),
  listCheckpoints: (storage) => storage.listCheckpoints(),
  iterateCheckpoints: (storage) => collect(storage.iterateCheckpoints()),
  iterateAncestors: (storage) => collect(storage.iterateAncestors(idAt(Date.now()))),
  listAgents: (storage) => storage.listAgents(),
  deleteCheckpoint: (storage) => storage.deleteCheckpoint(idAt(Date.now())),
  deleteAgent: (storage) => storage.deleteAgent(newAgent()),
  pruneCheckpoints: (storage) => storage.pruneCheckpoints({ keepLast: 1 }),
  stats: (storage) => storage.stats(),
  migrate: (storage) => storage.migrate(),
};

export function describeLifecycle(bench: Bench): void {
  describe("a storage's life", () => {
    it("begins at first use, once, however many calls arrive together", async () => {
      const store = await bench.createStore();
      const storage = bench.open({}, store);
      const agentId = newAgent();
      const stores = Array.from({ length: 30 }, () => storage.storeCheckpoint(checkpointOf(agentId)));
      const reads = [
        storage.listAgents(),
        storage.stats(),
        storage.retrieveLatestCheckpoint(newAgent()),
        storage.health(),
      ];
      await Promise.all([...stores, ...reads]);
      expect(await store.countRows()).toBe(30);
    });

    it("can be shared: several storages on one empty store begin at once", async () => {
      const store = await bench.createStore();
      const storages = Array.from({ length: 8 }, () => bench.open({}, store));
      const ids = await Promise.all(storages.map((storage) => storage.storeCheckpoint(checkpointOf(newAgent()))));
      const listed = await storages[0]?.listCheckpoints();
      expect(new Set(listed?.map(({ id }) => id))).toStrictEqual(new Set(ids));
    });

    it("is healthy when the store answers, and says how fast that was", async () => {
      const health = await bench.storage.health();
      expect(health).toStrictEqual({ ok: true, latencyMs: expect.any(Number) });
      expect(health.latencyMs).toBeGreaterThanOrEqual(0);
    });

    it("can end before it began", async () => {
      const storage = bench.open();
      await storage.close();
      await refusal(storage.listAgents(), "CLOSED");
    });

    it("ends when the stores that were accepted are done", async () => {
      const storage = bench.open();
      const agentId = newAgent();
      const state = { text: "large enough to be compressed aside ".repeat(5_000) };
      const stores = Array.from({ length: 20 }, () => storage.storeCheckpoint(checkpointOf(agentId, { state })));
      await storage.close();
      expect(await bench.storage.stats({ agentId })).toMatchObject({ checkpoints: 20 });
      expect(new Set(await Promise.all(stores)).size).toBe(20);
    });

    it("ends for all calls alike that come after close(): it need not be awaited", async () => {
      const storage = bench.open();
      const agentId = newAgent();
      const accepted = storage.storeCheckpoint(checkpointOf(agentId));
      const closed = storage.close();
      await refusal(storage.storeCheckpoint(checkpointOf(agentId)), "CLOSED");
      await Promise.all([accepted, closed]);
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });

    it("can be ended twice, at once and one after the other", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await Promise.all([storage.close(), storage.close()]);
      await storage.close();
    });

    it("is ended by `await using`", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await storage[Symbol.asyncDispose]();
      await refusal(storage.listAgents(), "CLOSED");
    });

    it.each(Object.entries(CALLS))("is over after close(): %s rejects with CLOSED", async (_, call) => {
      const storage = bench.open();
      await storage.listAgents();
      await storage.close();
      const error = await refusal(call(storage), "CLOSED");
      expect(error.retryable).toBe(false);
    });

    it("is over after close(): health says so, and does not reject", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await storage.close();
      expect(await storage.health()).toMatchObject({ ok: false, error: { code: "CLOSED" } });
    });

    it("ends for an iteration that is under way at its next page", async () => {
      const { agentId } = await bench.longLine();
      const storage = bench.open();
      const seen: string[] = [];
      const iterate = async () => {
        for await (const { id } of storage.iterateCheckpoints({ agentId })) {
          seen.push(id);
          if (seen.length === 1) await storage.close();
        }
      };
      await refusal(iterate, "CLOSED");
      expect(seen).toHaveLength(1_000);
    });

    it("is its own: closing one storage leaves the others on the same store open", async () => {
      const other = bench.open();
      const { agentId } = await storeLine(other, newAgent(), 1);
      await other.close();
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });

    it.each([
      { operationTimeoutMs: 0 },
      { operationTimeoutMs: "1s" },
      { migrate: "never" },
      { tablePrefix: 7 },
      { cacheBytes: -1 },
      { cacheBytes: 0.5 },
      { cacheBytes: Number.NaN },
      { cacheBytes: Number.POSITIVE_INFINITY },
      { cacheBytes: "1" },
      { cacheBytes: null },
      { freeze: "yes" },
      { freeze: 1 },
      { freeze: null },
      { databasepath: "x" },
    ])("does not begin with the options %o, and names the one that is wrong", async (options) => {
      const error = await refusal(async () => bench.open(options as object).listAgents(), "INVALID_ARGUMENT");
      expect(error.message).toContain(Object.keys(options)[0]);
    });

    it.each([{ cacheBytes: 0 }, { cacheBytes: 1 }, { cacheBytes: 10_000, freeze: true }, { freeze: false }])(
      "gives back what was stored with the options %o",
      async (options) => {
        const storage = bench.open(options);
        const agentId = newAgent();
        const ids: string[] = [];
        for (let turn = 1; turn <= 12; turn++) {
          ids.push(await storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(1, turn) })));
        }
        for (const [index, id] of ids.entries()) {
          expect(await storage.retrieveCheckpoint(id)).toMatchObject({ state: conversation(1, index + 1) });
        }
      },
    );
  });
}
