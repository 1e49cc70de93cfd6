import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId, ODD_TEXT } from "./bench.ts";

export function describeCache(bench: Bench): void {
  describe("the cache", () => {
    it("keeps values of every kind that JSON has, null too", async () => {
      const { adapter } = await bench.newHome();
      const values = [null, 0, false, "", "text", 1.5e300, [], {}, { deep: { list: [1, null, { a: "b" }] } }, ODD_TEXT];
      for (const [at, value] of values.entries()) expect(await adapter.setCache(`key ${at}`, value)).toBe(true);
      for (const [at, value] of values.entries()) expect(await adapter.getCache(`key ${at}`)).toEqual(value);
    });

    it("has undefined for what is not there", async () => {
      const { adapter } = await bench.newHome();
      expect(await adapter.getCache("key")).toBeUndefined();
      await adapter.setCache("key", 1);
      expect(await adapter.setCache("key", undefined)).toBe(true);
      expect(await adapter.getCache("key")).toBeUndefined();
    });

    it("replaces a value, and deletes it", async () => {
      const { adapter } = await bench.newHome();
      await adapter.setCache("key", { a: 1 });
      await adapter.setCache("other", 1);
      await adapter.setCache("key", { b: 2 });
      expect(await adapter.getCache("key")).toEqual({ b: 2 });
      expect(await adapter.deleteCache("key")).toBe(true);
      expect(await adapter.getCache("key")).toBeUndefined();
      expect(await adapter.deleteCache("key")).toBe(true);
      expect(await adapter.getCache("other")).toBe(1);
    });

    it("has one value, of one of many that set it at once", async () => {
      const { adapter, agentId } = await bench.newHome();
      const set = Array.from({ length: 8 }, (_, at) => bench.adapterOf(agentId).setCache("key", at));
      expect(await Promise.all(set)).toEqual(set.map(() => true));
      expect(await adapter.getCache<number>("key")).toBeLessThan(8);
    });

    it("is each agent's own", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      await one.adapter.setCache("key", 1);
      expect(await other.adapter.getCache("key")).toBeUndefined();
      await other.adapter.setCache("key", 2);
      await other.adapter.deleteCache("key");
      expect(await one.adapter.getCache("key")).toBe(1);
    });

    it("tells keys apart, of any characters and any length", async () => {
      const { adapter } = await bench.newHome();
      const long = "k".repeat(10_000);
      const keys = [
        "key",
        "Key",
        "key ",
        "",
        "k%",
        "é",
        "e\u0301",
        ODD_TEXT,
        "\ud800",
        "\udc00",
        "\ufffd",
        long,
        `${long}k`,
      ];
      for (const [at, key] of keys.entries()) await adapter.setCache(key, at);
      for (const [at, key] of keys.entries()) expect(await adapter.getCache(key)).toBe(at);
    });

    it("refuses what JSON has not, keys that are no text, and agents that are not there", async () => {
      const { adapter } = await bench.newHome();
      const cycle: { self?: unknown } = {};
      cycle.self = cycle;
      for (const value of [cycle, 1n, () => {}, Symbol("x")]) {
        await expectRefusal(adapter.setCache("key", value), "INVALID_ARGUMENT", "value");
      }
      await expectRefusal(adapter.getCache(7 as never), "INVALID_ARGUMENT", "key");
      const orphan = bench.adapterOf(newId()).setCache("key", 1);
      await expectRefusal(orphan, "NOT_FOUND", "set cache: there is no such agent");
    });
  });
}
