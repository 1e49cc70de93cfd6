import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeDeleteAgent(bench: Bench): void {
  describe("deleteAgent", () => {
    it("deletes all that an agent has, in all namespaces, and says how many checkpoints that were", async () => {
      const agentId = newAgent();
      const other = await storeLine(bench.storage, `${agentId}-2`, 1);
      await storeLine(bench.storage, agentId, 3);
      await storeLine(bench.storage, agentId, 2, { namespace: "sub" });
      const before = await bench.store.countRows();
      expect(await bench.storage.deleteAgent(agentId)).toBe(5);
      expect(await bench.store.countRows()).toBe(before - 5);
      expect(await bench.storage.listCheckpoints({ agentId })).toStrictEqual([]);
      expect(await bench.storage.listCheckpoints({ agentId: other.agentId })).toHaveLength(1);
    });

    it("deletes one namespace alone, and the default one by its name", async () => {
      const agentId = newAgent();
      await storeLine(bench.storage, agentId, 3);
      await storeLine(bench.storage, agentId, 2, { namespace: "sub" });
      await storeLine(bench.storage, agentId, 1, { namespace: "sub/sub" });
      expect(await bench.storage.deleteAgent(agentId, { namespace: "sub" })).toBe(2);
      expect(await bench.storage.deleteAgent(agentId, { namespace: "" })).toBe(3);
      expect(await bench.storage.listCheckpoints({ agentId })).toMatchObject([{ namespace: "sub/sub" }]);
    });

    it("deletes more than one page of checkpoints", async () => {
      const { agentId } = await storeLine(bench.storage, newAgent(), 1_030);
      expect(await bench.storage.deleteAgent(agentId)).toBe(1_030);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toBeNull();
    });

    it("says 0 for an agent that has nothing", async () => {
      expect(await bench.storage.deleteAgent(newAgent())).toBe(0);
    });

    it("lets the agent live again", async () => {
      const { agentId } = await storeLine(bench.storage, newAgent(), 2);
      await bench.storage.deleteAgent(agentId);
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id });
    });

    it("refuses an empty agentId, one that is no string, and a query member that is not known", async () => {
      await refusal(bench.storage.deleteAgent(""), "INVALID_ARGUMENT");
      await refusal(bench.storage.deleteAgent(undefined as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.deleteAgent("a", { before: "x" } as object), "INVALID_ARGUMENT");
    });
  });
}
