import type { PrunePolicy } from "@waymark/core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, newAgent } from "../bench.ts";
import { numbers } from "../conversations.ts";
import { Line, readAll } from "../line.ts";
import { closeAll, type Worker } from "../workers.ts";

const HOUR_MS = 3_600_000;
const PINNED = { pin: true };

/** What the pruning process keeps of what the others store meanwhile; what is pinned stays in any case. */
const POLICIES: Readonly<Record<string, Omit<PrunePolicy, "signal" | "onProgress">>> = {
  "the newest few": { keepLast: 3, keepMetadata: PINNED, batchSize: 3 },
  "one of every few": { keepEvery: [{ everyMs: 20, forMs: HOUR_MS }], keepMetadata: PINNED, batchSize: 4 },
  "hardly any, one at a time": { keepLast: 1, keepMetadata: PINNED, batchSize: 1 },
};

export function describeProcessesPrune(bench: Bench): void {
  /** Prunes again and again, until the others are done; returns how often. */
  const pruneUntil = async (worker: Worker, policy: PrunePolicy, done: { is: boolean }) => {
    let rounds = 0;
    for (; !done.is; rounds++) await worker.pruneCheckpoints(policy);
    return rounds;
  };

  /** Stores turn after turn, forks at times from anywhere in its past, and pins some. Returns which are pinned. */
  const work = async (line: Line, storage: Pick<Worker, "storeCheckpoint">, turns: number) => {
    const next = numbers(turns);
    const pinned: string[] = [];
    for (let turn = 0; turn < turns; turn++) {
      if (turn % 5 === 4) pinned.push(await line.storeNext(storage, PINNED));
      else if (turn % 7 === 6) await line.storeFork(storage, Math.floor(next() * line.acknowledged.length));
      else await Promise.all([line.storeNext(storage), ...(turn % 3 === 0 ? [line.storeNext(storage)] : [])]);
    }
    return pinned;
  };

  /** All that is listed comes back, also when it is pruned once more, and nothing is left behind in the end. */
  const expectSound = async (lines: readonly Line[], pinned: readonly string[]) => {
    const reader = bench.open({ cacheBytes: 0 });
    const stored = new Set(lines.flatMap(({ acknowledged }) => acknowledged));
    for (const agentId of new Set(lines.map((line) => line.agentId))) {
      const own = lines.filter((line) => line.agentId === agentId);
      for (const storage of [reader, bench.storage]) {
        const left = await readAll(storage, agentId);
        expect(left.filter((id) => !stored.has(id))).toStrictEqual([]);
        for (const { namespace } of own) {
          const line = own.filter((other) => other.namespace === namespace).flatMap(({ acknowledged }) => acknowledged);
          const latest = line.sort().at(-1);
          expect(await storage.retrieveLatestCheckpoint(agentId, { namespace })).toMatchObject({ id: latest });
        }
      }
      await bench.open().pruneCheckpoints({ agentId, keepLast: 2, keepMetadata: PINNED });
      const kept = new Set(await readAll(reader, agentId));
      expect(kept.size).toBeGreaterThanOrEqual(2);
    }
    for (const id of pinned) expect(await reader.retrieveCheckpoint(id), "what is pinned").not.toBeNull();
    const before = await bench.store.countRows();
    let removed = 0;
    for (const { agentId } of lines) removed += await bench.storage.deleteAgent(agentId);
    expect(await bench.store.countRows()).toBe(before - removed);
    await reader.close();
  };

  describe("a process that prunes beside others that store", () => {
    beforeEach(({ skip }) => skip(bench.store.remote === undefined, "only this process can open the store"));

    it.each(Object.entries(POLICIES))(
      "breaks nothing, and takes nothing that is kept, when it keeps %s",
      async (_, policy) => {
        const agentId = newAgent();
        const [main, sub] = [new Line(agentId, { seed: 1 }), new Line(agentId, { seed: 2, namespace: "sub" })];
        const worker = await bench.startWorker();
        const done = { is: false };
        const pruned = pruneUntil(worker, { agentId, ...policy }, done);
        const pinned = await Promise.all([work(main, bench.storage, 40), work(sub, bench.open(), 20)]).finally(() => {
          done.is = true;
        });
        expect(await pruned).toBeGreaterThan(0);
        await expectSound([main, sub], pinned.flat());
        expect(await closeAll([worker])).toStrictEqual([0]);
      },
    );

    it("breaks nothing when there are several of either kind, on the same agent", async () => {
      const agentId = newAgent();
      const writers = await Promise.all([0, 1, 2].map(() => bench.startWorker()));
      const pruners = await Promise.all([0, 1].map(() => bench.startWorker()));
      const lines = writers.map((_, seed) => new Line(agentId, { seed, namespace: seed === 2 ? "sub" : "" }));
      const done = { is: false };
      const policies = [POLICIES["the newest few"], POLICIES["hardly any, one at a time"]];
      const pruned = pruners.map((worker, index) => pruneUntil(worker, { agentId, ...policies[index] }, done));
      const pinned = await Promise.all(lines.map((line, writer) => work(line, writers[writer] as Worker, 20))).finally(
        () => {
          done.is = true;
        },
      );
      for (const rounds of await Promise.all(pruned)) expect(rounds).toBeGreaterThan(0);
      await expectSound(lines, pinned.flat());
      expect(await closeAll([...writers, ...pruners])).toStrictEqual([0, 0, 0, 0, 0]);
    });

    it("and another that deletes one by one leave what nobody has deleted as it was", async () => {
      const agentId = newAgent();
      const line = new Line(agentId, { seed: 5 });
      const [pruner, deleter] = await Promise.all([bench.startWorker(), bench.startWorker()]);
      const done = { is: false };
      const pruned = pruneUntil(pruner, { agentId, keepLast: 8, keepMetadata: PINNED, batchSize: 2 }, done);
      const next = numbers(5);
      const pinned: string[] = [];
      const deleted = new Set<string>();
      for (let turn = 0; turn < 40; turn++) {
        pinned.push(await line.storeNext(bench.storage, PINNED));
        const doomed = line.acknowledged[Math.floor(next() * line.acknowledged.length)] as string;
        const deletes = turn % 3 === 0 ? [deleter.deleteCheckpoint(doomed)] : [];
        if (turn % 3 === 0) deleted.add(doomed);
        await Promise.all([line.storeNext(bench.storage), ...deletes]);
      }
      done.is = true;
      await pruned;
      const left = await readAll(bench.open({ cacheBytes: 0 }), agentId);
      expect(pinned.filter((id) => !deleted.has(id) && !left.includes(id))).toStrictEqual([]);
      expect(left.filter((id) => deleted.has(id))).toStrictEqual([]);
      expect(await closeAll([pruner, deleter])).toStrictEqual([0, 0]);
    });
  });
}
