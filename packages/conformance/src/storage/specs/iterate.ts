import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeMany } from "../bench.ts";

export function describeIterate(bench: Bench): void {
  describe("iterateCheckpoints", () => {
    it("yields all matching checkpoints, newest first, without a default limit", async () => {
      const { agentId, ids } = await bench.manyCheckpoints();
      const items = await collect(bench.storage.iterateCheckpoints({ agentId }));
      expect(items.map(({ id }) => id)).toStrictEqual(ids.toReversed());
    });

    it("yields the same items as listCheckpoints", async () => {
      const { agentId } = await bench.manyCheckpoints();
      const query = { agentId, limit: 1_100 };
      expect(await collect(bench.storage.iterateCheckpoints(query))).toStrictEqual(
        await bench.storage.listCheckpoints(query),
      );
    });

    it("accepts the filters and cursors of listCheckpoints", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 5, { namespace: "n" });
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const query = { agentId, namespace: "n", since: ids[0] as string, before: ids[4] as string };
      const items = await collect(bench.storage.iterateCheckpoints(query));
      expect(items.map(({ id }) => id)).toStrictEqual(ids.slice(1, 4).reverse());
    });

    it("neither repeats nor skips while checkpoints are stored and deleted", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 1_010);
      const seen: string[] = [];
      for await (const { id } of bench.storage.iterateCheckpoints({ agentId })) {
        seen.push(id);
        if (seen.length === 1) await bench.storage.storeCheckpoint(checkpointOf(agentId));
        if (seen.length === 1_000) await bench.storage.deleteCheckpoint(id); // it is the next page's cursor
        if (seen.length > ids.length) break;
      }
      expect(seen).toStrictEqual(ids.toReversed());
    });

    it("can be left early, and the storage still works", async () => {
      const { agentId, ids } = await bench.manyCheckpoints();
      for await (const { id } of bench.storage.iterateCheckpoints({ agentId })) {
        expect(id).toBe(ids.at(-1));
        break;
      }
      expect(await bench.storage.listCheckpoints({ agentId, limit: 1 })).toHaveLength(1);
    });
  });
}
