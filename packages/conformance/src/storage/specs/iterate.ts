import type { ListQuery } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";

export function describeIterate(bench: Bench): void {
  describe("iterateCheckpoints", () => {
    it("gives all that match, newest first, however many there are", async () => {
      const { agentId, ids } = await bench.longLine();
      const items = await collect(bench.storage.iterateCheckpoints({ agentId }));
      expect(items.map(({ id }) => id)).toStrictEqual(ids.toReversed());
    });

    it("gives what a list gives", async () => {
      const { agentId } = await bench.longLine();
      const query = { agentId, limit: 1_100 };
      expect(await collect(bench.storage.iterateCheckpoints(query))).toStrictEqual(
        await bench.storage.listCheckpoints(query),
      );
    });

    it("takes a list's filters and cursors", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 5, { namespace: "n" });
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const query = { agentId, namespace: "n", since: ids[0] as string, before: ids[4] as string };
      const items = await collect(bench.storage.iterateCheckpoints(query));
      expect(items.map(({ id }) => id)).toStrictEqual(ids.slice(1, 4).reverse());
    });

    it("neither repeats nor skips when checkpoints are stored and deleted meanwhile", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 1_010);
      const seen: string[] = [];
      for await (const { id } of bench.storage.iterateCheckpoints({ agentId })) {
        seen.push(id);
        if (seen.length === 1) await bench.storage.storeCheckpoint(checkpointOf(agentId));
        if (seen.length === 1_000) await bench.storage.deleteCheckpoint(id); // it is the next page's cursor
        if (seen.length > ids.length) break;
      }
      expect(seen).toStrictEqual(ids.toReversed());
    });

    it("can be left early, and the storage goes on", async () => {
      const { agentId, ids } = await bench.longLine();
      for await (const { id } of bench.storage.iterateCheckpoints({ agentId })) {
        expect(id).toBe(ids.at(-1));
        break;
      }
      expect(await bench.storage.listCheckpoints({ agentId, limit: 1 })).toHaveLength(1);
    });

    it.each([{ limit: 0 }, { name: "n" }, { agentid: "a" }])("refuses the query %j", async (query) => {
      await refusal(async () => collect(bench.storage.iterateCheckpoints(query as ListQuery)), "INVALID_ARGUMENT");
    });
  });
}
