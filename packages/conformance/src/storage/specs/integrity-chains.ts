import type { CheckpointStorage } from "@waymark/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent } from "../bench.ts";
import { conversation, prose } from "../conversations.ts";
import { expectCheckpointError, refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";
import type { RowDamage, StoredRow } from "../target.ts";

/** Number of bytes of a large state that are changed, one by one. */
const SAMPLES = 20;

/** One checkpoint of a chain, its expected state, and its row before any damage. */
interface Link {
  readonly id: string;
  readonly state: unknown;
  readonly row: StoredRow;
}

/**
 * Tests of damage to rows that others are deltas to. Whatever the damage is, each checkpoint either comes back as it was, or
 * is rejected with an error that names it and the damaged row.
 */
export function describeIntegrityChains(bench: Bench): void {
  /** Stores a state as the child of a checkpoint, as an agent does. */
  const storeLink = async (storage: CheckpointStorage, agentId: string, state: unknown, parentId?: string) => {
    const parent = parentId === undefined ? {} : { parentId };
    return await storage.storeCheckpoint(checkpointOf(agentId, { state, ...parent }));
  };
  const storeChain = async (agentId: string, states: readonly unknown[]): Promise<Link[]> => {
    const chain: Link[] = [];
    for (const state of states) {
      const id = await storeLink(bench.storage, agentId, state, chain.at(-1)?.id);
      chain.push({ id, state, row: (await bench.store.readRow(id)) as StoredRow });
    }
    return chain;
  };
  const repair = async ({ id, row: { encoding, state, stateBytes, digest } }: Link) =>
    bench.store.damageRow(id, { encoding, state, stateBytes, digest });

  /** Retrieves each, expects its state or an error that names it and the damaged row, and returns the lost ones. */
  const lostBy = async (
    storage: CheckpointStorage,
    chain: readonly Link[],
    damaged: Link,
    codes: readonly string[],
  ) => {
    const outcomes = await Promise.allSettled(chain.map(({ id }) => storage.retrieveCheckpoint(id)));
    return chain.filter(({ id, state }, index) => {
      const outcome = outcomes[index] as (typeof outcomes)[number];
      if (outcome.status === "fulfilled") {
        expect(firstDifference(outcome.value?.state, state)).toBeNull();
        return false;
      }
      expectCheckpointError(outcome.reason);
      expect(codes, outcome.reason.message).toContain(outcome.reason.code);
      expect(outcome.reason.message).toContain(id);
      expect(outcome.reason.message, "the row that is damaged").toContain(damaged.id);
      return true;
    });
  };

  describe("a damaged row that others may depend on", () => {
    const growing = Array.from({ length: 12 }, (_, turn) => conversation(7, turn + 6));
    const edited = Array.from({ length: 6 }, (_, turn) => ({ turn, text: prose(7, 5_000), last: turn * turn }));
    const tagged = Array.from({ length: 6 }, (_, turn) => ({
      at: new Date(turn),
      none: undefined,
      ...conversation(8, turn + 3),
      bytes: new Uint8Array(2_000).map((_, index) => index * turn),
    }));
    const sequences: Readonly<Record<string, readonly unknown[]>> = {
      "a growing conversation": growing,
      "a long text beside small changes": edited,
      "values that JSON cannot represent": tagged,
    };
    const agents = new Map(Object.keys(sequences).map((name) => [name, newAgent()]));
    const chains = new Map<string, Link[]>();
    let reader: CheckpointStorage;

    beforeAll(async () => {
      reader = bench.open({ cacheBytes: 0 });
      for (const [name, states] of Object.entries(sequences)) {
        chains.set(name, await storeChain(agents.get(name) as string, states));
      }
    });
    afterAll(() => reader.close());

    it.each(Object.keys(sequences))("is reported for a change of any byte of a state: %s", async (name) => {
      const chain = chains.get(name) as Link[];
      for (const [place, link] of chain.entries()) {
        // The one before does not depend on it; the ones after it may.
        const near = chain.filter((_, index) => Math.abs(index - place) <= 1 || index === chain.length - 1);
        for (const at of sampledIndexes(link.row.state)) {
          await bench.store.damageRow(link.id, { state: flipped(link.row.state, at) });
          const lost = await lostBy(reader, near, link, ["CORRUPT_CHECKPOINT"]);
          expect(lost, `byte ${at} of ${link.row.state.length}`).toContain(link);
        }
        await repair(link);
      }
      expect(await lostBy(reader, chain, chain[0] as Link, [])).toStrictEqual([]);
    });

    it.each(Object.keys(sequences))("is reported for a change of every byte of a small state: %s", async (name) => {
      const chain = chains.get(name) as Link[];
      const smallest = chain.reduce((one, other) => (other.row.state.length < one.row.state.length ? other : one));
      const after = chain.slice(chain.indexOf(smallest)).slice(0, 2);
      for (let at = 0; at < Math.min(smallest.row.state.length, 300); at++) {
        await bench.store.damageRow(smallest.id, { state: flipped(smallest.row.state, at) });
        const lost = await lostBy(reader, after, smallest, ["CORRUPT_CHECKPOINT"]);
        expect(lost, `byte ${at} of ${smallest.row.state.length}`).toContain(smallest);
      }
      await repair(smallest);
    });

    const damages: Readonly<Record<string, (row: StoredRow, chain: readonly Link[]) => RowDamage>> = {
      "a byte of the digest is changed": ({ digest }) => ({ digest: flipped(digest, 7) }),
      "the last byte of the digest is changed": ({ digest }) => ({ digest: flipped(digest, 31) }),
      "the digest is that of another row": ({ digest }, chain) => ({
        digest: (chain.find(({ row }) => Buffer.compare(row.digest, digest) !== 0) as Link).row.digest,
      }),
      "the length is one more": ({ stateBytes }) => ({ stateBytes: stateBytes + 1 }),
      "the length is one less": ({ stateBytes }) => ({ stateBytes: stateBytes - 1 }),
      "the length is 0": () => ({ stateBytes: 0 }),
      "the length is far too large": () => ({ stateBytes: 2_000_000_000 }),
      "the last byte is missing": ({ state }) => ({ state: state.slice(0, -1) }),
      "the first byte is missing": ({ state }) => ({ state: state.slice(1) }),
      "only half of it is left": ({ state }) => ({ state: state.slice(0, state.length >> 1) }),
      "nothing is left": () => ({ state: new Uint8Array(0) }),
      "it is the state of another row": ({ state }, chain) => ({
        state: (chain.find(({ row }) => Buffer.compare(row.state, state) !== 0) as Link).row.state,
      }),
      "it is noise": ({ state }) => ({ state: Uint8Array.from(state, (_, index) => (index * 89 + 41) % 256) }),
    };
    it.each(Object.entries(damages))(
      "is reported, also for each checkpoint that depends on it: %s",
      async (_, damage) => {
        for (const chain of chains.values()) {
          for (const link of chain) {
            await bench.store.damageRow(link.id, damage(link.row, chain));
            expect(await lostBy(reader, chain, link, ["CORRUPT_CHECKPOINT"])).toContain(link);
            await repair(link);
          }
        }
      },
    );

    it("comes back as it was or is reported if bytes follow its end", async () => {
      for (const chain of chains.values()) {
        for (const link of chain) {
          for (const more of ["\0", " ", "[]", prose(1, 40)]) {
            await bench.store.damageRow(link.id, { state: Buffer.concat([link.row.state, Buffer.from(more)]) });
            await lostBy(reader, chain, link, ["CORRUPT_CHECKPOINT"]);
          }
          await repair(link);
        }
      }
    });

    it("is reported if it has another encoding, also one of a newer version", async () => {
      for (const chain of chains.values()) {
        const others = new Set(["json9+later", "", ...[...chains.values()].flat().map(({ row }) => row.encoding)]);
        for (const link of chain) {
          for (const encoding of others) {
            if (encoding === link.row.encoding) continue;
            await bench.store.damageRow(link.id, { encoding });
            const lost = await lostBy(reader, chain, link, ["CORRUPT_CHECKPOINT", "UNSUPPORTED_FORMAT"]);
            expect(lost, `${link.row.encoding} as ${encoding}`).toContain(link);
          }
          await repair(link);
        }
      }
    });

    it("breaks no list, no stats and no iteration over ancestors", async () => {
      const name = "a growing conversation";
      const agentId = agents.get(name) as string;
      const chain = chains.get(name) as Link[];
      const [listed, stats] = [await reader.listCheckpoints({ agentId }), await reader.stats({ agentId })];
      for (const link of chain) {
        await bench.store.damageRow(link.id, { state: flipped(link.row.state, 0), encoding: "json9+later" });
        expect(await reader.listCheckpoints({ agentId })).toStrictEqual(listed);
        expect(await collect(reader.iterateCheckpoints({ agentId }))).toStrictEqual(listed);
        expect(await collect(reader.iterateAncestors(listed[0]?.id as string))).toStrictEqual(listed);
        expect(await reader.stats({ agentId })).toStrictEqual(stats);
        expect(await reader.listAgents({ limit: 1 })).toHaveLength(1);
        await repair(link);
      }
    });

    it("is read again by the storage that reported it, once it is repaired", async () => {
      for (const chain of chains.values()) {
        const storage = bench.open();
        const middle = chain[chain.length >> 1] as Link;
        await bench.store.damageRow(middle.id, { state: flipped(middle.row.state, 1) });
        expect(await lostBy(storage, chain, middle, ["CORRUPT_CHECKPOINT"])).toContain(middle);
        await repair(middle);
        expect(await lostBy(storage, chain, middle, [])).toStrictEqual([]);
        await storage.close();
      }
    });

    it("does not damage the checkpoints that a storage without its state stores after it", async () => {
      const agentId = newAgent();
      const chain = await storeChain(agentId, growing.slice(0, 6));
      const middle = chain[3] as Link;
      for (const options of [{ cacheBytes: 0 }, {}, { freeze: true }]) {
        await bench.store.damageRow(middle.id, { state: flipped(middle.row.state, 2) });
        const storage = bench.open(options);
        for (const parent of [chain[5], middle, chain[1]] as Link[]) {
          const next = conversation(7, 12);
          const id = await storeLink(storage, agentId, next, parent.id);
          for (const other of [reader, storage]) {
            expect(firstDifference((await other.retrieveCheckpoint(id))?.state, next)).toBeNull();
          }
        }
        await lostBy(reader, chain, middle, ["CORRUPT_CHECKPOINT"]);
        await repair(middle);
        expect(await lostBy(reader, chain, middle, [])).toStrictEqual([]);
        await storage.close();
      }
    });

    it("does not damage the checkpoints that a storage with its state in the cache stores after it: each comes back or is reported", async () => {
      const agentId = newAgent();
      const writer = bench.open();
      const chain: Link[] = [];
      const storeNext = async () => {
        const state = conversation(9, chain.length + 4);
        const id = await storeLink(writer, agentId, state, chain.at(-1)?.id);
        chain.push({ id, state, row: (await bench.store.readRow(id)) as StoredRow });
      };
      while (chain.length < 5) await storeNext();
      const damaged = chain[2] as Link;
      await bench.store.damageRow(damaged.id, { state: flipped(damaged.row.state, 3) });
      while (chain.length < 9) await storeNext();
      for (const storage of [bench.open(), reader]) {
        expect(await lostBy(storage, chain, damaged, ["CORRUPT_CHECKPOINT"])).toContain(damaged);
      }
      await repair(damaged);
      expect(await lostBy(reader, chain, damaged, [])).toStrictEqual([]);
      await writer.close();
    });

    it("does not spread when others are pruned: a kept checkpoint that came back before comes back after", async () => {
      for (const at of [0, 3, 7]) {
        const agentId = newAgent();
        const chain = await storeChain(agentId, growing.slice(0, 8));
        const damaged = chain[at] as Link;
        await bench.store.damageRow(damaged.id, { state: flipped(damaged.row.state, 5) });
        const lost = await lostBy(reader, chain, damaged, ["CORRUPT_CHECKPOINT"]);
        const pruned = await bench
          .open({ cacheBytes: 0 })
          .pruneCheckpoints({ agentId, keepLast: 2 })
          .then(
            () => null,
            (error: unknown) => error,
          );
        if (pruned !== null) {
          expectCheckpointError(pruned);
          expect(pruned.code, pruned.message).toBe("CORRUPT_CHECKPOINT");
        }
        for (const link of chain.slice(-2).filter((kept) => !lost.includes(kept))) {
          expect(firstDifference((await reader.retrieveCheckpoint(link.id))?.state, link.state)).toBeNull();
        }
        const left = await reader.listCheckpoints({ agentId });
        const found = await Promise.allSettled(left.map(({ id }) => reader.retrieveCheckpoint(id)));
        for (const [index, outcome] of found.entries()) {
          const link = chain.find(({ id }) => id === left[index]?.id) as Link;
          if (outcome.status === "fulfilled") expect(firstDifference(outcome.value?.state, link.state)).toBeNull();
          else expect(outcome.reason).toMatchObject({ code: "CORRUPT_CHECKPOINT" });
        }
      }
    });

    it("can be deleted with its agent", async () => {
      const agentId = newAgent();
      const chain = await storeChain(agentId, growing.slice(0, 6));
      const before = await bench.store.countRows();
      for (const at of [0, 2, 5]) {
        const { id, row } = chain[at] as Link;
        await bench.store.damageRow(id, { state: flipped(row.state, 4), encoding: "json9+later" });
      }
      expect(await bench.storage.deleteAgent(agentId)).toBe(6);
      expect(await bench.store.countRows()).toBe(before - 6);
      await refusal(reader.retrieveCheckpoint(7 as never), "INVALID_ARGUMENT"); // the storage still works
    });
  });
}

/** Returns the indexes of the first and last bytes, and of some between. */
function sampledIndexes(bytes: Uint8Array): number[] {
  const last = bytes.length - 1;
  const between = Array.from({ length: SAMPLES }, (_, sample) => Math.floor((last * sample) / SAMPLES));
  return [...new Set([...between, 1, 2, 3, last - 2, last - 1, last])].filter((at) => at >= 0 && at <= last);
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] as number) ^ 0xff;
  return changed;
}
