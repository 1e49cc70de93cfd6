import type { PruneResult } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;

export function describePrune(bench: Bench): void {
  /** Stores checkpoints with ids of these times, and returns the ids in the same order. */
  const storeAt = async (agentId: string, times: readonly number[], members = {}) => {
    const ids = times.map(idAt);
    for (const id of ids) await bench.storage.storeCheckpoint(checkpointOf(agentId, { id, ...members }));
    return ids;
  };
  const remaining = async (agentId: string) =>
    (await bench.storage.listCheckpoints({ agentId })).map(({ id }) => id).reverse();

  describe("pruneCheckpoints", () => {
    it("keepLast keeps the newest of each namespace; the result counts the examined and the removed ones", async () => {
      const agentId = newAgent();
      const main = await storeMany(bench.storage, agentId, 5);
      const sub = await storeMany(bench.storage, agentId, 3, { namespace: "sub" });
      const before = await bench.store.countRows();
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 2 })).toMatchObject({ examined: 8, removed: 4 });
      expect(await bench.store.countRows()).toBe(before - 4);
      expect(await remaining(agentId)).toStrictEqual([...main.ids.slice(-2), ...sub.ids.slice(-2)]);
    });

    it("removes nothing of other agents", async () => {
      const agentId = newAgent();
      const other = await storeMany(bench.storage, `${agentId}-2`, 4);
      await storeMany(bench.storage, agentId, 4);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 1 });
      expect(await remaining(other.agentId)).toStrictEqual(other.ids);
    });

    it("prunes only the given namespace, which may be the default one", async () => {
      const agentId = newAgent();
      const main = await storeMany(bench.storage, agentId, 3);
      const sub = await storeMany(bench.storage, agentId, 3, { namespace: "sub" });
      await bench.storage.pruneCheckpoints({ agentId, namespace: "", keepLast: 1 });
      expect(await remaining(agentId)).toStrictEqual([main.ids[2], ...sub.ids]);
      await bench.storage.pruneCheckpoints({ agentId, namespace: "sub", keepLast: 2 });
      expect(await remaining(agentId)).toStrictEqual([main.ids[2], ...sub.ids.slice(1)]);
    });

    it("keepWithinMs goes by the time of the id, not by createdAt", async () => {
      const agentId = newAgent();
      const now = Date.now();
      const old = await storeAt(agentId, [now - 3 * DAY_MS, now - 2 * DAY_MS], { createdAt: now });
      const young = await storeAt(agentId, [now - HOUR_MS, now - SECOND_MS], { createdAt: 0 });
      const result = await bench.storage.pruneCheckpoints({ agentId, keepWithinMs: DAY_MS });
      expect(result).toMatchObject({ examined: 4, removed: old.length });
      expect(await remaining(agentId)).toStrictEqual(young);
    });

    it("keeps the latest of each namespace, however old it is", async () => {
      const agentId = newAgent();
      const [, latest] = await storeAt(agentId, [1_000, 2_000]);
      const [, latestOfSub] = await storeAt(agentId, [3_000, 4_000], { namespace: "sub" });
      await bench.storage.pruneCheckpoints({ agentId, keepWithinMs: 1 });
      expect(await remaining(agentId)).toStrictEqual([latest, latestOfSub]);
    });

    it("keepEvery keeps the newest of each period, up to the age forMs", async () => {
      const agentId = newAgent();
      const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
      const times = [-30, -29, -5, -3, -3, -1, -1].map(
        (hours, minute) => hour + hours * HOUR_MS + minute * 60 * SECOND_MS,
      );
      const ids = await storeAt(agentId, times);
      const keepEvery = [{ everyMs: HOUR_MS, forMs: 10 * HOUR_MS }];
      await bench.storage.pruneCheckpoints({ agentId, keepEvery });
      expect(await remaining(agentId)).toStrictEqual([ids[2], ids[4], ids[6]]);
    });

    it("several keepEvery rules keep more of the younger checkpoints", async () => {
      const agentId = newAgent();
      const day = Math.floor(Date.now() / DAY_MS) * DAY_MS;
      const hours = [-100, -60, -59, -50, -49, -5, -4, -3];
      const ids = await storeAt(
        agentId,
        hours.map((count) => day + count * HOUR_MS),
      );
      const keepEvery = [
        { everyMs: HOUR_MS, forMs: 40 * HOUR_MS },
        { everyMs: DAY_MS, forMs: 90 * HOUR_MS },
      ];
      await bench.storage.pruneCheckpoints({ agentId, keepEvery });
      expect(await remaining(agentId)).toStrictEqual([ids[4], ids[5], ids[6], ids[7]]);
    });

    it("keepMetadata keeps checkpoints with all of its labels and exactly these values", async () => {
      const agentId = newAgent();
      const store = (metadata?: Record<string, string | number | boolean>) =>
        bench.storage.storeCheckpoint(checkpointOf(agentId, metadata === undefined ? {} : { metadata }));
      const kept = await store({ pin: true, a: 1 });
      await store({ pin: "true", a: 1 });
      await store({ pin: true });
      await store();
      const latest = await store();
      await bench.storage.pruneCheckpoints({ agentId, keepMetadata: { pin: true, a: 1 } });
      expect(await remaining(agentId)).toStrictEqual([kept, latest]);
    });

    it("keepMetadata without a label keeps every checkpoint, as it matches every one in a list", async () => {
      const agentId = newAgent();
      const { ids } = await storeMany(bench.storage, agentId, 3);
      expect(await bench.storage.listCheckpoints({ agentId, metadata: {} })).toHaveLength(3);
      await bench.storage.pruneCheckpoints({ agentId, keepMetadata: {} });
      expect(await remaining(agentId)).toStrictEqual(ids);
    });

    it("keeps a checkpoint that at least one rule keeps", async () => {
      const agentId = newAgent();
      const now = Date.now();
      const [pinned] = await storeAt(agentId, [now - 9 * DAY_MS], { metadata: { pin: 1 } });
      await storeAt(agentId, [now - 8 * DAY_MS, now - 7 * DAY_MS]);
      const young = await storeAt(agentId, [now - 2 * HOUR_MS, now - HOUR_MS]);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 1, keepWithinMs: DAY_MS, keepMetadata: { pin: 1 } });
      expect(await remaining(agentId)).toStrictEqual([pinned, ...young]);
    });

    it("removes nothing with dryRun, and counts as the real run does", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 7);
      const before = await bench.store.countRows();
      const counted = await bench.storage.pruneCheckpoints({ agentId, keepLast: 3, dryRun: true });
      expect(counted).toMatchObject({ examined: 7, removed: 4 });
      expect(await bench.store.countRows()).toBe(before);
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 3 })).toStrictEqual(counted);
      expect(await remaining(agentId)).toStrictEqual(ids.slice(-3));
    });

    it("removes in batches of batchSize and reports the progress after each", async () => {
      const { agentId } = await storeMany(bench.storage, newAgent(), 26);
      const reported: PruneResult[] = [];
      const rows: Promise<number>[] = [];
      const before = await bench.store.countRows();
      const result = await bench.storage.pruneCheckpoints({
        agentId,
        keepLast: 1,
        batchSize: 10,
        onProgress: (progress) => {
          reported.push(progress);
          rows.push(bench.store.countRows());
        },
      });
      expect(reported.map(({ removed }) => removed)).toStrictEqual([10, 20, 25]);
      expect(reported.map(({ examined }) => examined)).toStrictEqual(
        reported.map(({ examined }) => examined).toSorted((a, b) => a - b),
      );
      expect((await Promise.all(rows))[0]).toBeLessThanOrEqual(before - 10);
      expect(result).toMatchObject({ examined: 26, removed: 25 });
    });

    it("ends between batches when the signal is aborted, and continues when called again", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 26);
      const controller = new AbortController();
      const policy = { agentId, keepLast: 1, batchSize: 10 };
      const call = bench.storage.pruneCheckpoints({
        ...policy,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      });
      await refusal(call, "ABORTED");
      expect(await remaining(agentId)).toStrictEqual([...ids.slice(0, 15), ids[25]]);
      expect(await bench.storage.pruneCheckpoints(policy)).toMatchObject({ examined: 16, removed: 15 });
    });

    describe("with dropAgentsIdleForMs", () => {
      const idleFor = { dropAgentsIdleForMs: 30 * DAY_MS };
      /** Stores an agent whose newest checkpoint, in the second namespace, is this old. */
      const storeAgent = async (ageMs: number, members = {}) => {
        const agentId = newAgent();
        const newest = Date.now() - ageMs;
        await storeAt(agentId, [newest - 40 * DAY_MS, newest - 3 * HOUR_MS], members);
        await storeAt(agentId, [newest - HOUR_MS, newest], { namespace: "sub" });
        return agentId;
      };

      it("removes an agent whole whose newest checkpoint of all namespaces is older, and nothing of others", async () => {
        const [idle, active] = [await storeAgent(31 * DAY_MS), await storeAgent(29 * DAY_MS)];
        const policy = { ...idleFor, keepWithinMs: 365 * DAY_MS };
        const counted = await bench.storage.pruneCheckpoints({ agentId: idle, ...policy, dryRun: true });
        expect(counted).toMatchObject({ examined: 4, removed: 4, droppedAgents: 1 });
        expect(counted.removedBy).toStrictEqual({ idleAgent: 4, noRule: 0 });
        expect(await remaining(idle)).toHaveLength(4);
        expect(await bench.storage.pruneCheckpoints({ agentId: idle, ...policy })).toStrictEqual(counted);
        expect(await bench.storage.pruneCheckpoints({ agentId: active, ...idleFor })).toMatchObject({ removed: 0 });
        expect([await remaining(idle), (await remaining(active)).length]).toStrictEqual([[], 4]);
        expect(await bench.storage.listAgents({ after: idle, limit: 1 })).not.toContain(idle);
        // It may come back.
        const id = await bench.storage.storeCheckpoint(checkpointOf(idle), { ifLatest: null });
        expect(await remaining(idle)).toStrictEqual([id]);
      });

      it("keeps an agent that has appended writes to one of its checkpoints, whatever that one's age", async () => {
        for (const at of [0, 3]) {
          const agentId = await storeAgent(31 * DAY_MS);
          const ids = await remaining(agentId);
          const writes = [{ taskId: "task", index: 0, channel: "channel", value: "of a step that goes on" }];
          await bench.storage.appendWrites(ids[at] as string, writes);
          for (const dryRun of [true, false]) {
            const counted = await bench.storage.pruneCheckpoints({ agentId, ...idleFor, dryRun });
            expect(counted).toMatchObject({ removed: 0, droppedAgents: 0 });
          }
          expect(await remaining(agentId)).toStrictEqual(ids);
          expect(await bench.storage.listWrites(ids[at] as string)).toStrictEqual(writes);
        }
      });

      it("counts what goes and what stays by its reason, for all agents", async () => {
        const store = await bench.createStore();
        const storage = bench.open({}, store);
        const now = Date.now();
        const put = (agentId: string, ageMs: number, metadata = {}) =>
          storage.storeCheckpoint(checkpointOf(agentId, { id: idAt(Math.floor(now - ageMs)), metadata }));
        for (const days of [45, 40]) await put("idle", days * DAY_MS);
        for (const days of [47, 46]) await put("pinned", days * DAY_MS, { pin: days === 47 });
        for (const days of [50, 20, 19.1, 2.1, 2, 1]) await put("active", days * DAY_MS);
        const policy = {
          ...idleFor,
          keepLast: 2,
          keepWithinMs: 2 * DAY_MS + HOUR_MS,
          keepEvery: [{ everyMs: 5 * DAY_MS, forMs: 30 * DAY_MS }],
          keepMetadata: { pin: true },
        };
        const counted = await storage.pruneCheckpoints({ ...policy, dryRun: true });
        expect(await storage.pruneCheckpoints(policy)).toStrictEqual(counted);
        const { examined, removed, droppedAgents, removedBy, keptBy } = counted;
        expect({ examined, removed, droppedAgents }).toStrictEqual({
          examined: 10,
          removed: removedBy.noRule + 2,
          droppedAgents: 1,
        });
        expect(removedBy.idleAgent).toBe(2);
        expect(keptBy).toMatchObject({ latest: 2, keepLast: 2 });
        expect(removed + Object.values(keptBy).reduce((sum, count) => sum + count, 0)).toBe(examined);
        expect(await storage.listAgents()).toStrictEqual(["active", "pinned"]);
        expect(await storage.listCheckpoints({ agentId: "pinned" })).toHaveLength(2);
      });
    });

    it("prunes more than one page of checkpoints", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 1_010);
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 5 })).toMatchObject({
        examined: 1_010,
        removed: 1_005,
      });
      expect(await remaining(agentId)).toStrictEqual(ids.slice(-5));
    });

    it("prunes all agents without an agentId", async () => {
      const [one, other] = [newAgent(), newAgent()];
      const [, latestOfOne] = await storeAt(one, [1_000, 2_000]);
      const [, latestOfOther] = await storeAt(other, [3_000, 4_000]);
      const { removed } = await bench.storage.pruneCheckpoints({ keepWithinMs: 365 * DAY_MS });
      expect(removed).toBeGreaterThanOrEqual(2);
      expect([await remaining(one), await remaining(other)]).toStrictEqual([[latestOfOne], [latestOfOther]]);
    });

    it("removes nothing that a rule keeps while other checkpoints are stored", async () => {
      const agentId = newAgent();
      await storeAt(
        agentId,
        Array.from({ length: 60 }, (_, second) => second * SECOND_MS),
      );
      const [result, stored] = await Promise.all([
        bench.storage.pruneCheckpoints({ agentId, keepWithinMs: DAY_MS, batchSize: 5 }),
        storeMany(bench.storage, agentId, 60),
      ]);
      expect(result.removed).toBeGreaterThanOrEqual(59);
      expect((await remaining(agentId)).slice(-60)).toStrictEqual(stored.ids);
    });
  });
}
