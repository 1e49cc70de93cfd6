import type { PrunePolicy, PruneResult } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;

export function describePrune(bench: Bench): void {
  /** Stores checkpoints that were made at these times, and returns their ids in the same order. */
  const storeAt = async (agentId: string, times: readonly number[], members = {}) => {
    const ids = times.map(idAt);
    for (const id of ids) await bench.storage.storeCheckpoint(checkpointOf(agentId, { id, ...members }));
    return ids;
  };
  const leftOf = async (agentId: string) =>
    (await bench.storage.listCheckpoints({ agentId })).map(({ id }) => id).reverse();

  describe("pruneCheckpoints", () => {
    it("keeps the newest keepLast of each namespace, deletes the rest, and counts both", async () => {
      const agentId = newAgent();
      const main = await storeLine(bench.storage, agentId, 5);
      const sub = await storeLine(bench.storage, agentId, 3, { namespace: "sub" });
      const before = await bench.store.countRows();
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 2 })).toStrictEqual({ examined: 8, removed: 4 });
      expect(await bench.store.countRows()).toBe(before - 4);
      expect(await leftOf(agentId)).toStrictEqual([...main.ids.slice(-2), ...sub.ids.slice(-2)]);
    });

    it("leaves other agents untouched", async () => {
      const agentId = newAgent();
      const other = await storeLine(bench.storage, `${agentId}-2`, 4);
      await storeLine(bench.storage, agentId, 4);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 1 });
      expect(await leftOf(other.agentId)).toStrictEqual(other.ids);
    });

    it("prunes one namespace alone if it is named", async () => {
      const agentId = newAgent();
      const main = await storeLine(bench.storage, agentId, 3);
      const sub = await storeLine(bench.storage, agentId, 3, { namespace: "sub" });
      await bench.storage.pruneCheckpoints({ agentId, namespace: "", keepLast: 1 });
      expect(await leftOf(agentId)).toStrictEqual([main.ids[2], ...sub.ids]);
      await bench.storage.pruneCheckpoints({ agentId, namespace: "sub", keepLast: 2 });
      expect(await leftOf(agentId)).toStrictEqual([main.ids[2], ...sub.ids.slice(1)]);
    });

    it("keeps what was stored within keepWithinMs, by the id's time and not by createdAt", async () => {
      const agentId = newAgent();
      const now = Date.now();
      const old = await storeAt(agentId, [now - 3 * DAY_MS, now - 2 * DAY_MS], { createdAt: now });
      const young = await storeAt(agentId, [now - HOUR_MS, now - SECOND_MS], { createdAt: 0 });
      const result = await bench.storage.pruneCheckpoints({ agentId, keepWithinMs: DAY_MS });
      expect(result).toStrictEqual({ examined: 4, removed: old.length });
      expect(await leftOf(agentId)).toStrictEqual(young);
    });

    it("always keeps the latest of each namespace, however old it is", async () => {
      const agentId = newAgent();
      const [, latest] = await storeAt(agentId, [1_000, 2_000]);
      const [, latestOfSub] = await storeAt(agentId, [3_000, 4_000], { namespace: "sub" });
      await bench.storage.pruneCheckpoints({ agentId, keepWithinMs: 1 });
      expect(await leftOf(agentId)).toStrictEqual([latest, latestOfSub]);
    });

    it("keeps with keepEvery the newest one of each period, and nothing for it beyond forMs", async () => {
      const agentId = newAgent();
      const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
      const times = [-30, -29, -5, -3, -3, -1, -1].map(
        (hours, minute) => hour + hours * HOUR_MS + minute * 60 * SECOND_MS,
      );
      const ids = await storeAt(agentId, times);
      const keepEvery = [{ everyMs: HOUR_MS, forMs: 10 * HOUR_MS }];
      await bench.storage.pruneCheckpoints({ agentId, keepEvery });
      expect(await leftOf(agentId)).toStrictEqual([ids[2], ids[4], ids[6]]);
    });

    it("thins out by several keepEvery rules: finer for what is younger", async () => {
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
      expect(await leftOf(agentId)).toStrictEqual([ids[4], ids[5], ids[6], ids[7]]);
    });

    it("keeps what has all of the labels of keepMetadata, with exactly these values", async () => {
      const agentId = newAgent();
      const store = (metadata?: Record<string, string | number | boolean>) =>
        bench.storage.storeCheckpoint(checkpointOf(agentId, metadata === undefined ? {} : { metadata }));
      const kept = await store({ pin: true, a: 1 });
      await store({ pin: "true", a: 1 });
      await store({ pin: true });
      await store();
      const latest = await store();
      await bench.storage.pruneCheckpoints({ agentId, keepMetadata: { pin: true, a: 1 } });
      expect(await leftOf(agentId)).toStrictEqual([kept, latest]);
    });

    it("keeps everything for keepMetadata without a label, as a list's filter does", async () => {
      const agentId = newAgent();
      const { ids } = await storeLine(bench.storage, agentId, 3);
      expect(await bench.storage.listCheckpoints({ agentId, metadata: {} })).toHaveLength(3);
      await bench.storage.pruneCheckpoints({ agentId, keepMetadata: {} });
      expect(await leftOf(agentId)).toStrictEqual(ids);
    });

    it("keeps what any rule keeps", async () => {
      const agentId = newAgent();
      const now = Date.now();
      const [pinned] = await storeAt(agentId, [now - 9 * DAY_MS], { metadata: { pin: 1 } });
      await storeAt(agentId, [now - 8 * DAY_MS, now - 7 * DAY_MS]);
      const young = await storeAt(agentId, [now - 2 * HOUR_MS, now - HOUR_MS]);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 1, keepWithinMs: DAY_MS, keepMetadata: { pin: 1 } });
      expect(await leftOf(agentId)).toStrictEqual([pinned, ...young]);
    });

    it("only counts with dryRun, and counts what the real run removes", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 7);
      const before = await bench.store.countRows();
      const counted = await bench.storage.pruneCheckpoints({ agentId, keepLast: 3, dryRun: true });
      expect(counted).toStrictEqual({ examined: 7, removed: 4 });
      expect(await bench.store.countRows()).toBe(before);
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 3 })).toStrictEqual(counted);
      expect(await leftOf(agentId)).toStrictEqual(ids.slice(-3));
    });

    it("removes in batches of batchSize and tells the progress after each", async () => {
      const { agentId } = await storeLine(bench.storage, newAgent(), 26);
      const told: PruneResult[] = [];
      const rows: Promise<number>[] = [];
      const before = await bench.store.countRows();
      const result = await bench.storage.pruneCheckpoints({
        agentId,
        keepLast: 1,
        batchSize: 10,
        onProgress: (progress) => {
          told.push(progress);
          rows.push(bench.store.countRows());
        },
      });
      expect(told.map(({ removed }) => removed)).toStrictEqual([10, 20, 25]);
      expect(told.map(({ examined }) => examined)).toStrictEqual(
        told.map(({ examined }) => examined).toSorted((a, b) => a - b),
      );
      expect((await Promise.all(rows))[0]).toBeLessThanOrEqual(before - 10);
      expect(result).toStrictEqual({ examined: 26, removed: 25 });
    });

    it("ends at the caller's signal between batches, and goes on when called again", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 26);
      const controller = new AbortController();
      const policy = { agentId, keepLast: 1, batchSize: 10 };
      const call = bench.storage.pruneCheckpoints({
        ...policy,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      });
      await refusal(call, "ABORTED");
      expect(await leftOf(agentId)).toStrictEqual([...ids.slice(0, 15), ids[25]]);
      expect(await bench.storage.pruneCheckpoints(policy)).toStrictEqual({ examined: 16, removed: 15 });
    });

    it("prunes more than one page of checkpoints", async () => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), 1_010);
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 5 })).toStrictEqual({
        examined: 1_010,
        removed: 1_005,
      });
      expect(await leftOf(agentId)).toStrictEqual(ids.slice(-5));
    });

    it("prunes all agents if none is named", async () => {
      const [one, other] = [newAgent(), newAgent()];
      const [, latestOfOne] = await storeAt(one, [1_000, 2_000]);
      const [, latestOfOther] = await storeAt(other, [3_000, 4_000]);
      const { removed } = await bench.storage.pruneCheckpoints({ keepWithinMs: 365 * DAY_MS });
      expect(removed).toBeGreaterThanOrEqual(2);
      expect([await leftOf(one), await leftOf(other)]).toStrictEqual([[latestOfOne], [latestOfOther]]);
    });

    it("goes on beside stores, and removes nothing that a rule keeps of them", async () => {
      const agentId = newAgent();
      await storeAt(
        agentId,
        Array.from({ length: 60 }, (_, second) => second * SECOND_MS),
      );
      const [result, stored] = await Promise.all([
        bench.storage.pruneCheckpoints({ agentId, keepWithinMs: DAY_MS, batchSize: 5 }),
        storeLine(bench.storage, agentId, 60),
      ]);
      expect(result.removed).toBeGreaterThanOrEqual(59);
      expect((await leftOf(agentId)).slice(-60)).toStrictEqual(stored.ids);
    });

    const refused: Record<string, object> = {
      "without a rule": { agentId: "a" },
      "that is empty": {},
      "with a member that is not known": { keeplast: 1, keepLast: 1 },
      "with a namespace but no agent": { namespace: "n", keepLast: 1 },
      "with a keepLast of 0": { keepLast: 0 },
      "with a keepLast of 1.5": { keepLast: 1.5 },
      "with a keepWithinMs of 0": { keepWithinMs: 0 },
      "with a keepWithinMs that is a string": { keepWithinMs: "1d" },
      "with a keepEvery that is no array": { keepEvery: { everyMs: 1, forMs: 1 } },
      "with a keepEvery without forMs": { keepEvery: [{ everyMs: 1 }] },
      "with a batchSize of 0": { keepLast: 1, batchSize: 0 },
      "with a batchSize of 10,001": { keepLast: 1, batchSize: 10_001 },
      "with a dryRun that is no boolean": { keepLast: 1, dryRun: "yes" },
      "with an onProgress that is no function": { keepLast: 1, onProgress: 1 },
    };
    it.each(Object.entries(refused))("refuses a policy %s, and removes nothing", async (_, policy) => {
      const before = await bench.store.countRows();
      await refusal(bench.storage.pruneCheckpoints(policy as PrunePolicy), "INVALID_ARGUMENT");
      expect(await bench.store.countRows()).toBe(before);
    });
  });
}
