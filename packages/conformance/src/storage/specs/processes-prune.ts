import type { PrunePolicy } from "@waymark/core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { randomNumbers } from "../conversations.ts";
import { idAt } from "../ids.ts";
import { SCALE } from "../scale.ts";
import { readTimelines, Timeline } from "../timeline.ts";
import { closeWorkers, type Worker } from "../workers.ts";

const HOUR_MS = 3_600_000;
const PINNED = { pin: true };
const TURNS = SCALE.turnsBesidePruning;
const RACES = 2 * TURNS;

/** Policies of the pruning process. All of them keep pinned checkpoints. */
const POLICIES: Readonly<Record<string, Omit<PrunePolicy, "signal" | "onProgress">>> = {
  "the newest few": { keepLast: 3, keepMetadata: PINNED, batchSize: 3 },
  "one of every few": { keepEvery: [{ everyMs: 20, forMs: HOUR_MS }], keepMetadata: PINNED, batchSize: 4 },
  "hardly any, in batches of one": { keepLast: 1, keepMetadata: PINNED, batchSize: 1 },
};

export function describeProcessesPrune(bench: Bench): void {
  /** Prunes again and again until `done`. Returns the number of prunes. */
  const pruneUntil = async (worker: Worker, policy: PrunePolicy, done: { is: boolean }) => {
    let rounds = 0;
    for (; !done.is; rounds++) await worker.pruneCheckpoints(policy);
    return rounds;
  };

  /** Stores turn after turn, with some forks from earlier checkpoints and some pinned ones. Returns the ids of the pinned ones. */
  const work = async (timeline: Timeline, storage: Pick<Worker, "storeCheckpoint">, turns: number) => {
    const next = randomNumbers(turns);
    const pinned: string[] = [];
    for (let turn = 0; turn < turns; turn++) {
      if (turn % 5 === 4) pinned.push(await timeline.storeNext(storage, PINNED));
      else if (turn % 7 === 6) await timeline.storeFork(storage, Math.floor(next() * timeline.acknowledged.length));
      else await Promise.all([timeline.storeNext(storage), ...(turn % 3 === 0 ? [timeline.storeNext(storage)] : [])]);
    }
    return pinned;
  };

  /** Expects that all listed checkpoints come back, also after another prune, and that no row remains in the end. */
  const expectIntact = async (timelines: readonly Timeline[], pinned: readonly string[]) => {
    const reader = bench.open({ cacheBytes: 0 });
    const stored = new Set(timelines.flatMap(({ acknowledged }) => acknowledged));
    for (const agentId of new Set(timelines.map((timeline) => timeline.agentId))) {
      const own = timelines.filter((timeline) => timeline.agentId === agentId);
      for (const storage of [reader, bench.storage]) {
        const left = await readTimelines(storage, agentId);
        expect(left.filter((id) => !stored.has(id))).toStrictEqual([]);
        for (const { namespace } of own) {
          const timeline = own
            .filter((other) => other.namespace === namespace)
            .flatMap(({ acknowledged }) => acknowledged);
          const latest = timeline.sort().at(-1);
          expect(await storage.retrieveLatestCheckpoint(agentId, { namespace })).toMatchObject({ id: latest });
        }
      }
      await bench.open().pruneCheckpoints({ agentId, keepLast: 2, keepMetadata: PINNED });
      const kept = new Set(await readTimelines(reader, agentId));
      expect(kept.size).toBeGreaterThanOrEqual(2);
    }
    for (const id of pinned) expect(await reader.retrieveCheckpoint(id), "a pinned checkpoint").not.toBeNull();
    const before = await bench.store.countRows();
    let removed = 0;
    for (const { agentId } of timelines) removed += await bench.storage.deleteAgent(agentId);
    expect(await bench.store.countRows()).toBe(before - removed);
    await reader.close();
  };

  describe("a process that prunes while others store", () => {
    beforeEach(({ skip }) => skip(bench.store.remote === undefined, "only this process can open the store"));

    it.each(Object.entries(POLICIES))(
      "breaks nothing, and removes nothing that its policy keeps: %s",
      async (_, policy) => {
        const agentId = newAgent();
        const [main, sub] = [new Timeline(agentId, { seed: 1 }), new Timeline(agentId, { seed: 2, namespace: "sub" })];
        const worker = await bench.startWorker();
        const done = { is: false };
        const pruned = pruneUntil(worker, { agentId, ...policy }, done);
        const pinned = await Promise.all([
          work(main, bench.storage, TURNS),
          work(sub, bench.open(), TURNS / 2),
        ]).finally(() => {
          done.is = true;
        });
        expect(await pruned).toBeGreaterThan(0);
        await expectIntact([main, sub], pinned.flat());
        expect(await closeWorkers([worker])).toStrictEqual([0]);
      },
    );

    it("breaks nothing when several prune and several store, for the same agent", async () => {
      const agentId = newAgent();
      const writers = await Promise.all([0, 1, 2].map(() => bench.startWorker()));
      const pruners = await Promise.all([0, 1].map(() => bench.startWorker()));
      const timelines = writers.map((_, seed) => new Timeline(agentId, { seed, namespace: seed === 2 ? "sub" : "" }));
      const done = { is: false };
      const policies = [POLICIES["the newest few"], POLICIES["hardly any, in batches of one"]];
      const pruned = pruners.map((worker, index) => pruneUntil(worker, { agentId, ...policies[index] }, done));
      const pinned = await Promise.all(
        timelines.map((timeline, writer) => work(timeline, writers[writer] as Worker, TURNS / 2)),
      ).finally(() => {
        done.is = true;
      });
      for (const rounds of await Promise.all(pruned)) expect(rounds).toBeGreaterThan(0);
      await expectIntact(timelines, pinned.flat());
      expect(await closeWorkers([...writers, ...pruners])).toStrictEqual([0, 0, 0, 0, 0]);
    });

    it("keeps all of an idle agent that stores again, or had removed all of it before that store", async () => {
      const worker = await bench.startWorker();
      const kept = { all: 0, none: 0 };
      for (let round = 0; round < RACES; round++) {
        const agentId = newAgent("idle");
        const [older, latest] = [1_000, 2_000].map(idAt) as [string, string];
        for (const id of [older, latest]) await bench.storage.storeCheckpoint(checkpointOf(agentId, { id }));
        // Every other agent comes back with a guard: it has read its latest checkpoint before.
        const isGuarded = round % 2 === 0;
        const [stored, pruned] = await Promise.allSettled([
          worker.storeCheckpoint(checkpointOf(agentId), isGuarded ? { ifLatest: latest } : {}),
          bench.storage.pruneCheckpoints({ agentId, dropAgentsIdleForMs: HOUR_MS }),
        ]);
        if (pruned.status === "rejected") throw pruned.reason;
        const isStored = stored.status === "fulfilled";
        if (!isStored) expect(stored.reason).toMatchObject({ code: "CONFLICT" });
        const left = (await bench.storage.listCheckpoints({ agentId })).map(({ id }) => id);
        const own = isStored ? [stored.value] : [];
        const isWhole = pruned.value.droppedAgents === 0;
        expect(left).toStrictEqual(isWhole ? [...own, latest, older] : isGuarded ? [] : own);
        if (!isGuarded) expect(isStored).toBe(true);
        kept[isWhole ? "all" : "none"] += 1;
      }
      expect(kept.all + kept.none).toBe(RACES);
      expect(await closeWorkers([worker])).toStrictEqual([0]);
    });

    it("breaks nothing while another deletes one by one", async () => {
      const agentId = newAgent();
      const timeline = new Timeline(agentId, { seed: 5 });
      const [pruner, deleter] = await Promise.all([bench.startWorker(), bench.startWorker()]);
      const done = { is: false };
      const pruned = pruneUntil(pruner, { agentId, keepLast: 8, keepMetadata: PINNED, batchSize: 2 }, done);
      const next = randomNumbers(5);
      const pinned: string[] = [];
      const deleted = new Set<string>();
      for (let turn = 0; turn < TURNS; turn++) {
        pinned.push(await timeline.storeNext(bench.storage, PINNED));
        const doomed = timeline.acknowledged[Math.floor(next() * timeline.acknowledged.length)] as string;
        const deletes = turn % 3 === 0 ? [deleter.deleteCheckpoint(doomed)] : [];
        if (turn % 3 === 0) deleted.add(doomed);
        await Promise.all([timeline.storeNext(bench.storage), ...deletes]);
      }
      done.is = true;
      await pruned;
      const left = await readTimelines(bench.open({ cacheBytes: 0 }), agentId);
      expect(pinned.filter((id) => !deleted.has(id) && !left.includes(id))).toStrictEqual([]);
      expect(left.filter((id) => deleted.has(id))).toStrictEqual([]);
      expect(await closeWorkers([pruner, deleter])).toStrictEqual([0, 0]);
    });
  });
}
