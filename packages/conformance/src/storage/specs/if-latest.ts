import type { CheckpointStorage } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const WRITERS = 12;

export function describeIfLatest(bench: Bench): void {
  describe("storeCheckpoint with ifLatest", () => {
    it("stores if ifLatest is the id of the latest checkpoint", async () => {
      const agentId = newAgent();
      const first = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      const second = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: first });
      const third = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: second.toUpperCase() });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: third });
    });

    it("rejects with CONFLICT if another checkpoint is the latest, and writes nothing", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 2);
      const before = await bench.store.countRows();
      for (const ifLatest of [ids[0] as string, null, idAt(Date.now())]) {
        await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest }), "CONFLICT");
      }
      expect(await bench.store.countRows()).toBe(before);
    });

    it("null means that there must be no checkpoint; an id, that there must be this one", async () => {
      const agentId = newAgent();
      await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: idAt(Date.now()) }), "CONFLICT");
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null }), "CONFLICT");
    });

    it("compares with the latest of one namespace", async () => {
      const agentId = newAgent();
      const inDefault = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { namespace: "sub" }), { ifLatest: null });
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: inDefault });
    });

    it("does not block stores without ifLatest, which change the latest", async () => {
      const agentId = newAgent();
      const first = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      const plain = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      await refusal(bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: first }), "CONFLICT");
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: plain });
    });

    it("accepts the one before as the latest when the latest was deleted", async () => {
      const agentId = newAgent();
      const first = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
      const second = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: first });
      await bench.storage.deleteCheckpoint(second);
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: first });
      await bench.storage.deleteAgent(agentId);
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: null });
    });

    it("lets the winner repeat its store, also after others have stored", async () => {
      const agentId = newAgent();
      const checkpoint = checkpointOf(agentId, { id: idAt(Date.now()) });
      const id = await bench.storage.storeCheckpoint(checkpoint, { ifLatest: null });
      await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: id });
      const before = await bench.store.countRows();
      expect(await bench.storage.storeCheckpoint(checkpoint, { ifLatest: null })).toBe(id);
      expect(await bench.store.countRows()).toBe(before);
    });

    it("does not block the next writer when the caller's own id is older than the latest", async () => {
      const agentId = newAgent();
      const latest = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const older = checkpointOf(agentId, { id: idAt(1_000) });
      await bench.storage.storeCheckpoint(older, { ifLatest: latest }).catch(() => {}); // either outcome is fine
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: latest });
      const next = await bench.storage.storeCheckpoint(checkpointOf(agentId), { ifLatest: latest });
      expect(await bench.storage.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: next });
    });

    it("lets exactly one of many writers win each round, and rejects the others", async () => {
      await race(bench.storage, () => bench.storage);
    });

    it("lets exactly one of many writers win that have storages of their own", async () => {
      const storages = Array.from({ length: 4 }, () => bench.open());
      await race(bench.storage, (writer) => storages[writer % storages.length] as CheckpointStorage);
    });
  });
}

async function race(reader: CheckpointStorage, storageOf: (writer: number) => CheckpointStorage): Promise<void> {
  const agentId = newAgent();
  let ifLatest: string | null = null;
  for (let round = 0; round < 10; round++) {
    const stores = Array.from({ length: WRITERS }, (_, writer) =>
      storageOf(writer).storeCheckpoint(checkpointOf(agentId, { state: { round, writer } }), { ifLatest }),
    );
    const outcomes = await Promise.allSettled(stores);
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const codes = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
    expect(won).toHaveLength(1);
    expect(codes).toStrictEqual(Array.from({ length: WRITERS - 1 }, () => "CONFLICT"));
    expect(await reader.retrieveLatestCheckpoint(agentId)).toMatchObject({ id: won[0], state: { round } });
    ifLatest = won[0] as string;
  }
  expect(await reader.stats({ agentId })).toMatchObject({ checkpoints: 10 });
}
