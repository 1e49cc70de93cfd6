import { uuid6 } from "@langchain/langgraph-checkpoint";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rangeInAllTimelines, revisionOf, revisionRange, withRevision } from "../src/checkpoint-id.ts";

const timeline = { threadId: "thread", namespace: "" };
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const EPOCH = 0x01b21dd213814000n;

/** Makes a UUIDv6. `ticks`: its time, in units of 100 ns since 1970. */
function uuidV6(ticks: bigint, clock: number, node: bigint): string {
  const time = (ticks + EPOCH).toString(16).padStart(15, "0");
  const variant = (0x8000 | clock).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8, 12)}-6${time.slice(12)}-${variant}-${node.toString(16).padStart(12, "0")}`;
}

const parts = fc.tuple(
  fc.bigInt({ min: 0n, max: 4_000_000_000_000_0000n }),
  fc.integer({ min: 0, max: 0x7fff }),
  fc.bigInt({ min: 0n, max: 0xffff_ffff_ffffn }),
);
const idOf = (id: string) => withRevision(revisionRange(timeline, id)?.since ?? "none", 1);

describe("Waymark's id of a LangGraph checkpoint", () => {
  it("consists of time, clock sequence, hash and revision, in the documented bits", () => {
    // 2024-01-01T00:00:00.123Z and 4,567 units of 100 ns; clock sequence 0x1234.
    const id = uuidV6(1_704_067_200_123n * 10_000n + 4_567n, 0x1234, 0xabcdefn);
    const range = revisionRange(timeline, id);
    expect(range?.since).toMatch(UUID_V7);
    const bits = BigInt(`0x${range?.since.replaceAll("-", "")}`);
    expect(bits >> 80n).toBe(1_704_067_200_123n);
    const random = (((bits >> 64n) & 0xfffn) << 62n) | (bits & ((1n << 62n) - 1n));
    expect(random >> 60n).toBe(4_567n);
    expect((random >> 45n) & 0x7fffn).toBe(0x1234n);
    expect(random & 0x3ffn).toBe(0n);
    expect(range?.before).toBe(withRevision(range?.since ?? "", 1_023));
  });

  it("is the same in every process", () => {
    // Fixed values: stored checkpoints are found by this id.
    expect(revisionRange({ threadId: "t", namespace: "n" }, "1ef4f797-8335-6428-8001-8a1503f9b875")).toEqual({
      since: "01910a6d-e49c-719a-8000-25c5e9af2000",
      before: "01910a6d-e49c-719a-8000-25c5e9af23ff",
    });
  });

  it("is a UUIDv7, ordered by the UUIDv6's time and clock sequence", () => {
    fc.assert(
      fc.property(parts, parts, fc.boolean(), ([ticks, clock, node], [ticks2, clock2, node2], sameTick) => {
        const a = uuidV6(ticks, clock, node);
        const b = uuidV6(sameTick ? ticks : ticks2, clock2, node2);
        expect(idOf(a)).toMatch(UUID_V7);
        fc.pre(a.slice(0, 23) !== b.slice(0, 23)); // they differ in their random nodes alone
        expect(idOf(a) < idOf(b)).toBe(a < b);
      }),
      { numRuns: 5_000 },
    );
  });

  it("keeps the order of ids that LangGraph makes in sequence, also for negative and large steps", () => {
    const ids = Array.from({ length: 30_000 }, (_, step) => uuid6(step % 3 === 0 ? -1 : step));
    expect(ids.toSorted()).toEqual(ids);
    expect(ids.map(idOf).toSorted()).toEqual(ids.map(idOf));
  });

  it("differs between threads and between namespaces", () => {
    const id = uuid6(1);
    const timelines = [timeline, { ...timeline, threadId: "other" }, { ...timeline, namespace: "other" }];
    expect(new Set(timelines.map((one) => revisionRange(one, id)?.since)).size).toBe(3);
    // The boundary between thread and namespace counts.
    expect(revisionRange({ threadId: "a", namespace: "bc" }, id)).not.toEqual(
      revisionRange({ threadId: "ab", namespace: "c" }, id),
    );
  });

  it("has 1,022 revisions, between two bounds that are never stored", () => {
    const range = revisionRange(timeline, uuid6(7));
    const ids = Array.from({ length: 1_022 }, (_, index) => withRevision(range?.since ?? "", index + 1));
    expect(ids.map(revisionOf)).toEqual(ids.map((_, index) => index + 1));
    expect([range?.since, ...ids, range?.before].toSorted()).toEqual([range?.since, ...ids, range?.before]);
    for (const id of ids) expect(id).toMatch(UUID_V7);
  });

  it("lies in the range of the UUIDv6 for all threads and namespaces", () => {
    fc.assert(
      fc.property(parts, fc.string(), fc.string(), ([ticks, clock, node], threadId, namespace) => {
        const id = uuidV6(ticks, clock, node);
        const range = rangeInAllTimelines(id);
        const row = withRevision(revisionRange({ threadId, namespace }, id)?.since ?? "", 1);
        expect(range && row > range.since && row < range.before).toBe(true);
      }),
    );
  });

  it.each([
    ["a UUIDv4", "8d1f6f0e-3d5c-4a6e-9c7b-2f1e0d9c8b7a"],
    ["a UUIDv7", "018cc251-f400-7000-8000-000000000000"],
    ["a time before 1970", uuidV6(-1n, 0, 0n)],
    ["another variant", "1ef4f797-8335-6428-0001-8a1503f9b875"],
    ["capital letters", "1EF4F797-8335-6428-8001-8A1503F9B875"],
    ["a word", "checkpoint"],
    ["nothing", ""],
  ])("is not derived from %s", (_, id) => {
    expect(revisionRange(timeline, id)).toBeNull();
    expect(rangeInAllTimelines(id)).toBeNull();
  });
});
