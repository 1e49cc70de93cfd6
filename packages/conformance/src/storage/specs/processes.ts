import type { CheckpointStorage } from "@waymark/core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeMany } from "../bench.ts";
import { conversation } from "../conversations.ts";
import { firstDifference } from "../first-difference.ts";
import { timeOf } from "../ids.ts";
import { SCALE } from "../scale.ts";
import { closeWorkers, type Worker } from "../workers.ts";

/** The state of an agent in these tests. */
interface Turn {
  readonly turn: number;
}

/** Reads by which a process learns of a checkpoint that another one has stored. */
const READS: Readonly<Record<string, (storage: CheckpointStorage, agentId: string, id: string) => Promise<unknown>>> = {
  "have retrieved": (storage, _, id) => storage.retrieveCheckpoint(id),
  "have retrieved as the latest": (storage, agentId) => storage.retrieveLatestCheckpoint(agentId),
  "have listed": (storage, agentId) => storage.listCheckpoints({ agentId }),
  "have iterated over": (storage, agentId) => collect(storage.iterateCheckpoints({ agentId })),
};

export function describeProcesses(bench: Bench): void {
  describe("several processes on one store", () => {
    beforeEach(({ skip }) => skip(bench.store.remote === undefined, "only this process can open the store"));

    it(`open it at the same moment while it is empty, ${SCALE.openers} of them`, async () => {
      const store = await bench.createStore();
      const workers = await Promise.all(Array.from({ length: SCALE.openers }, () => bench.startWorker({ store })));
      const ids = await Promise.all(workers.map((worker) => worker.storeCheckpoint(checkpointOf(newAgent()))));
      expect(await store.countRows()).toBe(SCALE.openers);
      const listed = await bench.open({}, store).listCheckpoints();
      expect(new Set(listed.map(({ id }) => id))).toStrictEqual(new Set(ids));
      expect(await closeWorkers(workers)).toStrictEqual(workers.map(() => 0));
    });

    const takeTurns = `take turns with one agent ${SCALE.handOvers} times, with clocks 50 ms apart, and each finds the other's last turn`;
    it(takeTurns, async () => {
      const agentId = newAgent();
      const workers = [await bench.startWorker({ skewMs: 25 }), await bench.startWorker({ skewMs: -25 })];
      const ids: string[] = [];
      for (let turn = 0; turn < SCALE.handOvers; turn++) {
        const worker = workers[turn % 2] as Worker;
        const latest = await worker.retrieveLatestCheckpoint(agentId);
        expect((latest?.state as Turn | undefined)?.turn).toBe(turn === 0 ? undefined : turn - 1);
        ids.push(await worker.storeCheckpoint(checkpointOf(agentId, { state: { turn } satisfies Turn })));
      }
      const items = await bench.storage.listCheckpoints({ agentId, limit: 10_000 });
      expect(items.map(({ id }) => id)).toStrictEqual(ids.toReversed());
      expect(await closeWorkers(workers)).toStrictEqual([0, 0]);
    });

    it.each(Object.entries(READS))(
      "store after a checkpoint that they %s, from a process whose clock is ahead",
      async (_, read) => {
        const agentId = newAgent();
        // This process's ids may already be ahead of its clock, because of ids that it has read before.
        const aheadMs = timeOf(await bench.storage.storeCheckpoint(checkpointOf(newAgent()))) - Date.now();
        const worker = await bench.startWorker({ skewMs: aheadMs + 10_000 });
        const first = await worker.storeCheckpoint(checkpointOf(agentId));
        await read(bench.storage, agentId, first);
        const second = await bench.storage.storeCheckpoint(checkpointOf(agentId));
        expect(await worker.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: second });
        expect(await closeWorkers([worker])).toStrictEqual([0]);
      },
    );

    it("store after the parent, whose id is ahead of the clock, without reading it", async () => {
      const agentId = newAgent();
      const [ahead, behind] = [
        await bench.startWorker({ skewMs: 60_000 }),
        await bench.startWorker({ skewMs: -60_000 }),
      ];
      const parentId = await ahead.storeCheckpoint(checkpointOf(agentId));
      const id = await behind.storeCheckpoint(checkpointOf(agentId, { parentId }));
      expect(await ahead.retrieveLatestCheckpoint(agentId)).toMatchObject({ id });
      expect(await closeWorkers([ahead, behind])).toStrictEqual([0, 0]);
    });

    it("page by cursor without skipping or repeating while another stores", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 300);
      const worker = await bench.startWorker();
      const seen: string[] = [];
      for (let before: string | undefined; ; before = seen.at(-1)) {
        const query = { agentId, limit: 20, ...(before === undefined ? {} : { before }) };
        const stores = Array.from({ length: 5 }, () => worker.storeCheckpoint(checkpointOf(agentId)));
        const page = await bench.storage.listCheckpoints(query);
        seen.push(...page.map(({ id }) => id));
        await Promise.all(stores);
        if (page.length < query.limit || seen.length > 2 * ids.length) break;
      }
      const old = new Set(ids);
      expect(seen.filter((id) => old.has(id))).toStrictEqual(ids.toReversed());
      expect(new Set(seen).size).toBe(seen.length);
      expect((await bench.storage.stats({ agentId })).checkpoints).toBeGreaterThanOrEqual(300 + 5 * 15);
      expect(await closeWorkers([worker])).toStrictEqual([0]);
    });

    it("iterate without skipping or repeating while another stores", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 1_010);
      const worker = await bench.startWorker();
      await worker.listCheckpoints({ limit: 1 });
      const stores: Promise<string>[] = [];
      const seen: string[] = [];
      for await (const { id } of bench.storage.iterateCheckpoints({ agentId })) {
        seen.push(id);
        if (seen.length > ids.length) break;
        if (seen.length % 100 === 0) stores.push(worker.storeCheckpoint(checkpointOf(agentId)));
        if (seen.length === 1_000) await Promise.all(stores); // they are there before the next page is read
      }
      expect(seen).toStrictEqual(ids.toReversed());
      expect(await closeWorkers([worker])).toStrictEqual([0]);
    });

    it("let exactly one store with the same ifLatest win each round", async () => {
      const agentId = newAgent();
      const workers = await Promise.all([-50, 0, 50].map((skewMs) => bench.startWorker({ skewMs })));
      let ifLatest: string | null = null;
      for (let round = 0; round < SCALE.races; round++) {
        const state = { turn: round } satisfies Turn;
        const stores = workers.flatMap((worker) => {
          return [0, 1, 2].map(() => worker.storeCheckpoint(checkpointOf(agentId, { state }), { ifLatest }));
        });
        const outcomes = await Promise.allSettled(stores);
        const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
        const codes = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
        expect(won).toHaveLength(1);
        expect(new Set(codes)).toStrictEqual(new Set(["CONFLICT"]));
        expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: won[0], state });
        ifLatest = won[0] as string;
      }
      expect(await bench.storage.stats({ agentId })).toMatchObject({ checkpoints: SCALE.races });
      expect(await closeWorkers(workers)).toStrictEqual([0, 0, 0]);
    });

    const rivals = `let exactly one of ${SCALE.rivals} stores with the same ifLatest win each round, with large states that share most of their content`;
    it(rivals, async () => {
      const agentId = newAgent();
      const workers = await Promise.all(Array.from({ length: SCALE.rivals }, () => bench.startWorker()));
      const winners: [id: string, state: unknown][] = [];
      for (let round = 0; round < SCALE.largeRaces; round++) {
        const ifLatest = winners.at(-1)?.[0] ?? null;
        const states = workers.map((_, writer) => ({ writer, ...conversation(1, 40 + round, { forkedAt: 40 }) }));
        const outcomes = await Promise.allSettled(
          workers.map((worker, writer) =>
            worker.storeCheckpoint(checkpointOf(agentId, { state: states[writer] }), { ifLatest }),
          ),
        );
        const won = outcomes.flatMap((outcome, writer): [string, unknown][] => {
          if (outcome.status === "fulfilled") return [[outcome.value, states[writer]]];
          expect(outcome.reason.code, outcome.reason.message).toBe("CONFLICT");
          return [];
        });
        expect(won).toHaveLength(1);
        winners.push(...won);
      }
      const reader = bench.open({ cacheBytes: 0 });
      const listed = await reader.listCheckpoints({ agentId });
      expect(listed.map(({ id }) => id)).toStrictEqual(winners.map(([id]) => id).reverse());
      for (const [id, state] of winners) {
        expect(firstDifference((await reader.retrieveCheckpoint(id))?.state, state)).toBeNull();
      }
      expect(await closeWorkers(workers)).toStrictEqual(workers.map(() => 0));
    });

    it("store side by side: all checkpoints are there, those of each process in its order", async () => {
      const agentId = newAgent();
      const workers = await Promise.all([0, 1, 2].map(() => bench.startWorker()));
      const idsOfWorkers = await Promise.all(
        workers.map(async (worker) => {
          const ids: string[] = [];
          for (let turn = 0; turn < 50; turn++)
            ids.push(await worker.storeCheckpoint(checkpointOf(agentId, { state: { turn } })));
          return ids;
        }),
      );
      const listed = (await collect(bench.storage.iterateCheckpoints({ agentId }))).map(({ id }) => id).reverse();
      expect(new Set(listed)).toStrictEqual(new Set(idsOfWorkers.flat()));
      for (const ids of idsOfWorkers) expect(listed.filter((id) => ids.includes(id))).toStrictEqual(ids);
      expect(await closeWorkers(workers)).toStrictEqual([0, 0, 0]);
    });

    it("find a checkpoint whose process was killed right after it was stored", async () => {
      const checkpoint = checkpointOf(newAgent());
      const worker = await bench.startWorker();
      const id = await worker.storeCheckpoint(checkpoint);
      await worker.kill();
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("find whole checkpoints or none when another is killed while it stores", async () => {
      const agentId = newAgent();
      const worker = await bench.startWorker();
      const state = { text: "long enough to be compressed ".repeat(1_000) };
      const acknowledged: string[] = [];
      const killed = Promise.allSettled(
        Array.from({ length: 60 }, async () => {
          acknowledged.push(await worker.storeCheckpoint(checkpointOf(agentId, { state })));
          if (acknowledged.length === 5) await worker.kill();
        }),
      );
      await killed;
      const listed = (await bench.storage.listCheckpoints({ agentId })).map(({ id }) => id);
      expect(acknowledged.filter((id) => !listed.includes(id))).toStrictEqual([]);
      for (const id of listed) expect(await bench.storage.retrieveCheckpoint(id)).toMatchObject({ state });
      expect(acknowledged.length).toBeGreaterThanOrEqual(5);
    });

    it("exit by themselves after close, and so does one that has never used its storage", async () => {
      const [used, unused] = [await bench.startWorker(), await bench.startWorker()];
      await used.storeCheckpoint(checkpointOf(newAgent()));
      await used.close();
      expect([await used.leave(), await unused.leave()]).toStrictEqual([0, 0]);
    });
  });
}
