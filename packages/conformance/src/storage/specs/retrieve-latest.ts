import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeRetrieveLatest(bench: Bench): void {
  describe("retrieveLatestCheckpoint", () => {
    it("gives the checkpoint that was stored last, with its state", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 5);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: ids[4], state: { turn: 4 } });
    });

    it("gives null for an agent that has none", async () => {
      expect(await bench.storage.retrieveLatestCheckpoint(newAgent())).toBeNull();
    });

    it("looks into one namespace, the default one if none is named", async () => {
      const agentId = newAgent();
      const inDefault = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const inSub = await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: "sub" }));
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: inDefault });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "" })).toMatchObject({ id: inDefault });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "sub" })).toMatchObject({ id: inSub });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "su" })).toBeNull();
    });

    it("goes back to the one before when the latest is deleted", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 2);
      await bench.storage.deleteCheckpoint(ids[1] as string);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: ids[0] });
    });

    it("refuses an empty agentId, one that is no string, and a query member that is not known", async () => {
      await refusal(bench.storage.retrieveLatestCheckpoint(""), "INVALID_ARGUMENT");
      await refusal(bench.storage.retrieveLatestCheckpoint(undefined as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.retrieveLatestCheckpoint("a", { name: "n" } as object), "INVALID_ARGUMENT");
    });
  });
}
