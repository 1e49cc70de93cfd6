import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastPuts } from "../src/last-puts.ts";
import { share } from "../src/share.ts";

const isFrozen = (value: unknown): boolean =>
  typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));

describe("data that shares structure with earlier data", () => {
  it("equals the unshared data, has its order of keys, and is frozen", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.json({ maxDepth: 4 }), (earlier, text) => {
        const before: unknown = share(undefined, JSON.parse(earlier));
        const shared: unknown = share(before, JSON.parse(text));
        expect(JSON.stringify(shared)).toBe(JSON.stringify(JSON.parse(text)));
        expect(JSON.stringify(before)).toBe(JSON.stringify(JSON.parse(earlier)));
        expect(isFrozen(shared)).toBe(true);
        expect(share(shared, JSON.parse(text))).toBe(shared);
      }),
      { numRuns: 2_000 },
    );
  });

  it("reuses earlier objects that are equal", () => {
    const before = share<{ list: object[]; other: object }>(undefined, {
      list: [{ a: 1 }, { b: [2] }],
      other: { c: 3 },
    });
    const shared = share(before, { list: [{ a: 1 }, { b: [2] }, { d: 4 }], other: { c: 3 } });
    expect(shared.list[0]).toBe(before.list[0]);
    expect(shared.list[1]).toBe(before.list[1]);
    expect(shared.other).toBe(before.other);
    expect(shared).not.toBe(before);
  });

  it.each([
    ["another order of keys", '{"a":1,"b":2}', '{"b":2,"a":1}'],
    ["an array for an object", '{"0":1}', "[1]"],
    ["a key that is inherited", "{}", '{"__proto__":{"a":1},"toString":null}'],
    ["the key __proto__", '{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}'],
    ["one member less", '{"a":1,"b":2}', '{"a":1}'],
    ["-0", "[0]", "[-0]"],
  ])("does not confuse %s", (_, earlier, text) => {
    const shared: unknown = share(share(undefined, JSON.parse(earlier)), JSON.parse(text));
    expect(shared).toStrictEqual(JSON.parse(text));
    expect(JSON.stringify(shared)).toBe(JSON.stringify(JSON.parse(text)));
    expect(Object.getPrototypeOf(shared)).toBe(Object.getPrototypeOf(JSON.parse(text)));
  });
});

describe("the cache of last puts", () => {
  const timeline = { threadId: "thread", namespace: "" };
  const channels = (bytes: number) => new Map([["channel", { serialized: ["json", "value"] as const, bytes }]]);

  it("keeps the last puts of 64 timelines", () => {
    const last = new LastPuts();
    for (let index = 0; index < 65; index++) {
      last.add({ ...timeline, namespace: `${index}`, checkpointId: "id" }, "revision", channels(1));
    }
    expect(last.get({ ...timeline, namespace: "0" })).toBeUndefined();
    expect(last.get({ ...timeline, namespace: "1" })).toBeDefined();
  });

  it("does not keep a put above 32 MB", () => {
    const last = new LastPuts();
    last.add({ ...timeline, checkpointId: "id" }, "revision", channels(33_000_000));
    expect(last.get(timeline)).toBeUndefined();
    last.add({ ...timeline, checkpointId: "id" }, "revision", channels(31_000_000));
    expect(last.get(timeline)).toBeDefined();
  });

  it("drops a put whose checkpoint is read from another revision", () => {
    const last = new LastPuts();
    last.add({ ...timeline, checkpointId: "id" }, "revision 1", channels(1));
    last.dropIfStale({ ...timeline, checkpointId: "another", revisionId: "revision 9" });
    last.dropIfStale({ ...timeline, checkpointId: "id", revisionId: "revision 1" });
    expect(last.get(timeline)).toBeDefined();
    last.dropIfStale({ ...timeline, checkpointId: "id", revisionId: "revision 2" });
    expect(last.get(timeline)).toBeUndefined();
  });
});
