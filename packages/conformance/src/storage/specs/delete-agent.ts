import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";

export function describeDeleteAgent(bench: Bench): void {
  describe("deleteAgent", () => {
    it("deletes the agent's checkpoints in all namespaces and returns their number", async () => {
      const agentId = newAgent();
      const other = await storeMany(bench.storage, `${agentId}-2`, 1);
      await storeMany(bench.storage, agentId, 3);
      await storeMany(bench.storage, agentId, 2, { namespace: "sub" });
      const before = await bench.store.countRows();
      expect(await bench.storage.deleteAgent(agentId)).toBe(5);
      expect(await bench.store.countRows()).toBe(before - 5);
      expect(await bench.storage.listCheckpoints({ agentId })).toStrictEqual([]);
      expect(await bench.storage.listCheckpoints({ agentId: other.agentId })).toHaveLength(1);
    });

    it("deletes only the given namespace, which may be the default one", async () => {
      const agentId = newAgent();
      await storeMany(bench.storage, agentId, 3);
      await storeMany(bench.storage, agentId, 2, { namespace: "sub" });
      await storeMany(bench.storage, agentId, 1, { namespace: "sub/sub" });
      expect(await bench.storage.deleteAgent(agentId, { namespace: "sub" })).toBe(2);
      expect(await bench.storage.deleteAgent(agentId, { namespace: "" })).toBe(3);
      expect(await bench.storage.listCheckpoints({ agentId })).toMatchObject([{ namespace: "sub/sub" }]);
    });

    it("deletes more than one page of checkpoints", async () => {
      const { agentId } = await storeMany(bench.storage, newAgent(), 1_030);
      expect(await bench.storage.deleteAgent(agentId)).toBe(1_030);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toBeNull();
    });

    it("returns 0 for an agent without checkpoints", async () => {
      expect(await bench.storage.deleteAgent(newAgent())).toBe(0);
    });

    it("lets the agent store checkpoints again", async () => {
      const { agentId } = await storeMany(bench.storage, newAgent(), 2);
      await bench.storage.deleteAgent(agentId);
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id });
    });
  });
}
