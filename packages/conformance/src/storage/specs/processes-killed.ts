import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, newAgent } from "../bench.ts";
import { numbers } from "../conversations.ts";
import { Line, readAll } from "../line.ts";
import type { Worker } from "../workers.ts";

const KILLS = 10;
const KILLS_WHILE_PRUNING = 6;
/** At each kill the moment is another one: so many acknowledgements, and then so many turns of the event loop. */
const MOST_ACKNOWLEDGED = 24;
const MOST_TURNS = 60;

export function describeProcessesKilled(bench: Bench): void {
  /** Keeps each line storing until the process is gone, and kills it at this moment. */
  const storeUntilKilled = async (worker: Worker, lines: readonly Line[], next: () => number) => {
    const killAfter = 1 + Math.floor(next() * MOST_ACKNOWLEDGED);
    let acknowledged = 0;
    let killed: Promise<void> | undefined;
    const kill = async () => {
      await eventLoopTurns(Math.floor(next() * MOST_TURNS));
      await worker.kill();
    };
    await Promise.allSettled(
      lines.map(async (line) => {
        for (let turn = 0; ; turn++) {
          if (turn % 4 === 3) await line.storeFork(worker, Math.floor(next() * line.acknowledged.length));
          else await Promise.all([line.storeNext(worker), line.storeNext(worker)]);
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

    it(`in the middle of storing has stored all that it acknowledged, and left nothing broken, ${KILLS} times in a row`, async () => {
      const next = numbers(Date.now());
      const [one, other] = [newAgent(), newAgent()];
      const lines = [
        new Line(one, { seed: 1 }),
        new Line(one, { seed: 2, turns: 10 }),
        new Line(one, { seed: 3, namespace: "sub" }),
        new Line(other, { seed: 4, turns: 20 }),
      ];
      const warm = bench.open(); // which remembers what it reads, from one kill to the next
      for (let kill = 0; kill < KILLS; kill++) {
        const worker = await bench.startWorker();
        expect(await storeUntilKilled(worker, lines, next)).toBeGreaterThan(0);
        const cold = bench.open({ cacheBytes: 0 });
        for (const agentId of [one, other]) {
          for (const storage of [cold, warm]) {
            const listed = new Set(await readAll(storage, agentId));
            const acknowledged = lines.filter((line) => line.agentId === agentId).flatMap((line) => line.acknowledged);
            expect(acknowledged.filter((id) => !listed.has(id))).toStrictEqual([]);
          }
        }
        await cold.close();
      }
      // And those who come after go on from it.
      for (const line of lines) {
        await line.storeNext(bench.open({ cacheBytes: 0 }));
        await line.storeNext(warm);
      }
      for (const agentId of [one, other]) await readAll(bench.open({ cacheBytes: 0 }), agentId);
    });

    it(`in the middle of pruning has taken nothing that is kept, and left nothing broken, ${KILLS_WHILE_PRUNING} times`, async () => {
      const next = numbers(Date.now());
      const cold = bench.open({ cacheBytes: 0 });
      for (let kill = 0; kill < KILLS_WHILE_PRUNING; kill++) {
        const agentId = newAgent();
        const line = new Line(agentId, { seed: kill });
        const pinned: string[] = [];
        while (line.acknowledged.length < 40) {
          if (line.acknowledged.length % 6 === 5) pinned.push(await line.storeNext(bench.storage, { pin: true }));
          else if (line.acknowledged.length % 8 === 7) await line.storeFork(bench.storage, 10);
          else await line.storeNext(bench.storage);
        }
        const policy = { agentId, keepLast: 3, keepMetadata: { pin: true }, batchSize: 1 + (kill % 3) };
        const worker = await bench.startWorker();
        const before = await bench.store.countRows();
        const killBelow = before - Math.floor(next() * 25);
        const pruned = worker.pruneCheckpoints(policy).then(
          () => true,
          () => true,
        );
        // Until so many are gone, or all that will be.
        let over: boolean | undefined;
        void pruned.then((ended) => {
          over = ended;
        });
        while (over === undefined && (await bench.store.countRows()) >= killBelow) await eventLoopTurns(1);
        await eventLoopTurns(Math.floor(next() * MOST_TURNS));
        await worker.kill();
        await pruned;

        const kept = [...new Set([...pinned, ...line.acknowledged.slice(-3)])].sort().reverse();
        const left = await readAll(cold, agentId);
        expect(kept.filter((id) => !left.includes(id))).toStrictEqual([]);
        await line.storeNext(cold);
        await line.storeFork(cold, 5);
        await readAll(cold, agentId);
        await bench.storage.pruneCheckpoints(policy);
        const now = [...new Set([...pinned, ...line.acknowledged.slice(-3)])].sort().reverse();
        expect(await readAll(cold, agentId)).toStrictEqual(now);
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
