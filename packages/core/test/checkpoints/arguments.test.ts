import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkAgentId,
  checkAgentsQuery,
  checkCallOptions,
  checkCheckpoint,
  checkLatestQuery,
  checkListQuery,
  checkLookup,
  checkPrunePolicy,
  checkStatsQuery,
  checkStoreOptions,
  decodeMetadata,
  MAX_METADATA_BYTES,
  MAX_NAME_BYTES,
  MAX_NAMESPACE_BYTES,
} from "../../src/checkpoints/arguments.ts";
import type { CheckpointMetadata, NamedAgentCheckpoint, PrunePolicy } from "../../src/contract/checkpoints.ts";
import { CheckpointError } from "../../src/contract/errors.ts";
import { anyText, objectOf } from "../codec/any-state.ts";

const ID = "019b2c8f-0e6d-7c0a-9a53-0d2f7f6f7a11";
const CHECKPOINT = { agentId: "a", name: "n", state: null, createdAt: 0 };
const CANARY = "hunter2-canary";

/** The message that a call is refused with, as an argument that is not as documented. */
function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as CheckpointError).code).toBe("INVALID_ARGUMENT");
    expect((error as CheckpointError).message).not.toContain(CANARY);
    return (error as CheckpointError).message;
  }
  return "(it was taken)";
}

const checkpoint = (members: object) => checkCheckpoint({ ...CHECKPOINT, ...members } as NamedAgentCheckpoint);

describe("a checkpoint to store", () => {
  test("it needs no more than agentId, name, state and createdAt", () => {
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

  test("it may have an undefined state, if that is said", () => {
    expect(checkpoint({ state: undefined }).agentId).toBe("a");
    const { state: _, ...stateless } = CHECKPOINT;
    expect(refusal(() => checkCheckpoint(stateless as NamedAgentCheckpoint))).toMatch(
      /^expected checkpoint\.state to be given/,
    );
  });

  test("it has its ids in lower case", () => {
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
    ["name", "\udc00", "expected checkpoint.name to be text without lone surrogates, got a string of 1 characters"],
    [
      "createdAt",
      "now",
      "to be a whole number from -8640000000000000 to 8640000000000000 (in milliseconds), got a string",
    ],
    ["createdAt", 1.5, "got 1.5"],
    ["createdAt", Number.NaN, "got NaN"],
    ["createdAt", 8.64e15 + 1, "got 8640000000000001"],
    ["createdAt", new Date(), "got a Date"],
    ["id", CANARY, "expected checkpoint.id to be a UUIDv7, got a string of 14 characters"],
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
  ])("it is refused by name: %s %#", (member, value, message) => {
    expect(refusal(() => checkpoint({ [member]: value }))).toContain(message);
  });

  test.each([null, undefined, "text", 7, [CHECKPOINT]])("it is refused when it is no object: %j", (value) => {
    expect(refusal(() => checkCheckpoint(value as never))).toMatch(/^expected checkpoint to be an object, got /);
  });

  test("it is taken at every limit", () => {
    expect(checkpoint({ agentId: "é".repeat(127) }).agentId).toHaveLength(127);
    expect(checkpoint({ namespace: "x".repeat(MAX_NAMESPACE_BYTES) }).namespace).toHaveLength(MAX_NAMESPACE_BYTES);
    expect(checkpoint({ name: "x".repeat(MAX_NAME_BYTES) }).name).toHaveLength(MAX_NAME_BYTES);
    expect(checkpoint({ name: "" }).name).toBe("");
    expect(checkpoint({ createdAt: 8.64e15 }).createdAt).toBe(8.64e15);
    expect(Object.is(checkpoint({ createdAt: -0 }).createdAt, 0)).toBe(true);
  });
});

describe("metadata", () => {
  const anyLabel = fc.oneof(
    anyText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.constant(-0),
  );
  const anyMetadata = fc
    .array(fc.tuple(fc.oneof(anyText, fc.constantFrom("__proto__", "constructor")), anyLabel), { maxLength: 6 })
    .map((entries) => objectOf(entries) as CheckpointMetadata);

  test("it comes back as it was, whatever its keys and values hold", () => {
    fc.assert(
      fc.property(anyMetadata, (metadata) => {
        const text = checkpoint({ metadata }).metadata as string;
        const back = decodeMetadata(text);
        expect(Object.keys(back).sort()).toEqual(Object.keys(metadata).sort());
        for (const key of Object.keys(metadata)) expect(Object.is(back[key], metadata[key])).toBe(true);
        expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
      }),
      { numRuns: 3_000 },
    );
  });

  test("it is found by exactly those filters whose labels it has", () => {
    const value = fc.constantFrom<string | number | boolean | null>(
      "1",
      1,
      true,
      "true",
      null,
      "null",
      "",
      0,
      -0,
      "a\nb",
      '"',
      "\\n",
    );
    const labels = fc.dictionary(fc.constantFrom("a", "b", 'a":1', "a\n"), value, { maxKeys: 3 });
    fc.assert(
      fc.property(labels, labels, (stored, filter) => {
        const text = checkpoint({ metadata: stored }).metadata as string;
        const lines = checkListQuery({ agentId: "a", metadata: filter }).rows?.metadataLines ?? [];
        const found = lines.every((line) => text.includes(line));
        const has = Object.keys(filter).every(
          (key) => Object.hasOwn(stored, key) && Object.is(stored[key], filter[key]),
        );
        expect(found).toBe(has);
      }),
      { numRuns: 5_000 },
    );
  });

  test("it is written as one line a label, which is what databases compare", () => {
    expect(checkpoint({ metadata: { b: "x\ny", a: -0 } }).metadata).toBe('\n"b":"x\\ny"\n"a":-0\n');
  });
});

describe("a query", () => {
  test("it filters nothing when it is empty, and is bounded all the same", () => {
    expect(checkListQuery({})).toEqual({ rows: { limit: 1_000 }, limit: undefined });
  });

  test("it can match no row by a parent that is no id of ours", () => {
    expect(checkListQuery({ agentId: "a", parentId: "nobody" }).rows).toBeNull();
    expect(checkListQuery({ agentId: "a", parentId: ID.toUpperCase() }).rows?.parentId).toBe(ID);
  });

  test("it tells the default namespace from all of them", () => {
    expect(checkListQuery({ agentId: "a", namespace: "" }).rows).toEqual({ agentId: "a", namespace: "", limit: 1_000 });
    expect(checkListQuery({ agentId: "a" }).rows).toEqual({ agentId: "a", limit: 1_000 });
  });

  test.each<[object, string]>([
    [{ agentID: "a" }, 'got "agentID"'],
    [{ [Symbol(CANARY)]: 1 }, "got a symbol"],
    [
      { namespace: "n" },
      "expected query.agentId to be given, since query.namespace filters within an agent, got undefined",
    ],
    [{ name: "n" }, "since query.name filters within an agent"],
    [{ parentId: ID }, "since query.parentId filters within an agent"],
    [{ metadata: {} }, "since query.metadata filters within an agent"],
    [{ agentId: null }, "expected query.agentId to be a string, got null"],
    [{ agentId: "a", parentId: 7 }, "expected query.parentId to be a string, got 7"],
    [{ before: CANARY }, "expected query.before to be a UUIDv7"],
    [{ since: "" }, "expected query.since to be a UUIDv7, got an empty string"],
    [{ limit: 0 }, "expected query.limit to be a whole number from 1 to 10000 (checkpoints), got 0"],
    [{ limit: 10_001 }, "got 10001"],
    [{ limit: "10" }, "got a string of 2 characters"],
    [{ limit: Number.POSITIVE_INFINITY }, "got Infinity"],
    [{ signal: {} }, "expected query.signal to be an AbortSignal, got an object"],
  ])("it is refused by name: %#", (query, message) => {
    expect(refusal(() => checkListQuery(query))).toContain(message);
  });

  test("it is refused by name in every other method too", () => {
    expect(refusal(() => checkLatestQuery({ name: "n" } as never))).toContain('got "name"');
    expect(refusal(() => checkLatestQuery({ namespace: 7 } as never))).toContain("query.namespace");
    expect(refusal(() => checkAgentsQuery({ before: "a" } as never))).toContain('got "before"');
    expect(refusal(() => checkAgentsQuery({ after: "" }))).toContain("query.after");
    expect(refusal(() => checkStatsQuery({ agent: "a" } as never))).toContain('got "agent"');
    expect(refusal(() => checkCallOptions({ timeout: 1 } as never))).toContain('got "timeout"');
    expect(refusal(() => checkStoreOptions({ ifLatest: "first" }))).toBe(
      "expected options.ifLatest to be a UUIDv7, got a string of 5 characters",
    );
    expect(refusal(() => checkLookup("id", 7))).toBe("expected id to be a string, got 7");
    expect(refusal(() => checkAgentId(undefined))).toBe("expected agentId to be a string, got undefined");
  });

  test("it tells the latest of none from no condition", () => {
    expect(checkStoreOptions({ ifLatest: null })).toEqual({ ifLatest: null });
    expect(checkStoreOptions({ ifLatest: ID.toUpperCase() })).toEqual({ ifLatest: ID });
    expect(checkStoreOptions({})).toEqual({});
  });

  test("it takes a text that is no id as that of a checkpoint that is not there", () => {
    expect([checkLookup("id", "nonsense"), checkLookup("id", ID.toUpperCase())]).toEqual([null, ID]);
  });
});

describe("a prune policy", () => {
  test("it has its defaults", () => {
    expect(checkPrunePolicy({ keepLast: 3 })).toEqual({
      agentId: null,
      namespace: null,
      keepLast: 3,
      keepWithinMs: 0,
      keepEvery: [],
      keepMetadataLines: null,
      dryRun: false,
      batchSize: 500,
    });
  });

  test.each<[object, string]>([
    [{}, "expected policy to be a policy with at least one of keepLast, keepWithinMs, keepEvery and keepMetadata"],
    [{ agentId: "a", dryRun: true }, "got one that keeps nothing"],
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
    [{ keepLast: 1, namespace: "n" }, "expected policy.agentId to be given"],
    [{ keepLast: 1, dryRun: 1 }, "expected policy.dryRun to be a boolean, got 1"],
    [{ keepLast: 1, batchSize: 10_001 }, "expected policy.batchSize"],
    [{ keepLast: 1, onProgress: "x" }, "expected policy.onProgress to be a function"],
  ])("it is refused by name: %#", (policy, message) => {
    expect(refusal(() => checkPrunePolicy(policy as PrunePolicy))).toContain(message);
  });
});
