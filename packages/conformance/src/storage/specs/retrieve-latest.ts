import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";

export function describeRetrieveLatest(bench: Bench): void {
  describe("retrieveLatestCheckpoint", () => {
    it("returns the checkpoint that was stored last, with its state", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 5);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: ids[4], state: { turn: 4 } });
    });

    it("returns null for an agent without checkpoints", async () => {
      expect(await bench.storage.retrieveLatestCheckpoint(newAgent())).toBeNull();
    });

    it("looks into one namespace: the default one unless another is given", async () => {
      const agentId = newAgent();
      const inDefault = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const inSub = await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: "sub" }));
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: inDefault });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "" })).toMatchObject({ id: inDefault });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "sub" })).toMatchObject({ id: inSub });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "su" })).toBeNull();
    });

    it("returns the one before when the latest was deleted", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 2);
      await bench.storage.deleteCheckpoint(ids[1] as string);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: ids[0] });
    });
  });
}
