import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { atTime, idAt, timeOf } from "../ids.ts";

const HOUR_MS = 3_600_000;

export function describeOrder(bench: Bench): void {
  const idsOf = async (agentId: string) => (await bench.storage.listCheckpoints({ agentId })).map(({ id }) => id);

  describe("the order of checkpoints", () => {
    it("is the order of the stores, for 1,000 in one millisecond", async () => {
      const agentId = newAgent();
      const stores = atTime(Date.now(), () =>
        Array.from({ length: 1_000 }, (_, turn) =>
          bench.storage.storeCheckpoint(checkpointOf(agentId, { state: turn })),
        ),
      );
      const ids = await Promise.all(stores);
      expect(new Set(ids.map(timeOf)).size).toBe(1);
      expect(await idsOf(agentId)).toStrictEqual(ids.toReversed());
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ state: 999 });
    });

    it("is by id, never by createdAt", async () => {
      const agentId = newAgent();
      const ids: string[] = [];
      for (const createdAt of [300, -200, 100]) {
        ids.push(await bench.storage.storeCheckpoint(checkpointOf(agentId, { createdAt })));
      }
      const items = await bench.storage.listCheckpoints({ agentId });
      expect(items.map(({ createdAt }) => createdAt)).toStrictEqual([100, -200, 300]);
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: ids[2], createdAt: 100 });
    });

    it("is by the ids that callers bring, in whatever order they are stored", async () => {
      const agentId = newAgent();
      const [old, middle, young] = [1_000, 2_000, 3_000].map(idAt);
      for (const id of [middle, young, old])
        await bench.storage.storeCheckpoint(checkpointOf(agentId, { id: id as string }));
      expect(await idsOf(agentId)).toStrictEqual([young, middle, old]);
    });

    it("is kept when the clock goes back an hour", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 1);
      const earlier = Date.now() - HOUR_MS;
      const stores = atTime(earlier, () => [1, 2].map(() => bench.storage.storeCheckpoint(checkpointOf(agentId))));
      const later = await Promise.all(stores);
      expect(await idsOf(agentId)).toStrictEqual([...ids, ...later].reverse());
    });

    // In the next three tests this process meets an id that is ahead of its clock; the next store must come after it.
    it("puts a store after one whose id the caller brought from ahead of the clock", async () => {
      const agentId = newAgent();
      const ahead = nextId();
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { id: ahead }));
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      expect(await idsOf(agentId)).toStrictEqual([id, ahead]);
    });

    it("puts a store after its parent, whose id is ahead of the clock", async () => {
      const agentId = newAgent();
      const parentId = nextId();
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { parentId }));
      expect(id > parentId).toBe(true);
      expect(timeOf(id) - timeOf(parentId)).toBeLessThan(HOUR_MS);
    });

    it("puts a store after the one in ifLatest, whose id is ahead of the clock", async () => {
      const agentId = newAgent();
      const ahead = nextId();
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { id: ahead }));
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: ahead });
      expect(await idsOf(agentId)).toStrictEqual([id, ahead]);
    });
  });

  let steps = 0;
  /** Returns an id that is ahead of this process's clock and of every id that it has met here. */
  const nextId = () => {
    steps += 1;
    return idAt(Date.now() + steps * 1_000);
  };
}
