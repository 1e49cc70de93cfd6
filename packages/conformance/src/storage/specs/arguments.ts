import type {
  AgentsQuery,
  CheckpointMetadata,
  CheckpointWrite,
  ListQuery,
  NamedAgentCheckpoint,
  PrunePolicy,
} from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, collect, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { HOSTILE_TEXTS } from "../hostile-texts.ts";
import { idAt } from "../ids.ts";

/** Arguments that are refused before the database is reached. */
export function describeArguments(bench: Bench): void {
  describe("the options of a storage", () => {
    it.each([
      { operationTimeoutMs: 0 },
      { operationTimeoutMs: "1s" },
      { migrate: "never" },
      { tablePrefix: 7 },
      { cacheBytes: -1 },
      { cacheBytes: 0.5 },
      { cacheBytes: Number.NaN },
      { cacheBytes: Number.POSITIVE_INFINITY },
      { cacheBytes: "1" },
      { cacheBytes: null },
      { freeze: "yes" },
      { freeze: 1 },
      { freeze: null },
      { databasepath: "x" },
      { encryption: undefined },
    ])("are refused if they are %o: the error names the wrong one", async (options) => {
      const error = await refusal(async () => bench.open(options as object).listAgents(), "INVALID_ARGUMENT");
      expect(error.message).toContain(Object.keys(options)[0]);
    });

    it("are refused with hostile text as tablePrefix", async () => {
      for (const tablePrefix of HOSTILE_TEXTS.filter((text) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(text))) {
        // Either when the storage is made or when it is first used.
        await refusal(async () => bench.open({ tablePrefix }).listAgents(), "INVALID_ARGUMENT");
      }
    });
  });

  describe("the arguments of storeCheckpoint", () => {
    const members: Record<string, readonly [member: string, members: Record<string, unknown>]> = {
      "an empty agentId": ["agentId", { agentId: "" }],
      "an agentId of 256 bytes": ["agentId", { agentId: "é".repeat(128) }],
      "an agentId with NUL": ["agentId", { agentId: "a\0b" }],
      "an agentId with a lone surrogate": ["agentId", { agentId: "a\ud800b" }],
      "a number as agentId": ["agentId", { agentId: 7 }],
      "no agentId": ["agentId", { agentId: undefined }],
      "a namespace of 1,025 bytes": ["namespace", { namespace: "n".repeat(1_025) }],
      "a namespace with NUL": ["namespace", { namespace: "\0" }],
      "a namespace with a lone surrogate": ["namespace", { namespace: "\udc00" }],
      "null as namespace": ["namespace", { namespace: null }],
      "a name over 16 KiB": ["name", { name: "n".repeat(16_385) }],
      "a name with NUL": ["name", { name: "n\0" }],
      "a name with a lone surrogate": ["name", { name: "\ud83d" }],
      "no name": ["name", { name: undefined }],
      "a string as createdAt": ["createdAt", { createdAt: "2026-01-01" }],
      "a Date as createdAt": ["createdAt", { createdAt: new Date(0) }],
      "NaN as createdAt": ["createdAt", { createdAt: Number.NaN }],
      "a fraction as createdAt": ["createdAt", { createdAt: 0.5 }],
      "a createdAt beyond the range of Date": ["createdAt", { createdAt: 8_640_000_000_000_001 }],
      "an id that is not a UUID": ["id", { id: "turn-1" }],
      "a UUIDv4 as id": ["id", { id: "9b2c1d3e-4f5a-4b6c-8d7e-0f1a2b3c4d5e" }],
      "a number as id": ["id", { id: 1 }],
      "a parentId that is not a UUIDv7": ["parentId", { parentId: "the one before" }],
      "an unknown member": ["agentID", { agentID: "typing error" }],
    };
    it.each(Object.entries(members))(
      "are refused with %s: the error names the member, and nothing is written",
      async (_, [member, wrong]) => {
        const before = await bench.store.countRows();
        const checkpoint = { ...checkpointOf(newAgent()), ...wrong } as NamedAgentCheckpoint;
        const error = await refusal(bench.storage.storeCheckpoint(checkpoint), "INVALID_ARGUMENT");
        expect(error.message).toContain(member);
        expect(await bench.store.countRows()).toBe(before);
      },
    );

    it("are refused without a state, but undefined is a state", async () => {
      const agentId = newAgent();
      const { state: _, ...stateless } = checkpointOf(agentId);
      await refusal(bench.storage.storeCheckpoint(stateless as NamedAgentCheckpoint), "INVALID_ARGUMENT");
      const id = await bench.storage.storeCheckpoint({ ...stateless, state: undefined });
      expect(await bench.storage.retrieveCheckpoint(id)).toHaveProperty("state", undefined);
    });

    it.each([null, "checkpoint", 7, []])("are refused with %j as the checkpoint", async (checkpoint) => {
      await refusal(bench.storage.storeCheckpoint(checkpoint as never), "INVALID_ARGUMENT");
    });

    it("are refused with an unknown option", async () => {
      const options = { iflatest: null } as object;
      await refusal(bench.storage.storeCheckpoint(checkpointOf(newAgent()), options), "INVALID_ARGUMENT");
    });

    it.each(["", "no id", 7, undefined])("are refused with %j as ifLatest", async (ifLatest) => {
      const call = bench.storage.storeCheckpoint(checkpointOf(newAgent()), { ifLatest: ifLatest as string });
      await refusal(call, "INVALID_ARGUMENT");
    });

    const metadatas: Record<string, unknown> = {
      "an array": [1],
      "a Map": new Map([["a", 1]]),
      "an instance of a class": new (class Labels {})(),
      "a string": "a=1",
      null: null,
      "an object with an object in it": { a: {} },
      "an object with undefined in it": { a: undefined },
      "an object with NaN in it": { a: Number.NaN },
      "an object with Infinity in it": { a: Number.POSITIVE_INFINITY },
      "an object with a bigint in it": { a: 1n },
      "an object with a Date in it": { a: new Date(0) },
      "an object with a function in it": { a: () => 1 },
      "an object with a symbol as a key": { [Symbol("a")]: 1 },
    };
    it.each(Object.entries(metadatas))(
      "are refused with %s as metadata, and so is a filter by it",
      async (_, value) => {
        const metadata = value as CheckpointMetadata;
        const before = await bench.store.countRows();
        await refusal(bench.storage.storeCheckpoint(checkpointOf(newAgent(), { metadata })), "INVALID_ARGUMENT");
        await refusal(bench.storage.listCheckpoints({ agentId: "a", metadata }), "INVALID_ARGUMENT");
        expect(await bench.store.countRows()).toBe(before);
      },
    );
  });

  describe("the arguments of retrieveCheckpoint", () => {
    it.each([undefined, null, 7, {}, ["id"], true])("are refused with %j as the id", async (id) => {
      await refusal(bench.storage.retrieveCheckpoint(id as never), "INVALID_ARGUMENT");
    });

    it.each([
      "",
      "7",
      "no such id",
      "not-a-uuid-at-all-but-thirty-six-cha",
      "00000000-0000-0000-0000-000000000000",
      "\0",
      "\ud800",
    ])("may have the id %j, which no checkpoint can have: the result is null", async (id) => {
      expect(await bench.storage.retrieveCheckpoint(id)).toBeNull();
    });

    it("are refused with an unknown option", async () => {
      await refusal(bench.storage.retrieveCheckpoint(idAt(0), { timeout: 1 } as object), "INVALID_ARGUMENT");
    });
  });

  describe("the arguments of retrieveLatestCheckpoint", () => {
    it("are refused with an empty agentId, without an agentId, and with an unknown query member", async () => {
      await refusal(bench.storage.retrieveLatestCheckpoint(""), "INVALID_ARGUMENT");
      await refusal(bench.storage.retrieveLatestCheckpoint(undefined as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.retrieveLatestCheckpoint("a", { name: "n" } as object), "INVALID_ARGUMENT");
    });
  });

  describe("the query of listCheckpoints", () => {
    it.each([0, -1, 1.5, 10_001, Number.NaN, Number.POSITIVE_INFINITY, "10", null])(
      "is refused with a limit of %o",
      async (limit) => {
        const error = await refusal(bench.storage.listCheckpoints({ limit: limit as number }), "INVALID_ARGUMENT");
        expect(error.message).toContain("limit");
      },
    );

    it.each([{ namespace: "n" }, { name: "n" }, { parentId: idAt(1) }, { metadata: { a: 1 } }])(
      "is refused with the filter %j without an agentId",
      async (query) => {
        const error = await refusal(bench.storage.listCheckpoints(query), "INVALID_ARGUMENT");
        expect(error.message).toContain("agentId");
      },
    );

    it.each([{ agentid: "a" }, { agentId: "a", offset: 10 }, { Limit: 1 }, { agentId: "a", where: "1 = 1" }])(
      "is refused if it is %j, which has an unknown member",
      async (query) => {
        await refusal(bench.storage.listCheckpoints(query as ListQuery), "INVALID_ARGUMENT");
      },
    );

    it.each([
      { before: "yesterday" },
      { since: 7 },
      { agentId: "" },
      { agentId: null },
      { agentId: undefined },
      { agentId: "a", namespace: undefined },
      { agentId: "a", metadata: "a" },
      null,
      "a",
    ])("is refused if it is %j", async (query) => {
      await refusal(bench.storage.listCheckpoints(query as ListQuery), "INVALID_ARGUMENT");
    });
  });

  describe("the query of iterateCheckpoints", () => {
    it.each([{ limit: 0 }, { name: "n" }, { agentid: "a" }])("is refused if it is %j", async (query) => {
      await refusal(async () => collect(bench.storage.iterateCheckpoints(query as ListQuery)), "INVALID_ARGUMENT");
    });
  });

  describe("the arguments of iterateAncestors", () => {
    it.each([undefined, null, 7, {}, ["id"]])("are refused with %j as the id", async (id) => {
      const error = await refusal(
        async () => collect(bench.storage.iterateAncestors(id as unknown as string)),
        "INVALID_ARGUMENT",
      );
      expect(error.message).toContain("id");
    });

    it("are refused with an unknown option", async () => {
      const options = { limit: 1 } as object;
      await refusal(async () => collect(bench.storage.iterateAncestors(idAt(0), options)), "INVALID_ARGUMENT");
    });
  });

  describe("the query of listAgents", () => {
    it.each([{ limit: 0 }, { limit: 10_001 }, { after: "" }, { after: 7 }, { agentId: "a" }])(
      "is refused if it is %j",
      async (query) => {
        await refusal(bench.storage.listAgents(query as AgentsQuery), "INVALID_ARGUMENT");
      },
    );
  });

  describe("the arguments of deleteCheckpoint", () => {
    it.each([undefined, null, 7, {}])("are refused with %j as the id", async (id) => {
      await refusal(bench.storage.deleteCheckpoint(id as never), "INVALID_ARGUMENT");
    });
  });

  describe("the arguments of deleteAgent", () => {
    it("are refused with an empty agentId, without an agentId, and with an unknown query member", async () => {
      await refusal(bench.storage.deleteAgent(""), "INVALID_ARGUMENT");
      await refusal(bench.storage.deleteAgent(undefined as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.deleteAgent("a", { before: "x" } as object), "INVALID_ARGUMENT");
    });

    it("are refused with undefined as the namespace, and nothing is deleted", async () => {
      const agentId = newAgent();
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const error = await refusal(
        bench.storage.deleteAgent(agentId, { namespace: undefined } as object),
        "INVALID_ARGUMENT",
      );
      expect(error.message).toContain("namespace");
      expect(await bench.storage.listCheckpoints({ agentId })).toHaveLength(1);
    });
  });

  describe("the policy of pruneCheckpoints", () => {
    const policies: Record<string, object> = {
      "without a rule": { agentId: "a" },
      "if it is empty": {},
      "with an unknown member": { keeplast: 1, keepLast: 1 },
      "with a namespace but no agentId": { namespace: "n", keepLast: 1 },
      "with undefined as agentId": { agentId: undefined, keepLast: 1 },
      "with undefined as namespace": { agentId: "a", namespace: undefined, keepLast: 1 },
      "with undefined as a rule": { keepLast: 1, keepWithinMs: undefined },
      "with undefined as dryRun": { keepLast: 1, dryRun: undefined },
      "with a keepLast of 0": { keepLast: 0 },
      "with a keepLast of 1.5": { keepLast: 1.5 },
      "with a keepWithinMs of 0": { keepWithinMs: 0 },
      "with a string as keepWithinMs": { keepWithinMs: "1d" },
      "with a keepEvery that is not an array": { keepEvery: { everyMs: 1, forMs: 1 } },
      "with a keepEvery without forMs": { keepEvery: [{ everyMs: 1 }] },
      "with a batchSize of 0": { keepLast: 1, batchSize: 0 },
      "with a batchSize of 10,001": { keepLast: 1, batchSize: 10_001 },
      "with a string as dryRun": { keepLast: 1, dryRun: "yes" },
      "with an onProgress that is not a function": { keepLast: 1, onProgress: 1 },
    };
    it.each(Object.entries(policies))("is refused %s, and nothing is removed", async (_, policy) => {
      const before = await bench.store.countRows();
      await refusal(bench.storage.pruneCheckpoints(policy as PrunePolicy), "INVALID_ARGUMENT");
      expect(await bench.store.countRows()).toBe(before);
    });
  });

  describe("the query of stats", () => {
    it.each([{ agentId: "" }, { agentId: 7 }, { agentId: undefined }, { agent: "a" }])(
      "is refused if it is %j",
      async (query) => {
        await refusal(bench.storage.stats(query as object), "INVALID_ARGUMENT");
      },
    );
  });

  describe("the arguments of migrate", () => {
    it("are refused with an unknown mode", async () => {
      await refusal(bench.storage.migrate("force" as never), "INVALID_ARGUMENT");
    });
  });

  describe("the arguments of appendWrites and listWrites", () => {
    const write = (value: unknown, members: Partial<CheckpointWrite> = {}): CheckpointWrite => {
      return { taskId: "task", index: 0, channel: "channel", value, ...members };
    };

    it.each([
      ["writes", { length: 1 }],
      ["writes[0]", [null]],
      ["writes[0]", [{ ...write(1), task: "x" }]],
      ["writes[0].taskId", [write(1, { taskId: "" })]],
      ["writes[0].taskId", [write(1, { taskId: "x".repeat(256) })]],
      ["writes[0].taskId", [write(1, { taskId: ["x"] as never })]],
      ["writes[1].taskId", [write(1), write(1, { taskId: "a\0" })]],
      ["writes[0].channel", [write(1, { channel: "" })]],
      ["writes[0].channel", [write(1, { channel: "\ud800" })]],
      ["writes[0].channel", [write(1, { channel: "x".repeat(1_025) })]],
      ["writes[0].taskPath", [write(1, { taskPath: "x".repeat(16_385) })]],
      ["writes[0].index", [write(1, { index: 1.5 })]],
      ["writes[0].index", [write(1, { index: 2 ** 31 })]],
      ["writes[0].index", [write(1, { index: "0" as never })]],
      ["writes[0].value", [{ taskId: "t", index: 0, channel: "c" }]],
    ])("are refused with a wrong %s: the error names it, and nothing is appended", async (field, writes) => {
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent()));
      const error = await refusal(bench.storage.appendWrites(id, writes as never), "INVALID_ARGUMENT");
      expect(error.message).toContain(field);
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
    });

    it("are refused with an id that is not a string, an unknown option, and a signal that is not an AbortSignal", async () => {
      await refusal(bench.storage.appendWrites(7 as never, []), "INVALID_ARGUMENT");
      await refusal(bench.storage.listWrites({} as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.listWrites(idAt(0), { limit: 1 } as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.appendWrites(idAt(0), [], { signal: 1 } as never), "INVALID_ARGUMENT");
    });
  });
}
