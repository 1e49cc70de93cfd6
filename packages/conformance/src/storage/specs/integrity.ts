import type { CheckpointErrorCode, CheckpointStorage } from "@waymark/core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import type { RowDamage, StoredRow } from "../target.ts";

const SMALL = { turn: 7 };
const LARGE = { turns: Array.from({ length: 3_000 }, (_, turn) => ({ turn, text: "the same text again" })) };
const TAGGED = { at: new Date(0), count: 1n };

type Damage = [name: string, state: unknown, damage: (row: StoredRow) => RowDamage, code?: CheckpointErrorCode];

export function describeIntegrity(bench: Bench): void {
  const damages: Damage[] = [
    ["a byte of a small state is changed", SMALL, ({ state }) => ({ state: withByte(state, 3) })],
    ["the first byte of a small state is changed", SMALL, ({ state }) => ({ state: withByte(state, 0) })],
    ["the last byte of a small state is changed", SMALL, ({ state }) => ({ state: withByte(state, state.length - 1) })],
    ["one digit of a small state is changed", SMALL, ({ state }) => ({ state: replaced(state, "7", "8") })],
    ["a small state is cut short", SMALL, ({ state }) => ({ state: state.slice(0, -1) })],
    [
      "a small state has bytes after its end",
      SMALL,
      ({ state }) => ({ state: Buffer.concat([state, Buffer.from(" ")]) }),
    ],
    ["a small state is empty", SMALL, () => ({ state: new Uint8Array(0) })],
    [
      "a byte in the middle of a compressed state is changed",
      LARGE,
      ({ state }) => ({ state: withByte(state, state.length >> 1) }),
    ],
    ["the first byte of a compressed state is changed", LARGE, ({ state }) => ({ state: withByte(state, 0) })],
    [
      "a compressed state is cut to 65,535 bytes or half of it",
      LARGE,
      ({ state }) => ({ state: state.slice(0, Math.min(65_535, state.length >> 1)) }),
    ],
    ["a compressed state is empty", LARGE, () => ({ state: new Uint8Array(0) })],
    [
      "the encoding of a compressed state says that it is not compressed",
      LARGE,
      ({ encoding }) => ({ encoding: encoding.replace("+deflate", "") }),
    ],
    [
      "the encoding of a small state says that it is compressed",
      SMALL,
      () => ({ encoding: bench.encoding("json+deflate") }),
    ],
    ["the encoding of a tagged state says JSON", TAGGED, () => ({ encoding: bench.encoding("json") })],
    ["a byte of the digest is changed", SMALL, ({ digest }) => ({ digest: withByte(digest, 31) })],
    ["the length is one more", SMALL, ({ stateBytes }) => ({ stateBytes: stateBytes + 1 })],
    ["the length is one less", SMALL, ({ stateBytes }) => ({ stateBytes: stateBytes - 1 })],
    ["the length of a compressed state is one less", LARGE, ({ stateBytes }) => ({ stateBytes: stateBytes - 1 })],
    ["the length of a compressed state is 0", LARGE, () => ({ stateBytes: 0 })],
    ["the length is far too large", LARGE, () => ({ stateBytes: 2_000_000_000 })],
    ["the encoding is one of a newer version", SMALL, () => ({ encoding: "json9+later" }), "UNSUPPORTED_FORMAT"],
  ];
  const opposite = bench.target.encrypted ? "the state is not encrypted" : "the state is encrypted";
  const otherwise = bench.target.encrypted ? "json" : "json+sealed";
  damages.push([`the encoding says that ${opposite}`, SMALL, () => ({ encoding: otherwise }), "ENCRYPTION_MISMATCH"]);

  describe("a damaged row", () => {
    let reader: CheckpointStorage; // without a cache
    beforeEach(async () => {
      reader = bench.open({ cacheBytes: 0 });
      await reader.health(); // opened before the damage: opening checks that the newest row is encrypted as configured
      return () => reader.close();
    });

    it.each(damages)(
      "is reported when it is retrieved, and breaks no list: %s",
      async (_, state, damage, code = "CORRUPT_CHECKPOINT") => {
        const agentId = newAgent();
        const [before = ""] = (await storeMany(bench.storage, agentId, 1)).ids;
        const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state, metadata: { a: 1 } }));
        const listed = await bench.storage.listCheckpoints({ agentId });
        const row = (await bench.store.readRow(id)) as StoredRow;
        const changed = damage(row);
        await bench.store.damageRow(id, changed);
        expect(await bench.store.readRow(id)).not.toEqual(row);

        const error = await refusal(reader.retrieveCheckpoint(id), code);
        expect(error.message).toContain(id);
        expect(error.retryable).toBe(false);
        await refusal(reader.retrieveLatestCheckpoint(agentId), code);
        await refusal(bench.open().retrieveCheckpoint(id), code);
        expect(await reader.listCheckpoints({ agentId })).toStrictEqual(listed);
        expect(await collect(reader.iterateCheckpoints({ agentId }))).toStrictEqual(listed);
        expect(await collect(reader.iterateAncestors(id))).toStrictEqual(listed.slice(0, 1));
        expect(await reader.stats({ agentId })).toMatchObject({ checkpoints: 2 });
        expect(await reader.retrieveCheckpoint(before)).toMatchObject({ id: before });

        await bench.store.damageRow(id, {
          encoding: row.encoding,
          state: row.state,
          stateBytes: row.stateBytes,
          digest: row.digest,
        });
        for (const storage of [reader, bench.storage]) {
          expect(await storage.retrieveCheckpoint(id)).toMatchObject({ id, state });
        }
      },
    );

    it("is reported or not read by a storage that has the state in its cache", async () => {
      const state = { text: "at hand" };
      const agentId = newAgent();
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state }));
      const row = (await bench.store.readRow(id)) as StoredRow;
      await bench.store.damageRow(id, { state: replaced(row.state, "hand", "hook") });
      const outcomes = await Promise.allSettled([
        bench.storage.retrieveCheckpoint(id),
        bench.storage.retrieveLatestCheckpoint(agentId),
      ]);
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") expect(outcome.value).toMatchObject({ id, state });
        else expect(outcome.reason).toMatchObject({ code: "CORRUPT_CHECKPOINT" });
      }
    });

    it("is reported for a change of any byte of the state", async () => {
      const id = await bench.storage.storeCheckpoint(
        checkpointOf(newAgent(), { state: { text: "Grüße", n: [1, 2.5, true] } }),
      );
      const { state } = (await bench.store.readRow(id)) as StoredRow;
      for (let at = 0; at < state.length; at++) {
        await bench.store.damageRow(id, { state: withByte(state, at) });
        await refusal(reader.retrieveCheckpoint(id), "CORRUPT_CHECKPOINT");
      }
    });

    it("is reported if its encoding would decode the text to another value", async () => {
      const state = { $: ["undefined"] }; // plain JSON that looks like Waymark's own encoding of undefined
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));
      await bench.store.damageRow(id, { encoding: bench.encoding("tagged") });
      await refusal(reader.retrieveCheckpoint(id), "CORRUPT_CHECKPOINT");
    });

    it("does not block stores, deletes and prunes", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 3);
      for (const id of ids) await bench.store.damageRow(id, { state: Buffer.from("{") });
      const next = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: ids[2] as string });
      expect(await bench.storage.deleteCheckpoint(ids[0] as string)).toBe(true);
      expect(await bench.storage.pruneCheckpoints({ agentId, keepLast: 1 })).toMatchObject({ examined: 3, removed: 2 });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: next });
    });
  });

  describe("a damaged write", () => {
    it("is rejected with CORRUPT_CHECKPOINT when it is listed, and breaks nothing else", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 2);
      const [damaged = "", other = ""] = ids;
      for (const id of ids) {
        const writes = [0, -1].map((index) => ({ taskId: "task", index, channel: "channel", value: id }));
        await bench.storage.appendWrites(id, writes);
      }
      await bench.store.damageWrites(damaged, { state: Buffer.from('"other"') });
      const error = await refusal(bench.storage.listWrites(damaged), "CORRUPT_CHECKPOINT");
      expect(error.message).toContain(damaged);
      expect(await bench.storage.listWrites(other)).toHaveLength(2);
      expect(await bench.storage.retrieveCheckpoint(damaged)).toMatchObject({ agentId });
      expect(await bench.storage.deleteAgent(agentId)).toBe(2);
    });
  });
}

function withByte(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] as number) ^ 0x01;
  return changed;
}

function replaced(bytes: Uint8Array, old: string, by: string): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString("utf8").replace(old, by));
}
