import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastPuts, share } from "../src/last-puts.ts";

const isFrozen = (value: unknown): boolean =>
  typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));

describe("data that is shared with earlier data", () => {
  it("is what it was, to the order of its keys, and frozen", () => {
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

  it("has the earlier objects wherever they are the same", () => {
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
  ])("tells apart %s", (_, earlier, text) => {
    const shared: unknown = share(share(undefined, JSON.parse(earlier)), JSON.parse(text));
    expect(shared).toStrictEqual(JSON.parse(text));
    expect(JSON.stringify(shared)).toBe(JSON.stringify(JSON.parse(text)));
    expect(Object.getPrototypeOf(shared)).toBe(Object.getPrototypeOf(JSON.parse(text)));
  });
});

describe("what was put last", () => {
  const line = { threadId: "thread", namespace: "" };
  const channels = (bytes: number) =>
    new Map([["channel", { serialized: ["json", "value"] as const, data: new Uint8Array(bytes), version: 1 }]]);

  it("is kept of 64 lines", () => {
    const last = new LastPuts();
    for (let index = 0; index < 65; index++) {
      last.add({ ...line, namespace: `${index}`, checkpointId: "id" }, "row", channels(1));
    }
    expect(last.of({ ...line, namespace: "0" })).toBeUndefined();
    expect(last.of({ ...line, namespace: "1" })?.checkpointId).toBe("id");
  });

  it("is not kept if it is too large", () => {
    const last = new LastPuts();
    last.add({ ...line, checkpointId: "id" }, "row", channels(33_000_000));
    expect(last.of(line)).toBeUndefined();
    last.add({ ...line, checkpointId: "id" }, "row", channels(31_000_000));
    expect(last.of(line)).toBeDefined();
  });

  it("is forgotten when the same checkpoint is read from another row", () => {
    const last = new LastPuts();
    last.add({ ...line, checkpointId: "id" }, "row 1", channels(1));
    last.check({ ...line, checkpointId: "another", row: "row 9" });
    last.check({ ...line, checkpointId: "id", row: "row 1" });
    expect(last.of(line)).toBeDefined();
    last.check({ ...line, checkpointId: "id", row: "row 2" });
    expect(last.of(line)).toBeUndefined();
  });
});
