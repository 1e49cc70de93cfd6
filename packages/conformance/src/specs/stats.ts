import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeStats(bench: Bench): void {
  describe("stats", () => {
    it("counts an agent's checkpoints, their bytes as text and their bytes as stored", async () => {
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
      });
    });

    it("counts all agents if none is named", async () => {
      const { checkpoints } = await bench.storage.stats();
      expect(checkpoints).toBe(await bench.store.countRows());
      expect(checkpoints).toBeGreaterThan(0);
    });

    it("says zeros for an agent that has nothing", async () => {
      const nothing = { checkpoints: 0, storedBytes: 0, stateBytes: 0 };
      expect(await bench.storage.stats({ agentId: newAgent() })).toStrictEqual(nothing);
    });

    it.each([{ agentId: "" }, { agentId: 7 }, { agent: "a" }])("refuses the query %j", async (query) => {
      await refusal(bench.storage.stats(query as object), "INVALID_ARGUMENT");
    });
  });
}
