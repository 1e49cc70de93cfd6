import type { NamedAgentCheckpoint } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function describeStore(bench: Bench): void {
  describe("storeCheckpoint", () => {
    it("returns a UUIDv7, made by the library, in lower case", async () => {
      expect(await bench.storage.storeCheckpoint(checkpointOf(newAgent()))).toMatch(UUID_V7);
    });

    it("has written one row, with the head as it was given, when it resolves", async () => {
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

    it("takes a UUIDv7 of the caller's own", async () => {
      const id = idAt(Date.now());
      expect(await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { id }))).toBe(id);
      expect((await bench.storage.retrieveCheckpoint(id))?.id).toBe(id);
    });

    it("takes ids in upper case, and gives them back in lower case", async () => {
      const [id, parentId] = [idAt(Date.now()), idAt(Date.now())];
      const upper = checkpointOf(newAgent(), { id: id.toUpperCase(), parentId: parentId.toUpperCase() });
      expect(await bench.storage.storeCheckpoint(upper)).toBe(id);
      expect(await bench.storage.retrieveCheckpoint(id.toUpperCase())).toMatchObject({ id, parentId });
    });

    it("does nothing when the same id is stored again with the same content", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), metadata: { a: 1 }, namespace: "n" });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const before = await bench.store.countRows();
      expect(await bench.storage.storeCheckpoint({ ...checkpoint, id: id.toUpperCase() })).toBe(id);
      expect(await bench.store.countRows()).toBe(before);
    });

    it("stores one checkpoint when the same id is stored many times at once", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()) });
      const before = await bench.store.countRows();
      const ids = await Promise.all(Array.from({ length: 20 }, () => bench.storage.storeCheckpoint(checkpoint)));
      expect(new Set(ids)).toEqual(new Set([checkpoint.id]));
      expect(await bench.store.countRows()).toBe(before + 1);
    });

    const others: Record<string, Partial<NamedAgentCheckpoint>> = {
      state: { state: { turn: 2 } },
      "state that only looks the same when encoded": { state: { turn: 1n } },
      agentId: { agentId: newAgent("other") },
      namespace: { namespace: "other" },
      name: { name: "Turn" },
      createdAt: { createdAt: 1_700_000_000_001 },
      parentId: { parentId: idAt(1_700_000_000_000) },
      metadata: { metadata: { a: "1" } },
    };
    it.each(Object.entries(others))("refuses the same id with another %s, and changes nothing", async (_, other) => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), metadata: { a: 1 } });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const stored = await bench.storage.retrieveCheckpoint(id);
      await refusal(bench.storage.storeCheckpoint({ ...checkpoint, ...other }), "CONFLICT");
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual(stored);
    });

    it("refuses the same id with a state that is written like an undefined one", async () => {
      const checkpoint = checkpointOf(newAgent(), { id: idAt(Date.now()), state: undefined });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const text = bench.target.encrypted ? '{"$":["undefined"]}' : await textOf(bench, id);
      await refusal(bench.storage.storeCheckpoint({ ...checkpoint, state: JSON.parse(text) }), "CONFLICT");
    });

    it("stores what the state was at the call, whatever happens to it afterwards", async () => {
      const state = {
        list: [1, 2, 3],
        map: new Map([["a", [1]]]),
        bytes: new Uint8Array([1, 2, 3]),
        text: "x".repeat(100_000),
      };
      const metadata = { label: "before" };
      const checkpoint = { ...checkpointOf(newAgent()), state, metadata };
      const stored = bench.storage.storeCheckpoint(checkpoint);
      state.list.push(4);
      state.map.get("a")?.push(2);
      state.bytes.fill(9);
      state.text = "y";
      metadata.label = "after";
      checkpoint.name = "renamed";
      const back = await bench.storage.retrieveCheckpoint(await stored);
      expect(back?.state).toStrictEqual({
        list: [1, 2, 3],
        map: new Map([["a", [1]]]),
        bytes: new Uint8Array([1, 2, 3]),
        text: "x".repeat(100_000),
      });
      expect(back).toMatchObject({ name: "turn", metadata: { label: "before" } });
    });

    it("takes a parent that is not stored here", async () => {
      const parentId = idAt(1_600_000_000_000);
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { parentId }));
      expect((await bench.storage.retrieveCheckpoint(id))?.parentId).toBe(parentId);
    });

    const accepted: Record<string, Partial<NamedAgentCheckpoint>> = {
      "an agentId of 1 byte": { agentId: "\u{7f}" },
      "an agentId of 255 bytes": { agentId: `${newAgent()}-${"é".repeat(106)}` },
      "a namespace of 1,024 bytes": { namespace: "🚀".repeat(256) },
      "a namespace that is empty": { namespace: "" },
      "a name that is empty": { name: "" },
      "a name of 16 KiB": { name: "名".repeat(5_461) },
      "the earliest createdAt": { createdAt: -8_640_000_000_000_000 },
      "the latest createdAt": { createdAt: 8_640_000_000_000_000 },
      "a createdAt of 0": { createdAt: 0 },
    };
    it.each(Object.entries(accepted))("takes %s, and gives it back as it is", async (_, members) => {
      const checkpoint = checkpointOf(newAgent(), members);
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const { namespace, ...expected } = { ...checkpoint, id };
      const back = await bench.storage.retrieveCheckpoint(id);
      expect(back).toStrictEqual(namespace ? { ...expected, namespace } : expected);
    });

    const refused: Record<string, readonly [member: string, members: Record<string, unknown>]> = {
      "an agentId that is empty": ["agentId", { agentId: "" }],
      "an agentId of 256 bytes": ["agentId", { agentId: "é".repeat(128) }],
      "an agentId with NUL": ["agentId", { agentId: "a\0b" }],
      "an agentId with a lone surrogate": ["agentId", { agentId: "a\ud800b" }],
      "an agentId that is a number": ["agentId", { agentId: 7 }],
      "a missing agentId": ["agentId", { agentId: undefined }],
      "a namespace of 1,025 bytes": ["namespace", { namespace: "n".repeat(1_025) }],
      "a namespace with NUL": ["namespace", { namespace: "\0" }],
      "a namespace with a lone surrogate": ["namespace", { namespace: "\udc00" }],
      "a namespace that is null": ["namespace", { namespace: null }],
      "a name over 16 KiB": ["name", { name: "n".repeat(16_385) }],
      "a name with NUL": ["name", { name: "n\0" }],
      "a name with a lone surrogate": ["name", { name: "\ud83d" }],
      "a missing name": ["name", { name: undefined }],
      "a createdAt that is a string": ["createdAt", { createdAt: "2026-01-01" }],
      "a createdAt that is a Date": ["createdAt", { createdAt: new Date(0) }],
      "a createdAt that is NaN": ["createdAt", { createdAt: Number.NaN }],
      "a createdAt with a fraction": ["createdAt", { createdAt: 0.5 }],
      "a createdAt that no Date can have": ["createdAt", { createdAt: 8_640_000_000_000_001 }],
      "an id that is no UUID": ["id", { id: "turn-1" }],
      "an id that is a UUIDv4": ["id", { id: "9b2c1d3e-4f5a-4b6c-8d7e-0f1a2b3c4d5e" }],
      "an id that is a number": ["id", { id: 1 }],
      "a parentId that is no UUIDv7": ["parentId", { parentId: "the one before" }],
      "a member that is not known": ["agentID", { agentID: "typing error" }],
    };
    it.each(Object.entries(refused))(
      "refuses %s, names the member, and writes nothing",
      async (_, [member, members]) => {
        const before = await bench.store.countRows();
        const checkpoint = { ...checkpointOf(newAgent()), ...members } as NamedAgentCheckpoint;
        const error = await refusal(bench.storage.storeCheckpoint(checkpoint), "INVALID_ARGUMENT");
        expect(error.message).toContain(member);
        expect(await bench.store.countRows()).toBe(before);
      },
    );

    it("refuses a checkpoint without a state, and takes undefined as one", async () => {
      const agentId = newAgent();
      const { state: _, ...stateless } = checkpointOf(agentId);
      await refusal(bench.storage.storeCheckpoint(stateless as NamedAgentCheckpoint), "INVALID_ARGUMENT");
      const id = await bench.storage.storeCheckpoint({ ...stateless, state: undefined });
      expect(await bench.storage.retrieveCheckpoint(id)).toHaveProperty("state", undefined);
    });

    it.each([null, "checkpoint", 7, []])("refuses %j as a checkpoint", async (checkpoint) => {
      await refusal(bench.storage.storeCheckpoint(checkpoint as never), "INVALID_ARGUMENT");
    });

    it("refuses an option that is not known", async () => {
      const options = { iflatest: null } as object;
      await refusal(bench.storage.storeCheckpoint(checkpointOf(newAgent()), options), "INVALID_ARGUMENT");
    });
  });
}

async function textOf(bench: Bench, id: string): Promise<string> {
  const row = await bench.store.readRow(id);
  expect(row?.encoding).not.toContain("deflate");
  return Buffer.from(row?.state ?? []).toString("utf8");
}
