import type { CheckpointStorage } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

/** Calls that take a signal, by name. */
type Call = (storage: CheckpointStorage, agentId: string, signal: AbortSignal) => Promise<unknown>;

export const CALLS: Readonly<Record<string, Call>> = {
  storeCheckpoint: (storage, agentId, signal) => storage.storeCheckpoint(checkpointOf(agentId), { signal }),
  retrieveCheckpoint: (storage, _, signal) => storage.retrieveCheckpoint(idAt(Date.now()), { signal }),
  retrieveLatestCheckpoint: (storage, agentId, signal) => storage.retrieveLatestCheckpoint(agentId, { signal }),
  listCheckpoints: (storage, agentId, signal) => storage.listCheckpoints({ agentId, signal }),
  iterateCheckpoints: (storage, agentId, signal) => collect(storage.iterateCheckpoints({ agentId, signal })),
  iterateAncestors: (storage, _, signal) => collect(storage.iterateAncestors(idAt(Date.now()), { signal })),
  listAgents: (storage, _, signal) => storage.listAgents({ signal }),
  deleteCheckpoint: (storage, _, signal) => storage.deleteCheckpoint(idAt(Date.now()), { signal }),
  deleteAgent: (storage, agentId, signal) => storage.deleteAgent(agentId, { signal }),
  pruneCheckpoints: (storage, agentId, signal) => storage.pruneCheckpoints({ agentId, keepLast: 1, signal }),
  stats: (storage, _, signal) => storage.stats({ signal }),
};

export function describeSignal(bench: Bench): void {
  describe("an AbortSignal", () => {
    it.each(Object.entries(CALLS))("that is already aborted ends %s, and nothing is changed", async (_, call) => {
      const { agentId } = await storeMany(bench.storage, newAgent(), 2);
      const before = await bench.store.countRows();
      await refusal(call(bench.storage, agentId, AbortSignal.abort()), "ABORTED");
      expect(await bench.store.countRows()).toBe(before);
    });

    it("that is already aborted ends appendWrites and listWrites", async () => {
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent()));
      const signal = AbortSignal.abort();
      const write = { taskId: "task", index: 0, channel: "channel", value: 1 };
      await refusal(bench.storage.appendWrites(id, [write], { signal }), "ABORTED");
      await refusal(bench.storage.listWrites(id, { signal }), "ABORTED");
    });

    it("that is aborted after the call does nothing, and has no listener left", async () => {
      const controller = new AbortController();
      let listeners = 0;
      const { signal } = controller;
      const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
      signal.addEventListener = (...args: Parameters<typeof add>) => {
        listeners += 1;
        add(...args);
      };
      signal.removeEventListener = (...args: Parameters<typeof remove>) => {
        listeners -= 1;
        remove(...args);
      };
      const agentId = newAgent();
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { signal });
      await bench.storage.listCheckpoints({ agentId, signal });
      expect(listeners).toBe(0);
      controller.abort();
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });

    it("that is aborted between two pages ends an iteration", async () => {
      const { agentId } = await bench.manyCheckpoints();
      const controller = new AbortController();
      const seen: string[] = [];
      const iterate = async () => {
        for await (const { id } of bench.storage.iterateCheckpoints({ agentId, signal: controller.signal })) {
          seen.push(id);
          if (seen.length === 1_000) controller.abort();
        }
      };
      await refusal(iterate, "ABORTED");
      expect(seen).toHaveLength(1_000);
    });

    it("that is aborted during an iteration over ancestors ends it", async () => {
      const agentId = newAgent();
      const ids = Array.from({ length: 1_200 }, (_, index) => idAt(1_000_000 + index));
      await Promise.all(
        ids.map((id, index) => {
          const parent = index === 0 ? {} : { parentId: ids[index - 1] as string };
          return bench.storage.storeCheckpoint(checkpointOf(agentId, { id, ...parent }));
        }),
      );
      const controller = new AbortController();
      const seen: string[] = [];
      const iterate = async () => {
        for await (const { id } of bench.storage.iterateAncestors(ids.at(-1) as string, {
          signal: controller.signal,
        })) {
          seen.push(id);
          controller.abort();
        }
      };
      await refusal(iterate, "ABORTED");
      expect(seen).toStrictEqual(ids.toReversed().slice(0, seen.length));
      expect(seen.length).toBeLessThan(ids.length);
    });

    it.each([null, {}, "abort", { aborted: false }])("is refused if it is not an AbortSignal: %j", async (signal) => {
      await refusal(bench.storage.listCheckpoints({ signal: signal as AbortSignal }), "INVALID_ARGUMENT");
    });
  });
}
