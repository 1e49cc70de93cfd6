import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { HOSTILE_TEXTS } from "../hostile-texts.ts";

export function describeInjection(bench: Bench): void {
  describe("hostile text", () => {
    it.each(HOSTILE_TEXTS)("is plain text in every member and filter: %j", async (text) => {
      const agentId = `${newAgent()}${text}`;
      const bystander = newAgent();
      const metadata = { [text]: text, other: 1 };
      const checkpoint = checkpointOf(agentId, { namespace: text, name: text, state: { [text]: text }, metadata });
      const kept = await bench.storage.storeCheckpoint(checkpointOf(bystander));
      const id = await bench.storage.storeCheckpoint(checkpoint, { ifLatest: null });
      const rows = await bench.store.countRows();
      const { state: _, ...head } = { ...checkpoint, id };

      expect(await bench.storage.retrieveLatestCheckpoint(agentId, { namespace: text })).toStrictEqual({
        ...checkpoint,
        id,
      });
      const filters = [
        { namespace: text },
        { name: text },
        { metadata: { [text]: text } },
        { namespace: text, name: text, metadata },
      ];
      for (const filter of filters) {
        expect(await bench.storage.listCheckpoints({ agentId, ...filter })).toStrictEqual([head]);
        expect(await collect(bench.storage.iterateCheckpoints({ agentId, ...filter }))).toStrictEqual([head]);
        expect(await bench.storage.listCheckpoints({ agentId: bystander, ...filter })).toStrictEqual([]);
      }
      expect(await bench.storage.listCheckpoints({ agentId: bystander })).toMatchObject([{ id: kept }]);
      expect(await bench.storage.stats({ agentId })).toMatchObject({ checkpoints: 1 });
      const pruned = await bench.storage.pruneCheckpoints({ agentId, namespace: text, keepMetadata: { [text]: text } });
      expect(pruned).toMatchObject({ examined: 1, removed: 0 });
      expect(await bench.storage.deleteAgent(bystander, { namespace: text })).toBe(0);
      expect(await bench.storage.deleteAgent(agentId, { namespace: text })).toBe(1);
      expect(await bench.store.countRows()).toBe(rows - 1);
    });

    it("is an ordinary agentId", async () => {
      const before = await bench.store.countRows();
      for (const agentId of HOSTILE_TEXTS)
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: agentId }));
      for (const agentId of HOSTILE_TEXTS) {
        expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ agentId, state: agentId });
        const [next] = await bench.storage.listAgents({ after: agentId, limit: 1 });
        expect(next === undefined || Buffer.compare(Buffer.from(next), Buffer.from(agentId)) > 0).toBe(true);
      }
      for (const agentId of HOSTILE_TEXTS) expect(await bench.storage.deleteAgent(agentId)).toBe(1);
      expect(await bench.store.countRows()).toBe(before);
    });

    it("is not an id: it finds nothing, deletes nothing, and is refused in place of one", async () => {
      const agentId = newAgent();
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const before = await bench.store.countRows();
      for (const text of HOSTILE_TEXTS) {
        expect(await bench.storage.retrieveCheckpoint(text)).toBeNull();
        expect(await bench.storage.deleteCheckpoint(text)).toBe(false);
        expect(await bench.storage.listCheckpoints({ agentId, parentId: text })).toStrictEqual([]);
        await refusal(bench.storage.listCheckpoints({ agentId, before: text }), "INVALID_ARGUMENT");
        await refusal(bench.storage.listCheckpoints({ agentId, since: text }), "INVALID_ARGUMENT");
        for (const member of ["id", "parentId"]) {
          await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId, { [member]: text })), "INVALID_ARGUMENT");
        }
        await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: text }), "INVALID_ARGUMENT");
      }
      expect(await bench.store.countRows()).toBe(before);
    });
  });
}
