import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { conversation } from "../conversations.ts";

export function describeStats(bench: Bench): void {
  describe("stats", () => {
    it("counts an agent's checkpoints, the bytes of their states as text, and the bytes as stored", async () => {
      const agentId = newAgent();
      const states = ["é", { list: Array.from({ length: 500 }, () => "again and again") }, null];
      const ids: string[] = [];
      for (const state of states) ids.push(await bench.storage.storeCheckpoint(checkpointOf(agentId, { state })));
      const rows = await Promise.all(ids.map((id) => bench.store.readRow(id)));
      const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
      expect(await bench.storage.stats({ agentId })).toStrictEqual({
        checkpoints: 3,
        stateBytes: sum(states.map((state) => Buffer.byteLength(JSON.stringify(state)))),
        storedBytes: sum(rows.map((row) => row?.state.byteLength ?? Number.NaN)),
        longestChain: 1,
      });
    });

    it("reports the longest chain: at least 1, at most the number of checkpoints", async () => {
      const agentId = newAgent();
      for (let turn = 1; turn <= 12; turn++) {
        const state = conversation(1, turn);
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { state }));
        const { longestChain } = await bench.storage.stats({ agentId });
        expect(longestChain).toBeGreaterThanOrEqual(1);
        expect(longestChain).toBeLessThanOrEqual(turn);
        expect((await bench.storage.stats()).longestChain).toBeGreaterThanOrEqual(longestChain);
      }
    });

    it("reports the longest chain of one agent, regardless of others", async () => {
      const [one, other] = [newAgent(), newAgent()];
      for (let turn = 1; turn <= 6; turn++) {
        await bench.storage.storeCheckpoint(checkpointOf(one, { state: conversation(1, turn) }));
      }
      await bench.storage.storeCheckpoint(checkpointOf(other, { state: conversation(1, 6) }));
      expect(await bench.storage.stats({ agentId: other })).toMatchObject({ checkpoints: 1, longestChain: 1 });
    });

    it("counts all agents without an agentId", async () => {
      const { checkpoints } = await bench.storage.stats();
      expect(checkpoints).toBe(await bench.store.countRows());
      expect(checkpoints).toBeGreaterThan(0);
    });

    it("reports zeros for an agent that was deleted", async () => {
      const agentId = newAgent();
      for (let turn = 1; turn <= 6; turn++) {
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(1, turn) }));
      }
      await bench.storage.deleteAgent(agentId);
      expect(await bench.storage.stats({ agentId })).toMatchObject({ checkpoints: 0, storedBytes: 0, longestChain: 0 });
    });

    it("reports zeros for an empty store", async () => {
      const storage = bench.open({}, await bench.createStore());
      const nothing = { checkpoints: 0, storedBytes: 0, stateBytes: 0, longestChain: 0 };
      expect(await storage.stats()).toStrictEqual(nothing);
    });

    it("reports zeros for an agent without checkpoints", async () => {
      const nothing = { checkpoints: 0, storedBytes: 0, stateBytes: 0, longestChain: 0 };
      expect(await bench.storage.stats({ agentId: newAgent() })).toStrictEqual(nothing);
    });
  });
}
