import { describe, expect, test } from "vitest";
import {
  checkAgentId,
  checkAgentsQuery,
  checkCheckpoint,
  checkDeleteAgentQuery,
  checkLatestQuery,
  checkListQuery,
  checkPrunePolicy,
  checkStatsQuery,
  checkStoreOptions,
  MAX_NAME_BYTES,
  MAX_NAMESPACE_BYTES,
} from "../../src/checkpoints/arguments.ts";
import { MAX_METADATA_BYTES } from "../../src/codec/metadata.ts";
import type { NamedAgentCheckpoint, PrunePolicy } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { checkCallOptions, checkLookup } from "../../src/database/arguments.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
const CHECKPOINT = { agentId: "a", name: "n", state: null, createdAt: 0 };
const CANARY = "hunter2-canary";

/** Returns the message that a call is refused with, as one with a wrong argument. */
function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as CheckpointError).code).toBe("INVALID_ARGUMENT");
    expect((error as CheckpointError).message).not.toContain(CANARY);
    return (error as CheckpointError).message;
  }
  return "(accepted)";
}

const checkpoint = (members: object) => checkCheckpoint({ ...CHECKPOINT, ...members } as NamedAgentCheckpoint);

describe("a checkpoint to store", () => {
  test("needs only agentId, name, state and createdAt", () => {
    expect(checkCheckpoint(CHECKPOINT)).toEqual({
      id: null,
      agentId: "a",
      namespace: "",
      name: "n",
      parentId: null,
      createdAt: 0,
      metadata: null,
    });
  });

  test("may have an undefined state, but no missing one", () => {
    expect(checkpoint({ state: undefined }).agentId).toBe("a");
    const { state: _, ...stateless } = CHECKPOINT;
    expect(refusal(() => checkCheckpoint(stateless as NamedAgentCheckpoint))).toMatch(
      /^expected checkpoint\.state to be present/,
    );
  });

  test("has its metadata encoded", () => {
    expect(checkpoint({ metadata: { b: "x\ny", a: -0 } }).metadata).toBe('\n"b":"x\\ny"\n"a":-0\n');
  });

  test("has its ids in lower case", () => {
    const { id, parentId } = checkpoint({ id: ID.toUpperCase(), parentId: ID.toUpperCase() });
    expect([id, parentId]).toEqual([ID, ID]);
  });

  test.each<[string, unknown, string]>([
    ["agentId", undefined, "expected checkpoint.agentId to be a string, got undefined"],
    ["agentId", 7, "expected checkpoint.agentId to be a string, got 7"],
    ["agentId", "", "expected checkpoint.agentId to be 1 to 255 bytes of UTF-8, got 0"],
    ["agentId", "é".repeat(128), "expected checkpoint.agentId to be 1 to 255 bytes of UTF-8, got 256"],
    [
      "agentId",
      `${CANARY}\0`,
      "expected checkpoint.agentId to be text without NUL characters, got a string of 15 characters",
    ],
    [
      "agentId",
      `${CANARY}\ud800`,
      "expected checkpoint.agentId to be text without lone surrogates, got a string of 15 characters",
    ],
    ["namespace", null, "expected checkpoint.namespace to be a string, got null"],
    ["namespace", "x".repeat(1_025), "expected checkpoint.namespace to be 0 to 1024 bytes of UTF-8, got 1025"],
    ["name", undefined, "expected checkpoint.name to be a string, got undefined"],
    ["name", "x".repeat(16_385), "expected checkpoint.name to be 0 to 16384 bytes of UTF-8, got 16385"],
    ["name", "\udc00", "expected checkpoint.name to be text without lone surrogates, got a string of 1 character"],
    [
      "createdAt",
      "now",
      'to be a whole number from -8640000000000000 to 8640000000000000 (in milliseconds), got "now"',
    ],
    ["createdAt", 1.5, "got 1.5"],
    ["createdAt", Number.NaN, "got NaN"],
    ["createdAt", 8.64e15 + 1, "got 8640000000000001"],
    ["createdAt", new Date(), "got a Date"],
    ["id", "turn-1", 'expected checkpoint.id to be a UUIDv7, got "turn-1"'],
    ["id", 7, "expected checkpoint.id to be a string, got 7"],
    ["parentId", null, "expected checkpoint.parentId to be a string, got null"],
    ["parentId", "9b2c8f0e-6d1f-4c0a-9a53-0d2f7f6f7a11", "expected checkpoint.parentId to be a UUIDv7"],
    ["metadata", [], "expected checkpoint.metadata to be an object, got an array"],
    ["metadata", new Map(), "expected checkpoint.metadata to be a plain object of strings"],
    ["metadata", { [Symbol("x")]: 1 }, "expected checkpoint.metadata to be a plain object of strings"],
    ["metadata", { "a b": [CANARY] }, 'expected checkpoint.metadata["a b"] to be a string, a finite number'],
    ["metadata", { a: Number.NaN }, 'expected checkpoint.metadata["a"] to be a string, a finite number'],
    ["metadata", { a: undefined }, 'expected checkpoint.metadata["a"] to be a string, a finite number'],
    ["metadata", { a: 1n }, 'expected checkpoint.metadata["a"] to be a string, a finite number'],
    [
      "metadata",
      { a: "x".repeat(MAX_METADATA_BYTES) },
      "expected checkpoint.metadata to be at most 16384 bytes as JSON lines",
    ],
    [
      "sate",
      1,
      'expected checkpoint to have the members agentId, name, state, createdAt, namespace, parentId, metadata, id, got "sate"',
    ],
  ])("is refused with the name of a wrong member: %s %#", (member, value, message) => {
    expect(refusal(() => checkpoint({ [member]: value }))).toContain(message);
  });

  test.each([null, undefined, "text", 7, [CHECKPOINT]])("is refused if it is no object: %j", (value) => {
    expect(refusal(() => checkCheckpoint(value as never))).toMatch(/^expected checkpoint to be an object, got /);
  });

  test("is accepted at every limit", () => {
    expect(checkpoint({ agentId: "é".repeat(127) }).agentId).toHaveLength(127);
    expect(checkpoint({ namespace: "x".repeat(MAX_NAMESPACE_BYTES) }).namespace).toHaveLength(MAX_NAMESPACE_BYTES);
    expect(checkpoint({ name: "x".repeat(MAX_NAME_BYTES) }).name).toHaveLength(MAX_NAME_BYTES);
    expect(checkpoint({ name: "" }).name).toBe("");
    expect(checkpoint({ createdAt: 8.64e15 }).createdAt).toBe(8.64e15);
    expect(Object.is(checkpoint({ createdAt: -0 }).createdAt, 0)).toBe(true);
  });
});

describe("a query", () => {
  test("filters nothing if it is empty, and still has a limit", () => {
    expect(checkListQuery({})).toEqual({ rowQuery: { limit: 1_000 }, limit: undefined });
  });

  test("has the labels of its metadata encoded", () => {
    const labels = ['\n"a":1\n', '\n"b":null\n'];
    expect(checkListQuery({ agentId: "a", metadata: { a: 1, b: null } }).rowQuery).toMatchObject({ labels });
  });

  test("can match no row if parentId is no id of ours", () => {
    expect(checkListQuery({ agentId: "a", parentId: "nobody" }).rowQuery).toBeNull();
    expect(checkListQuery({ agentId: "a", parentId: ID.toUpperCase() }).rowQuery?.parentId).toBe(ID);
  });

  test("distinguishes the default namespace from all namespaces", () => {
    expect(checkListQuery({ agentId: "a", namespace: "" }).rowQuery).toEqual({
      agentId: "a",
      namespace: "",
      limit: 1_000,
    });
    expect(checkListQuery({ agentId: "a" }).rowQuery).toEqual({ agentId: "a", limit: 1_000 });
  });

  test.each<[object, string]>([
    [{ agentID: "a" }, 'got "agentID"'],
    [{ [Symbol(CANARY)]: 1 }, "got a symbol"],
    [{ namespace: "n" }, "expected query.agentId to be present beside query.namespace, got undefined"],
    [{ name: "n", namespace: "m" }, "expected query.agentId to be present beside query.namespace,"],
    [{ name: 1 }, "expected query.name to be "],
    [{ parentId: ID }, "expected query.agentId to be present beside query.parentId,"],
    [{ metadata: {} }, "expected query.metadata to be at least one label without query.agentId"],
    [{ agentId: null }, "expected query.agentId to be a string, got null"],
    [{ agentId: "a", parentId: 7 }, "expected query.parentId to be a string, got 7"],
    [{ before: `u@${CANARY}` }, "expected query.before to be a UUIDv7, got a string of 16 characters"],
    [{ since: "" }, "expected query.since to be a UUIDv7, got an empty string"],
    [{ limit: 0 }, "expected query.limit to be a whole number from 1 to 10000 (checkpoints), got 0"],
    [{ limit: 10_001 }, "got 10001"],
    [{ limit: "10" }, 'got "10"'],
    [{ limit: Number.POSITIVE_INFINITY }, "got Infinity"],
    [{ signal: {} }, "expected query.signal to be an AbortSignal, got an object"],
  ])("is refused with the name of a wrong member: %#", (query, message) => {
    expect(refusal(() => checkListQuery(query))).toContain(message);
  });

  test("is refused with the name of a wrong member by every other method", () => {
    expect(refusal(() => checkLatestQuery({ name: "n" } as never))).toContain('got "name"');
    expect(refusal(() => checkLatestQuery({ namespace: 7 } as never))).toContain("query.namespace");
    expect(refusal(() => checkAgentsQuery({ before: "a" } as never))).toContain('got "before"');
    expect(refusal(() => checkAgentsQuery({ after: "" }))).toContain("query.after");
    expect(refusal(() => checkStatsQuery({ agent: "a" } as never))).toContain('got "agent"');
    expect(refusal(() => checkCallOptions({ timeout: 1 } as never))).toContain('got "timeout"');
    expect(refusal(() => checkStoreOptions({ ifLatest: "first" }))).toBe(
      'expected options.ifLatest to be a UUIDv7, got "first"',
    );
    expect(refusal(() => checkLookup("id", 7))).toBe("expected id to be a string, got 7");
    expect(refusal(() => checkAgentId("agentId", undefined))).toBe("expected agentId to be a string, got undefined");
  });

  test("distinguishes ifLatest null from no condition", () => {
    expect(checkStoreOptions({ ifLatest: null })).toEqual({ ifLatest: null });
    expect(checkStoreOptions({ ifLatest: ID.toUpperCase() })).toEqual({ ifLatest: ID });
    expect(checkStoreOptions({})).toEqual({});
  });

  test("may have an undefined cursor, and is refused with an undefined filter", () => {
    const cursors = { before: undefined, since: undefined, limit: undefined } as object;
    expect(checkListQuery({ agentId: "a", ...cursors })).toEqual(checkListQuery({ agentId: "a" }));
    for (const filter of ["agentId", "namespace", "name", "parentId", "metadata"]) {
      expect(refusal(() => checkListQuery({ agentId: "a", [filter]: undefined }))).toBe(
        `expected query.${filter} to be given, or left out, got undefined`,
      );
    }
    expect(refusal(() => checkStatsQuery({ agentId: undefined } as object))).toContain("expected query.agentId");
    expect(refusal(() => checkDeleteAgentQuery({ namespace: undefined } as object))).toContain("query.namespace");
    expect(refusal(() => checkStoreOptions({ ifLatest: undefined } as object))).toBe(
      "expected options.ifLatest to be an id, or null if there is no checkpoint yet (latest?.id ?? null), got undefined",
    );
  });

  test("looks up a text that is no id as a checkpoint that does not exist", () => {
    expect([checkLookup("id", "nonsense"), checkLookup("id", ID.toUpperCase())]).toEqual([null, ID]);
  });
});

describe("a prune policy", () => {
  test("has defaults", () => {
    expect(checkPrunePolicy({ keepLast: 3 })).toEqual({
      agentId: null,
      namespace: null,
      dropAgentsIdleForMs: null,
      hasKeepRule: true,
      keepLast: 3,
      keepWithinMs: 0,
      keepEvery: [],
      keepLabels: null,
      dryRun: false,
      batchSize: 500,
    });
  });

  test.each<[object, string]>([
    [
      {},
      "expected policy to have at least one of dropAgentsIdleForMs, keepLast, keepWithinMs, keepEvery and keepMetadata, got none",
    ],
    [{ agentId: "a", dryRun: true }, "expected policy to have at least one of dropAgentsIdleForMs, keepLast"],
    [{ keepLast: 1, agentId: undefined }, "expected policy.agentId to be given, or left out, got undefined"],
    [{ keepLast: 1, agentId: "a", namespace: undefined }, "expected policy.namespace to be given, or left out"],
    [{ keepLast: 1, keepWithinMs: undefined }, "expected policy.keepWithinMs to be given, or left out"],
    [{ keepLast: 1, keepEvery: undefined }, "expected policy.keepEvery to be given, or left out"],
    [{ keepLast: 1, keepMetadata: undefined }, "expected policy.keepMetadata to be given, or left out"],
    [{ keepLast: 1, dryRun: undefined }, "expected policy.dryRun to be given, or left out"],
    [{ keepLast: 0 }, "expected policy.keepLast to be a whole number from 1"],
    [{ keepLast: 1, keeplast: 1 }, 'got "keeplast"'],
    [{ keepWithinMs: -1 }, "expected policy.keepWithinMs to be a whole number from 1"],
    [{ keepEvery: [] }, "expected policy.keepEvery to be an array of at least one { everyMs, forMs }"],
    [{ keepEvery: {} }, "expected policy.keepEvery to be an array of at least one { everyMs, forMs }, got an object"],
    [
      {
        keepEvery: [
          { everyMs: 1, forMs: 1 },
          { everyMs: 0, forMs: 1 },
        ],
      },
      "expected policy.keepEvery[1].everyMs",
    ],
    [{ keepEvery: [null] }, "expected policy.keepEvery[0] to be an object, got null"],
    [{ keepMetadata: 7 }, "expected policy.keepMetadata to be an object, got 7"],
    [{ keepLast: 1, namespace: "n" }, "expected policy.agentId to be present beside policy.namespace"],
    [{ keepLast: 1, dryRun: 1 }, "expected policy.dryRun to be a boolean, got 1"],
    [{ keepLast: 1, batchSize: 10_001 }, "expected policy.batchSize"],
    [{ keepLast: 1, onProgress: "x" }, "expected policy.onProgress to be a function"],
  ])("is refused with the name of a wrong member: %#", (policy, message) => {
    expect(refusal(() => checkPrunePolicy(policy as PrunePolicy))).toContain(message);
  });
});
