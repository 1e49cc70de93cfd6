import type { CheckpointStorage, PrunePolicy } from "@waymark/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { conversation, prose } from "../conversations.ts";
import { firstDifference } from "../first-difference.ts";
import { idAt } from "../ids.ts";
import { SCALE } from "../scale.ts";

const HOUR_MS = 3_600_000;
const TURNS = SCALE.prunedTurns;
const LONGEST_CHAIN = 257;

/** Stored states by id, in the order of their stores. */
type Stored = Map<string, unknown>;

/** Tests that remaining checkpoints come back as they were, whichever of the earlier ones are removed. */
export function describeRetention(bench: Bench): void {
  let cold: CheckpointStorage;
  beforeAll(() => {
    cold = bench.open({ cacheBytes: 0 });
  });
  afterAll(() => cold.close());

  /** Stores a growing conversation, one turn an hour, the last one half an hour ago; pins every seventh turn. */
  const storeHourly = async (agentId: string, turns = TURNS, storage: CheckpointStorage = bench.storage) => {
    const stored: Stored = new Map();
    const start = Date.now() - turns * HOUR_MS + HOUR_MS / 2;
    let parentId: string | undefined;
    for (let turn = 0; turn < turns; turn++) {
      const id = idAt(start + turn * HOUR_MS);
      const state = conversation(11, turn + 8);
      const metadata = turn % 7 === 3 ? { metadata: { pin: true } } : {};
      await storage.storeCheckpoint(
        checkpointOf(agentId, { id, state, ...metadata, ...(parentId === undefined ? {} : { parentId }) }),
      );
      stored.set(id, state);
      parentId = id;
    }
    return stored;
  };
  /** Expects that exactly these checkpoints remain and come back as they were, with and without a cache. */
  const expectRemaining = async (agentId: string, stored: Stored, left: readonly string[]) => {
    const listed = await cold.listCheckpoints({ agentId });
    expect(listed.map(({ id }) => id)).toStrictEqual([...left].sort().reverse());
    for (const storage of [cold, bench.storage]) {
      for (const [id, state] of stored) {
        const checkpoint = await storage.retrieveCheckpoint(id);
        if (left.includes(id)) expect(firstDifference(checkpoint?.state, state)).toBeNull();
        else expect(checkpoint).toBeNull();
      }
    }
    const { checkpoints, longestChain } = await cold.stats({ agentId });
    expect(checkpoints).toBe(left.length);
    expect(longestChain).toBeGreaterThanOrEqual(Math.min(1, left.length));
    expect(longestChain).toBeLessThanOrEqual(Math.min(LONGEST_CHAIN, left.length));
  };

  describe("an agent with many large states", () => {
    const policies: Readonly<Record<string, [PrunePolicy, (turn: number) => boolean]>> = {
      "keepLast 1": [{ keepLast: 1 }, (turn) => turn === TURNS - 1],
      "keepLast 10": [{ keepLast: 10 }, (turn) => turn >= TURNS - 10],
      "keepWithinMs of 20 hours": [{ keepWithinMs: 20 * HOUR_MS }, (turn) => turn >= TURNS - 20],
      keepMetadata: [{ keepMetadata: { pin: true } }, (turn) => turn % 7 === 3 || turn === TURNS - 1],
      "several rules, one row at a time": [
        { keepLast: 3, keepMetadata: { pin: true }, batchSize: 1 },
        (turn) => turn >= TURNS - 3 || turn % 7 === 3,
      ],
      "several rules, five rows at a time": [
        { keepLast: 3, keepMetadata: { pin: true }, batchSize: 5 },
        (turn) => turn >= TURNS - 3 || turn % 7 === 3,
      ],
    };
    it.each(Object.entries(policies))(
      "keeps the remaining ones as they were when it is pruned: %s",
      async (_, [policy, keeps]) => {
        const agentId = newAgent();
        const stored = await storeHourly(agentId);
        const ids = [...stored.keys()];
        const kept = ids.filter((_, turn) => keeps(turn));
        const counted = { examined: TURNS, removed: TURNS - kept.length };
        expect(await bench.storage.pruneCheckpoints({ ...policy, agentId, dryRun: true })).toMatchObject(counted);
        await expectRemaining(agentId, stored, ids);
        expect(await bench.storage.pruneCheckpoints({ ...policy, agentId })).toMatchObject(counted);
        await expectRemaining(agentId, stored, kept);
        expect(await bench.storage.pruneCheckpoints({ ...policy, agentId })).toMatchObject({ removed: 0 });
        await expectRemaining(agentId, stored, kept);
      },
    );

    it.each([1, 7, 500])(
      "keeps the remaining ones as they were when it is pruned by keepEvery, in batches of %i",
      async (batchSize) => {
        const agentId = newAgent();
        const stored = await storeHourly(agentId);
        const ids = [...stored.keys()];
        const period = (id: string) =>
          Math.floor(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16) / (4 * HOUR_MS));
        const newest = new Map(ids.map((id) => [period(id), id]));
        const keepEvery = [{ everyMs: 4 * HOUR_MS, forMs: 1_000 * HOUR_MS }];
        await bench.open({ cacheBytes: 0 }).pruneCheckpoints({ agentId, keepEvery, batchSize });
        await expectRemaining(agentId, stored, [...newest.values()]);
      },
    );

    it("can be pruned between stores", async () => {
      const agentId = newAgent();
      const stored: Stored = new Map();
      const ids: string[] = [];
      for (let turn = 0; turn < 30; turn++) {
        const state = conversation(12, turn + 4);
        const parent = ids.length === 0 ? {} : { parentId: ids.at(-1) as string };
        const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state, ...parent }));
        ids.push(id);
        stored.set(id, state);
        if (turn % 4 === 3) await bench.storage.pruneCheckpoints({ agentId, keepLast: 6 });
      }
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 6 });
      await expectRemaining(agentId, stored, ids.slice(-6));
    });

    it.each(["the first", "one in the middle", "the last"])(
      "keeps all others as they were when %s is deleted",
      async (which) => {
        const agentId = newAgent();
        const stored = await storeHourly(agentId, 14);
        const ids = [...stored.keys()];
        const at = which === "the first" ? 0 : which === "the last" ? 13 : 6;
        expect(await bench.storage.deleteCheckpoint(ids[at] as string)).toBe(true);
        await expectRemaining(agentId, stored, ids.toSpliced(at, 1));
      },
    );

    it("keeps all others as they were when one after the other is deleted: the first, the last, or in the middle", async () => {
      const orders = [
        (left: readonly string[]) => left[0],
        (left: readonly string[]) => left.at(-1),
        (left: readonly string[]) => left[left.length >> 1],
      ];
      for (const choose of orders) {
        const agentId = newAgent();
        const stored = await storeHourly(agentId, 8);
        let left = [...stored.keys()];
        while (left.length > 0) {
          const doomed = choose(left) as string;
          expect(await bench.storage.deleteCheckpoint(doomed)).toBe(true);
          left = left.filter((id) => id !== doomed);
          await expectRemaining(agentId, stored, left);
        }
      }
    });

    it("keeps forks as they were when the checkpoints that they came from are pruned or deleted", async () => {
      const agentId = newAgent();
      const stored: Stored = new Map();
      const store = async (state: unknown, parentId?: string, pin = false) => {
        const members = { state, ...(parentId === undefined ? {} : { parentId }), metadata: { pin } };
        const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, members));
        stored.set(id, state);
        return id;
      };
      const trunk: string[] = [];
      while (trunk.length < 12) trunk.push(await store(conversation(13, trunk.length + 6), trunk.at(-1)));
      const forks: string[] = [];
      for (const place of [0, 4, 8]) {
        let parentId = trunk[place];
        for (let turn = 1; turn <= 3; turn++) {
          const state = conversation(13, place + 6 + turn, { forkedAt: place + 6 });
          parentId = await store(state, parentId, true);
          forks.push(parentId);
        }
      }
      expect(await bench.storage.deleteCheckpoint(trunk[4] as string)).toBe(true);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 1, keepMetadata: { pin: true }, batchSize: 2 });
      await expectRemaining(agentId, stored, forks);
      // With a parent that was removed.
      const late = await store(conversation(13, 9), trunk[2], true);
      await expectRemaining(agentId, stored, [...forks, late]);
    });

    const describeReusedIds = () => {
      it("keeps all as they were when another storage deletes an id and stores it again with another state", async () => {
        const agentId = newAgent();
        const other = bench.open();
        const stored: Stored = new Map();
        const store = async (storage: CheckpointStorage, state: unknown, members = {}) => {
          const id = await storage.storeCheckpoint(checkpointOf(agentId, { state, ...members }));
          stored.set(id, state);
          return id;
        };
        const ids: string[] = [];
        while (ids.length < 4) ids.push(await store(bench.storage, conversation(16, ids.length + 6)));
        for (const id of [ids[3] as string, ids[1] as string]) {
          expect(await other.deleteCheckpoint(id)).toBe(true);
          await store(other, conversation(17, 6), { id });
          for (const storage of [bench.storage, other, cold]) {
            expect(firstDifference((await storage.retrieveCheckpoint(id))?.state, conversation(17, 6))).toBeNull();
          }
          const parentId = id;
          await store(bench.storage, conversation(16, 11), { parentId });
          await store(other, conversation(16, 12), { parentId });
          await expectRemaining(agentId, stored, [...stored.keys()]);
        }
      });

      it("keeps all as they were when another storage replaces the latest, and the next are stored without reading it", async () => {
        const agentId = newAgent();
        const other = bench.open();
        const stored: Stored = new Map();
        let last = "";
        for (let turn = 6; turn < 9; turn++) {
          last = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(18, turn) }));
          stored.set(last, conversation(18, turn));
        }
        expect(await other.deleteCheckpoint(last)).toBe(true);
        await other.storeCheckpoint(checkpointOf(agentId, { id: last, state: conversation(19, 9) }));
        stored.set(last, conversation(19, 9));
        for (let turn = 9; turn < 12; turn++) {
          const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(18, turn) }));
          stored.set(id, conversation(18, turn));
        }
        await expectRemaining(agentId, stored, [...stored.keys()]);
      });
    };
    // With tombstones an id is never used again.
    if (!bench.target.keepsTombstones) describeReusedIds();

    it("keeps other namespaces as they were when one is pruned or deleted", async () => {
      const agentId = newAgent();
      const stored: Stored = new Map();
      const ids = new Map<string, string[]>([
        ["", []],
        ["sub", []],
      ]);
      for (let turn = 0; turn < 12; turn++) {
        for (const [namespace, own] of ids) {
          const state = conversation(14, turn + 6); // the same in both
          const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state, namespace }));
          own.push(id);
          stored.set(id, state);
        }
      }
      const [main, sub] = [...ids.values()] as [string[], string[]];
      await bench.storage.pruneCheckpoints({ agentId, namespace: "", keepLast: 2 });
      await expectRemaining(agentId, stored, [...main.slice(-2), ...sub]);
      expect(await bench.storage.deleteAgent(agentId, { namespace: "" })).toBe(2);
      await expectRemaining(agentId, stored, sub);
      expect(await bench.storage.deleteAgent(agentId)).toBe(12);
      await expectRemaining(agentId, stored, []);
    });

    it("has chains of bounded length, and all states come back, after more stores than a chain may have rows", async () => {
      const agentId = newAgent();
      const history = prose(15, 60_000);
      const stored: Stored = new Map();
      for (let turn = 0; turn < 320; turn++) {
        const state = { turn, history, last: `turn ${turn}` };
        stored.set(await bench.storage.storeCheckpoint(checkpointOf(agentId, { state })), state);
      }
      const { longestChain } = await bench.storage.stats({ agentId });
      expect(longestChain).toBeLessThanOrEqual(LONGEST_CHAIN);
      const ids = [...stored.keys()];
      for (const id of [...ids.slice(0, 3), ...ids.slice(200, 320)]) {
        expect(firstDifference((await cold.retrieveCheckpoint(id))?.state, stored.get(id))).toBeNull();
      }
      const kept = ids.filter((_, turn) => turn % 40 === 39);
      for (const id of kept.slice(0, -1)) expect(await bench.storage.deleteCheckpoint(id)).toBe(true);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 30 });
      const left = ids.filter((id) => !kept.slice(0, -1).includes(id)).slice(-30);
      await expectRemaining(agentId, new Map(left.map((id) => [id, stored.get(id)])), left);
    });
  });
}
