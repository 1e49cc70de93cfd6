import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";
import { CALLS } from "./signal.ts";

/** Calls that a signal or `close` meets while the database is at work: a driver with connections has to end or finish them. */
export function describeInterruption(bench: Bench): void {
  describe("an AbortSignal", () => {
    it.each(Object.entries(CALLS))(
      "that is aborted during the call ends %s, and the storage still works",
      async (_, call) => {
        const { agentId } = await storeMany(bench.storage, newAgent(), 2);
        const controller = new AbortController();
        const ended = call(bench.storage, agentId, controller.signal);
        controller.abort();
        const error = await refusal(ended, "ABORTED");
        expect(error.retryable).toBe(false);
        const id = await bench.storage.storeCheckpoint(checkpointOf(agentId));
        expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id });
      },
    );

    it("that ends a store leaves the whole checkpoint or none, and the store can be repeated", async () => {
      const checkpoints = Array.from({ length: 20 }, (_, turn) =>
        checkpointOf(newAgent(), { id: idAt(Date.now()), state: { turn } }),
      );
      const controller = new AbortController();
      const stores = checkpoints.map((checkpoint) =>
        bench.storage.storeCheckpoint(checkpoint, { signal: controller.signal }),
      );
      controller.abort();
      for (const store of stores) await refusal(store, "ABORTED");
      for (const checkpoint of checkpoints) {
        expect(await bench.storage.storeCheckpoint(checkpoint)).toBe(checkpoint.id);
        expect(await bench.storage.retrieveCheckpoint(checkpoint.id as string)).toStrictEqual(checkpoint);
      }
    });

    it("that ends the call which opens the store does not end the other calls", async () => {
      const storage = bench.open();
      const controller = new AbortController();
      const first = storage.listAgents({ signal: controller.signal });
      const second = storage.listAgents({ limit: 1 });
      controller.abort();
      await refusal(first, "ABORTED");
      expect((await second).length).toBeLessThanOrEqual(1);
      expect(await storage.health()).toMatchObject({ ok: true });
    });
  });

  describe("the life cycle of a storage", () => {
    it("close waits for the stores that were accepted", async () => {
      const storage = bench.open();
      const agentId = newAgent();
      const state = { text: "large enough to be compressed aside ".repeat(5_000) };
      const stores = Array.from({ length: 20 }, () => storage.storeCheckpoint(checkpointOf(agentId, { state })));
      await storage.close();
      expect(await bench.storage.stats({ agentId })).toMatchObject({ checkpoints: 20 });
      expect(new Set(await Promise.all(stores)).size).toBe(20);
    });
  });
}
