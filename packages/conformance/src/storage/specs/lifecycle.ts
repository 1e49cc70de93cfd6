import type { CheckpointStorage } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeMany } from "../bench.ts";
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
  describe("the life cycle of a storage", () => {
    it("opens the store at first use, once for all calls that arrive together", async () => {
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

    it("health reports ok and the latency while the store answers", async () => {
      const health = await bench.storage.health();
      expect(health).toStrictEqual({ ok: true, latencyMs: expect.any(Number) });
      expect(health.latencyMs).toBeGreaterThanOrEqual(0);
    });

    it("close works before the first use", async () => {
      const storage = bench.open();
      await storage.close();
      await refusal(storage.listAgents(), "CLOSED");
    });

    it("close rejects later calls with CLOSED before it resolves", async () => {
      const storage = bench.open();
      const agentId = newAgent();
      const accepted = storage.storeCheckpoint(checkpointOf(agentId));
      const closed = storage.close();
      await refusal(storage.storeCheckpoint(checkpointOf(agentId)), "CLOSED");
      await Promise.all([accepted, closed]);
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });

    it("close can be called several times, at once and in sequence", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await Promise.all([storage.close(), storage.close()]);
      await storage.close();
    });

    it("`await using` closes the storage", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await storage[Symbol.asyncDispose]();
      await refusal(storage.listAgents(), "CLOSED");
    });

    it.each(Object.entries(CALLS))("after close, %s rejects with CLOSED", async (_, call) => {
      const storage = bench.open();
      await storage.listAgents();
      await storage.close();
      const error = await refusal(call(storage), "CLOSED");
      expect(error.retryable).toBe(false);
    });

    it("after close, health reports CLOSED and does not reject", async () => {
      const storage = bench.open();
      await storage.listAgents();
      await storage.close();
      expect(await storage.health()).toMatchObject({ ok: false, error: { code: "CLOSED" } });
    });

    it("close ends an iteration at its next page", async () => {
      const { agentId } = await bench.manyCheckpoints();
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

    it("close leaves other storages on the same store open", async () => {
      const other = bench.open();
      const { agentId } = await storeMany(other, newAgent(), 1);
      await other.close();
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });
    it.each([{ cacheBytes: 0 }, { cacheBytes: 1 }, { cacheBytes: 10_000, freeze: true }, { freeze: false }])(
      "checkpoints come back as they were stored with the options %o",
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
