import type { CheckpointStorage } from "@waymark/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent } from "../bench.ts";
import { conversation, prose } from "../conversations.ts";
import { expectCheckpointError, refusal } from "../errors.ts";
import { difference } from "../sameness.ts";
import type { RowDamage, StoredRow } from "../target.ts";

/** How many bytes of a large state are flipped, one by one. */
const SAMPLES = 20;

/** One checkpoint of a line, what it must be, and its row when nothing was wrong with it. */
interface Link {
  readonly id: string;
  readonly state: unknown;
  readonly row: StoredRow;
}

/**
 * A state may be stored as the difference to an earlier one, so that a damaged row damages others. Whatever the damage
 * is, each checkpoint comes back as it was, or the error says that it is lost, and by which row.
 */
export function describeIntegrityChains(bench: Bench): void {
  /** Stores these one after the other, each the child of the one before, as an agent does. */
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

  /** Each comes back as it was, or is told to be lost, and by whom. Returns which were lost. */
  const lostOf = async (
    storage: CheckpointStorage,
    chain: readonly Link[],
    damaged: Link,
    codes: readonly string[],
  ) => {
    const outcomes = await Promise.allSettled(chain.map(({ id }) => storage.retrieveCheckpoint(id)));
    return chain.filter(({ id, state }, index) => {
      const outcome = outcomes[index] as (typeof outcomes)[number];
      if (outcome.status === "fulfilled") {
        expect(difference(outcome.value?.state, state)).toBeNull();
        return false;
      }
      expectCheckpointError(outcome.reason);
      expect(codes, outcome.reason.message).toContain(outcome.reason.code);
      expect(outcome.reason.message).toContain(id);
      expect(outcome.reason.message, "the row that is damaged").toContain(damaged.id);
      return true;
    });
  };

  describe("a damaged row that others may need", () => {
    const growing = Array.from({ length: 12 }, (_, turn) => conversation(7, turn + 6));
    const edited = Array.from({ length: 6 }, (_, turn) => ({ turn, text: prose(7, 5_000), last: turn * turn }));
    const tagged = Array.from({ length: 6 }, (_, turn) => ({
      at: new Date(turn),
      none: undefined,
      ...conversation(8, turn + 3),
      bytes: new Uint8Array(2_000).map((_, index) => index * turn),
    }));
    const lines: Readonly<Record<string, readonly unknown[]>> = {
      "a growing conversation": growing,
      "a text in which little changes": edited,
      "what JSON cannot say": tagged,
    };
    const agents = new Map(Object.keys(lines).map((name) => [name, newAgent()]));
    const chains = new Map<string, Link[]>();
    let reader: CheckpointStorage;

    beforeAll(async () => {
      reader = bench.open({ cacheBytes: 0 });
      for (const [name, states] of Object.entries(lines)) {
        chains.set(name, await storeChain(agents.get(name) as string, states));
      }
    });
    afterAll(() => reader.close());

    it.each(Object.keys(lines))("is told at whichever byte of a state the damage is: %s", async (name) => {
      const chain = chains.get(name) as Link[];
      for (const [place, link] of chain.entries()) {
        // The one before does not need it, all after it may.
        const near = chain.filter((_, index) => Math.abs(index - place) <= 1 || index === chain.length - 1);
        for (const at of placesIn(link.row.state)) {
          await bench.store.damageRow(link.id, { state: flipped(link.row.state, at) });
          const lost = await lostOf(reader, near, link, ["CORRUPT_CHECKPOINT"]);
          expect(lost, `byte ${at} of ${link.row.state.length}`).toContain(link);
        }
        await repair(link);
      }
      expect(await lostOf(reader, chain, chain[0] as Link, [])).toStrictEqual([]);
    });

    it.each(Object.keys(lines))("is told at every byte of a state that is small: %s", async (name) => {
      const chain = chains.get(name) as Link[];
      const smallest = chain.reduce((one, other) => (other.row.state.length < one.row.state.length ? other : one));
      const after = chain.slice(chain.indexOf(smallest)).slice(0, 2);
      for (let at = 0; at < Math.min(smallest.row.state.length, 300); at++) {
        await bench.store.damageRow(smallest.id, { state: flipped(smallest.row.state, at) });
        const lost = await lostOf(reader, after, smallest, ["CORRUPT_CHECKPOINT"]);
        expect(lost, `byte ${at} of ${smallest.row.state.length}`).toContain(smallest);
      }
      await repair(smallest);
    });

    const damages: Readonly<Record<string, (row: StoredRow, chain: readonly Link[]) => RowDamage>> = {
      "a byte of the digest is another": ({ digest }) => ({ digest: flipped(digest, 7) }),
      "the last byte of the digest is another": ({ digest }) => ({ digest: flipped(digest, 31) }),
      "the digest is another row's": ({ digest }, chain) => ({
        digest: (chain.find(({ row }) => Buffer.compare(row.digest, digest) !== 0) as Link).row.digest,
      }),
      "the length is one more": ({ stateBytes }) => ({ stateBytes: stateBytes + 1 }),
      "the length is one less": ({ stateBytes }) => ({ stateBytes: stateBytes - 1 }),
      "the length is 0": () => ({ stateBytes: 0 }),
      "the length is far too much": () => ({ stateBytes: 2_000_000_000 }),
      "the last byte is missing": ({ state }) => ({ state: state.slice(0, -1) }),
      "the first byte is missing": ({ state }) => ({ state: state.slice(1) }),
      "only the half is left": ({ state }) => ({ state: state.slice(0, state.length >> 1) }),
      "nothing is left": () => ({ state: new Uint8Array(0) }),
      "it is another row's state": ({ state }, chain) => ({
        state: (chain.find(({ row }) => Buffer.compare(row.state, state) !== 0) as Link).row.state,
      }),
      "it is noise": ({ state }) => ({ state: Uint8Array.from(state, (_, index) => (index * 89 + 41) % 256) }),
    };
    it.each(Object.entries(damages))("is told, and so is who needs it: %s", async (_, damage) => {
      for (const chain of chains.values()) {
        for (const link of chain) {
          await bench.store.damageRow(link.id, damage(link.row, chain));
          expect(await lostOf(reader, chain, link, ["CORRUPT_CHECKPOINT"])).toContain(link);
          await repair(link);
        }
      }
    });

    it("comes back as it was or is told if it has bytes after its end", async () => {
      for (const chain of chains.values()) {
        for (const link of chain) {
          for (const more of ["\0", " ", "[]", prose(1, 40)]) {
            await bench.store.damageRow(link.id, { state: Buffer.concat([link.row.state, Buffer.from(more)]) });
            await lostOf(reader, chain, link, ["CORRUPT_CHECKPOINT"]);
          }
          await repair(link);
        }
      }
    });

    it("is told if it says that it is encoded in another way, which may be one that a newer version writes", async () => {
      for (const chain of chains.values()) {
        const others = new Set(["json9+later", "", ...[...chains.values()].flat().map(({ row }) => row.encoding)]);
        for (const link of chain) {
          for (const encoding of others) {
            if (encoding === link.row.encoding) continue;
            await bench.store.damageRow(link.id, { encoding });
            const lost = await lostOf(reader, chain, link, ["CORRUPT_CHECKPOINT", "UNSUPPORTED_FORMAT"]);
            expect(lost, `${link.row.encoding} as ${encoding}`).toContain(link);
          }
          await repair(link);
        }
      }
    });

    it("breaks no list, no count and no line of ancestors", async () => {
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

    it("is not remembered: a storage that was told reads it when it is whole again", async () => {
      for (const chain of chains.values()) {
        const storage = bench.open();
        const middle = chain[chain.length >> 1] as Link;
        await bench.store.damageRow(middle.id, { state: flipped(middle.row.state, 1) });
        expect(await lostOf(storage, chain, middle, ["CORRUPT_CHECKPOINT"])).toContain(middle);
        await repair(middle);
        expect(await lostOf(storage, chain, middle, [])).toStrictEqual([]);
        await storage.close();
      }
    });

    it("does not spoil what is stored after it by a storage that must read it, and what that stores comes back", async () => {
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
            expect(difference((await other.retrieveCheckpoint(id))?.state, next)).toBeNull();
          }
        }
        await lostOf(reader, chain, middle, ["CORRUPT_CHECKPOINT"]);
        await repair(middle);
        expect(await lostOf(reader, chain, middle, [])).toStrictEqual([]);
        await storage.close();
      }
    });

    it("is lost alone where a storage that has its state at hand stores on: others come back, or are told by its id", async () => {
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
        expect(await lostOf(storage, chain, damaged, ["CORRUPT_CHECKPOINT"])).toContain(damaged);
      }
      await repair(damaged);
      expect(await lostOf(reader, chain, damaged, [])).toStrictEqual([]);
      await writer.close();
    });

    it("takes nothing along when it is pruned around: what came back before and is kept comes back after", async () => {
      for (const at of [0, 3, 7]) {
        const agentId = newAgent();
        const chain = await storeChain(agentId, growing.slice(0, 8));
        const damaged = chain[at] as Link;
        await bench.store.damageRow(damaged.id, { state: flipped(damaged.row.state, 5) });
        const lost = await lostOf(reader, chain, damaged, ["CORRUPT_CHECKPOINT"]);
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
          expect(difference((await reader.retrieveCheckpoint(link.id))?.state, link.state)).toBeNull();
        }
        const left = await reader.listCheckpoints({ agentId });
        const found = await Promise.allSettled(left.map(({ id }) => reader.retrieveCheckpoint(id)));
        for (const [index, outcome] of found.entries()) {
          const link = chain.find(({ id }) => id === left[index]?.id) as Link;
          if (outcome.status === "fulfilled") expect(difference(outcome.value?.state, link.state)).toBeNull();
          else expect(outcome.reason).toMatchObject({ code: "CORRUPT_CHECKPOINT" });
        }
      }
    });

    it("can be got rid of with all that its agent has", async () => {
      const agentId = newAgent();
      const chain = await storeChain(agentId, growing.slice(0, 6));
      const before = await bench.store.countRows();
      for (const at of [0, 2, 5]) {
        const { id, row } = chain[at] as Link;
        await bench.store.damageRow(id, { state: flipped(row.state, 4), encoding: "json9+later" });
      }
      expect(await bench.storage.deleteAgent(agentId)).toBe(6);
      expect(await bench.store.countRows()).toBe(before - 6);
      await refusal(reader.retrieveCheckpoint(7 as never), "INVALID_ARGUMENT"); // it works on
    });
  });
}

/** The first and the last bytes, and some between. */
function placesIn(bytes: Uint8Array): number[] {
  const last = bytes.length - 1;
  const between = Array.from({ length: SAMPLES }, (_, sample) => Math.floor((last * sample) / SAMPLES));
  return [...new Set([...between, 1, 2, 3, last - 2, last - 1, last])].filter((at) => at >= 0 && at <= last);
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] as number) ^ 0xff;
  return changed;
}
