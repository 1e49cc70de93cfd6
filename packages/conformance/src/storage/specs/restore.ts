import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { conversation } from "../conversations.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

/** Turns of a conversation whose states are large enough to be stored as deltas. */
const TURNS = 12;

export function describeRestore(bench: Bench): void {
  const storeTurns = async (agentId: string, members = {}): Promise<string[]> => {
    const ids: string[] = [];
    for (let turn = 1; turn <= TURNS; turn++) {
      const checkpoint = checkpointOf(agentId, { name: `turn ${turn}`, state: conversation(5, turn), ...members });
      ids.push(await bench.storage.storeCheckpoint(checkpoint));
    }
    return ids;
  };

  describe("restoreCheckpoint", () => {
    it("stores an earlier state once more, as the latest, and changes nothing else", async () => {
      const agentId = newAgent();
      const ids = await storeTurns(agentId, { namespace: "sub", metadata: { user: "42", pinned: true } });
      await bench.storage.appendWrites(ids[3] as string, [{ taskId: "task", index: 0, channel: "notes", value: 1 }]);
      const before = await bench.storage.listCheckpoints({ agentId });
      const startedAt = Date.now();
      const id = await bench.storage.restoreCheckpoint((ids[3] as string).toUpperCase());
      const restored = await bench.storage.retrieveCheckpoint(ids[3] as string);
      const latest = await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: "sub" });
      expect(latest).toStrictEqual({ ...restored, id, parentId: ids[3], createdAt: latest?.createdAt });
      expect(latest?.state).toStrictEqual(conversation(5, 4));
      expect(latest?.createdAt).toBeGreaterThanOrEqual(startedAt);
      expect((await bench.storage.listCheckpoints({ agentId })).slice(1)).toStrictEqual(before);
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
    });

    it("takes a fraction of the state's bytes, whether its state is in memory or not", async () => {
      const agentId = newAgent();
      const ids = await storeTurns(agentId);
      for (const storage of [bench.storage, bench.open()]) {
        const before = await bench.storage.stats({ agentId });
        await storage.restoreCheckpoint(ids[7] as string);
        const after = await bench.storage.stats({ agentId });
        const storedBytes = after.storedBytes - before.storedBytes;
        expect(storedBytes).toBeLessThan((after.stateBytes - before.stateBytes) / 20);
      }
    });

    it("outlives the checkpoint that it was restored from, and what was stored in between", async () => {
      const agentId = newAgent();
      const ids = await storeTurns(agentId);
      const id = await bench.storage.restoreCheckpoint(ids[5] as string);
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(6, TURNS), parentId: id }));
      await bench.storage.deleteCheckpoint(ids[5] as string);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 2 });
      const found = await bench.open().retrieveCheckpoint(id);
      expect(found?.state).toStrictEqual(conversation(5, 6));
    });

    it("rejects with CONFLICT if ifLatest is not the latest, and writes nothing", async () => {
      const agentId = newAgent();
      const first = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const second = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: 2 }));
      const before = await bench.store.countRows();
      for (const ifLatest of [first, null]) {
        await refusal(bench.storage.restoreCheckpoint(first, { ifLatest }), "CONFLICT");
      }
      expect(await bench.store.countRows()).toBe(before);
      const restores = Array.from({ length: 8 }, () => bench.storage.restoreCheckpoint(first, { ifLatest: second }));
      const outcomes = await Promise.allSettled(restores);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await bench.store.countRows()).toBe(before + 1);
    });

    it("rejects with NOT_FOUND what is not there or of another agent, in the same words, and writes nothing", async () => {
      const [agentId, other] = [newAgent(), newAgent()];
      const id = await bench.storage.storeCheckpoint(checkpointOf(other));
      const deleted = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      await bench.storage.deleteCheckpoint(deleted);
      const before = await bench.store.countRows();
      const messages = new Set<string>();
      for (const wrong of [id, deleted, idAt(Date.now()), "no id", ""]) {
        messages.add((await refusal(bench.storage.restoreCheckpoint(wrong, { agentId }), "NOT_FOUND")).message);
      }
      expect(messages.size).toBe(1);
      await refusal(bench.storage.restoreCheckpoint(deleted), "NOT_FOUND");
      expect(await bench.store.countRows()).toBe(before);
      await bench.storage.restoreCheckpoint(id, { agentId: other });
    });
  });
}
