import type { NamedAgentCheckpoint } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function describeStore(bench: Bench): void {
  describe("storeCheckpoint", () => {
    it("returns a new UUIDv7 in lower case", async () => {
      expect(await bench.storage.storeCheckpoint(checkpointOf(newAgent()))).toMatch(UUID_V7);
    });

    it("has written one row, with the members that were given, once it resolves", async () => {
      const before = await bench.store.countRows();
      const checkpoint = checkpointOf(newAgent("Ägent 名 🚀"), {
        namespace: "sub/名",
        name: "First turn\nsecond line 🚀",
      });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      expect(await bench.store.countRows()).toBe(before + 1);
      const { agentId, namespace, name } = checkpoint;
      expect(await bench.store.readRow(id)).toMatchObject({ agentId, namespace, name });
    });

    it("accepts the caller's own UUIDv7", async () => {
      const id = idAt(Date.now());
      expect(await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { id }))).toBe(id);
      expect((await bench.storage.retrieveCheckpoint(id))?.id).toBe(id);
    });

    it("accepts ids in upper case, and returns them in lower case", async () => {
      const [id, parentId] = [idAt(Date.now()), idAt(Date.now())];
      const upper = checkpointOf(newAgent(), { id: id.toUpperCase(), parentId: parentId.toUpperCase() });
      expect(await bench.storage.storeCheckpoint(upper)).toBe(id);
      expect(await bench.storage.retrieveCheckpoint(id.toUpperCase())).toMatchObject({ id, parentId });
    });

    it("does nothing if the same id is stored again with the same content", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), metadata: { a: 1 }, namespace: "n" });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const before = await bench.store.countRows();
      expect(await bench.storage.storeCheckpoint({ ...checkpoint, id: id.toUpperCase() })).toBe(id);
      expect(await bench.store.countRows()).toBe(before);
    });

    it("stores one checkpoint if the same id is stored many times at once", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()) });
      const before = await bench.store.countRows();
      const ids = await Promise.all(Array.from({ length: 20 }, () => bench.storage.storeCheckpoint(checkpoint)));
      expect(new Set(ids)).toEqual(new Set([checkpoint.id]));
      expect(await bench.store.countRows()).toBe(before + 1);
    });

    const others: Record<string, Partial<NamedAgentCheckpoint>> = {
      "another state": { state: { turn: 2 } },
      "a bigint for the number in the state": { state: { turn: 1n } },
      "another agentId": { agentId: newAgent("other") },
      "another namespace": { namespace: "other" },
      "another name": { name: "Turn" },
      "another createdAt": { createdAt: 1_700_000_000_001 },
      "another parentId": { parentId: idAt(1_700_000_000_000) },
      "other metadata": { metadata: { a: "1" } },
    };
    it.each(Object.entries(others))(
      "rejects an id that is taken with CONFLICT, and changes nothing: %s",
      async (_, other) => {
        const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), metadata: { a: 1 } });
        const id = await bench.storage.storeCheckpoint(checkpoint);
        const stored = await bench.storage.retrieveCheckpoint(id);
        await refusal(bench.storage.storeCheckpoint({ ...checkpoint, ...other }), "CONFLICT");
        expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual(stored);
      },
    );

    it("rejects an id that is taken with CONFLICT if the state is the text that encodes the stored one", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), state: undefined });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const text = bench.target.encrypted ? '{"$":["undefined"]}' : await textOf(bench, id);
      await refusal(bench.storage.storeCheckpoint({ ...checkpoint, state: JSON.parse(text) }), "CONFLICT");
    });

    it("accepts a parentId that is not stored", async () => {
      const parentId = idAt(1_600_000_000_000);
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { parentId }));
      expect((await bench.storage.retrieveCheckpoint(id))?.parentId).toBe(parentId);
    });

    const accepted: Record<string, Partial<NamedAgentCheckpoint>> = {
      "an agentId of 1 byte": { agentId: "\u{7f}" },
      "an agentId of 255 bytes": { agentId: `${newAgent()}-${"é".repeat(106)}` },
      "a namespace of 1,024 bytes": { namespace: "🚀".repeat(256) },
      "an empty namespace": { namespace: "" },
      "an empty name": { name: "" },
      "a name of 16 KiB": { name: "名".repeat(5_461) },
      "the earliest createdAt": { createdAt: -8_640_000_000_000_000 },
      "the latest createdAt": { createdAt: 8_640_000_000_000_000 },
      "a createdAt of 0": { createdAt: 0 },
    };
    it.each(Object.entries(accepted))("accepts %s, and returns it unchanged", async (_, members) => {
      const checkpoint = checkpointOf(newAgent(), members);
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const { namespace, ...expected } = { ...checkpoint, id };
      const back = await bench.storage.retrieveCheckpoint(id);
      expect(back).toStrictEqual(namespace ? { ...expected, namespace } : expected);
    });
  });
}

async function textOf(bench: Bench, id: string): Promise<string> {
  const row = await bench.store.readRow(id);
  expect(row?.encoding).not.toContain("deflate");
  return Buffer.from(row?.state ?? []).toString("utf8");
}
