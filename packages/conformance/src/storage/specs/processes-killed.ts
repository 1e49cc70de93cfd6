import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, newAgent } from "../bench.ts";
import { randomNumbers } from "../conversations.ts";
import { SCALE } from "../scale.ts";
import { readTimelines, Timeline } from "../timeline.ts";
import type { Worker } from "../workers.ts";

/** Each kill comes at a random moment: after at most so many acknowledgements, and then turns of the event loop. */
const MOST_ACKNOWLEDGED = 24;
const MOST_TURNS = 60;

export function describeProcessesKilled(bench: Bench): void {
  /** Stores to each timeline until the process is killed, at a random moment. Returns the number of acknowledged stores. */
  const storeUntilKilled = async (worker: Worker, timelines: readonly Timeline[], next: () => number) => {
    const killAfter = 1 + Math.floor(next() * MOST_ACKNOWLEDGED);
    let acknowledged = 0;
    let killed: Promise<void> | undefined;
    const kill = async () => {
      await eventLoopTurns(Math.floor(next() * MOST_TURNS));
      await worker.kill();
    };
    await Promise.allSettled(
      timelines.map(async (timeline) => {
        for (let turn = 0; ; turn++) {
          if (turn % 4 === 3) await timeline.storeFork(worker, Math.floor(next() * timeline.acknowledged.length));
          else await Promise.all([timeline.storeNext(worker), timeline.storeNext(worker)]);
          acknowledged += 1;
          if (acknowledged >= killAfter) killed ??= kill();
        }
      }),
    );
    await killed;
    return acknowledged;
  };

  describe("a process that is killed", () => {
    beforeEach(({ skip }) => skip(bench.store.remote === undefined, "only this process can open the store"));

    it(`while it stores has stored everything it acknowledged and left nothing broken, ${SCALE.killsWhileStoring} times in a row`, async () => {
      const next = randomNumbers(Date.now());
      const [one, other] = [newAgent(), newAgent()];
      const timelines = [
        new Timeline(one, { seed: 1 }),
        new Timeline(one, { seed: 2, turns: 10 }),
        new Timeline(one, { seed: 3, namespace: "sub" }),
        new Timeline(other, { seed: 4, turns: 20 }),
      ];
      const warm = bench.open(); // with a cache, from one kill to the next
      for (let kill = 0; kill < SCALE.killsWhileStoring; kill++) {
        const worker = await bench.startWorker();
        expect(await storeUntilKilled(worker, timelines, next)).toBeGreaterThan(0);
        const cold = bench.open({ cacheBytes: 0 });
        for (const agentId of [one, other]) {
          for (const storage of [cold, warm]) {
            const listed = new Set(await readTimelines(storage, agentId));
            const acknowledged = timelines
              .filter((timeline) => timeline.agentId === agentId)
              .flatMap((timeline) => timeline.acknowledged);
            expect(acknowledged.filter((id) => !listed.has(id))).toStrictEqual([]);
          }
        }
        await cold.close();
      }
      // Other storages continue all timelines.
      for (const timeline of timelines) {
        await timeline.storeNext(bench.open({ cacheBytes: 0 }));
        await timeline.storeNext(warm);
      }
      for (const agentId of [one, other]) await readTimelines(bench.open({ cacheBytes: 0 }), agentId);
    });

    it(`while it prunes has removed nothing that the policy keeps and left nothing broken, ${SCALE.killsWhilePruning} times`, async () => {
      const next = randomNumbers(Date.now());
      const cold = bench.open({ cacheBytes: 0 });
      for (let kill = 0; kill < SCALE.killsWhilePruning; kill++) {
        const agentId = newAgent();
        const timeline = new Timeline(agentId, { seed: kill });
        const pinned: string[] = [];
        while (timeline.acknowledged.length < 40) {
          if (timeline.acknowledged.length % 6 === 5)
            pinned.push(await timeline.storeNext(bench.storage, { pin: true }));
          else if (timeline.acknowledged.length % 8 === 7) await timeline.storeFork(bench.storage, 10);
          else await timeline.storeNext(bench.storage);
        }
        const policy = { agentId, keepLast: 3, keepMetadata: { pin: true }, batchSize: 1 + (kill % 3) };
        const worker = await bench.startWorker();
        const before = await bench.store.countRows();
        const killBelow = before - Math.floor(next() * 25);
        let ended = false;
        const pruning = worker
          .pruneCheckpoints(policy)
          .catch(() => {})
          .then(() => {
            ended = true;
          });
        // Until enough rows are removed, or the prune has ended.
        while (!ended && (await bench.store.countRows()) >= killBelow) await eventLoopTurns(1);
        await eventLoopTurns(Math.floor(next() * MOST_TURNS));
        await worker.kill();
        await pruning;

        const kept = [...new Set([...pinned, ...timeline.acknowledged.slice(-3)])].sort().reverse();
        const remaining = await readTimelines(cold, agentId);
        expect(kept.filter((id) => !remaining.includes(id))).toStrictEqual([]);
        await timeline.storeNext(cold);
        await timeline.storeFork(cold, 5);
        await readTimelines(cold, agentId);
        await bench.storage.pruneCheckpoints(policy);
        const now = [...new Set([...pinned, ...timeline.acknowledged.slice(-3)])].sort().reverse();
        expect(await readTimelines(cold, agentId)).toStrictEqual(now);
      }
    });
  });
}

async function eventLoopTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
