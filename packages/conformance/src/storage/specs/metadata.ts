import type { CheckpointMetadata, MetadataValue } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";

/** Values that the JSON operators of some engine confuse or throw on. No two of them are equal. */
const VALUES: readonly MetadataValue[] = [
  ...["", " ", "a", "A", "a ", "á", "a\u0301", "ß", "ss", "🚀", "名"],
  ...["\0", "a\0", "a\0b", "\\0", "\\u0000", "\ud800", "\udc00", "\udc00\ud800", "\ufffd", "\\ud800"],
  ...["'", "''", '"', '\\"', '""', "`", "\\", "\\\\", "\n", "\\n", "\r", "\r\n", "\u2028", "\u0085", "\t", "\b"],
  ...["%", "_", "*", "?", "$1", ":a", "${a}", "$.k", "[0]", "a,b", '"k":1', '\n"k":1\n', '1\n"l":2', "{}", "[]", "{"],
  ...["true", "false", "null", "1", "0", "-0", "1.0", "1e0", "01", "NaN", "undefined"],
  ...[true, false, null, 1, 0, -0, -1, 1.5, 0.1, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER],
  ...[9_007_199_254_740_992, 10, 11, 100],
];

export function describeMetadata(bench: Bench): void {
  const namesOf = async (agentId: string, metadata: CheckpointMetadata) =>
    (await bench.storage.listCheckpoints({ agentId, metadata })).map(({ name }) => name);

  describe("metadata", () => {
    it("comes back as it was, in the same order of keys, from retrieve and from list", async () => {
      const agentId = newAgent();
      const metadata: CheckpointMetadata = Object.fromEntries(
        VALUES.map((value, index) => [`${index}: ${value}`, value]),
      );
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { metadata }));
      const back = await bench.storage.retrieveCheckpoint(id);
      const [listed] = await bench.storage.listCheckpoints({ agentId });
      expect(firstDifference(back?.metadata, metadata)).toBeNull();
      expect(firstDifference(listed?.metadata, metadata)).toBeNull();
    });

    it("filters by the exact value: each finds itself and no similar one", async () => {
      const agentId = newAgent();
      await Promise.all(
        VALUES.map((value, index) =>
          bench.storage.storeCheckpoint(checkpointOf(agentId, { name: `${index}`, metadata: { k: value } })),
        ),
      );
      for (const [index, k] of VALUES.entries()) {
        expect(await namesOf(agentId, { k }), `the value ${JSON.stringify(k)}`).toStrictEqual([`${index}`]);
      }
    });

    it("filters by the exact key: case, accents, spaces, quotes, NUL and lone surrogates count", async () => {
      const agentId = newAgent();
      const keys = VALUES.filter((value) => typeof value === "string").concat(
        "k",
        "kk",
        "__proto__",
        "constructor",
        "toString",
      );
      await Promise.all(
        keys.map((key) =>
          bench.storage.storeCheckpoint(
            checkpointOf(agentId, { name: `key ${key}`.replaceAll(/[\0\p{Cs}]/gu, "."), metadata: { [key]: 1 } }),
          ),
        ),
      );
      for (const key of keys) {
        const found = await bench.storage.listCheckpoints({ agentId, metadata: { [key]: 1 } });
        expect(
          found.map(({ metadata }) => Object.keys(metadata ?? {})),
          `the key ${JSON.stringify(key)}`,
        ).toStrictEqual([[key]]);
      }
    });

    it("filters by all given labels, in any order, among other labels", async () => {
      const agentId = newAgent();
      const store = (name: string, metadata: CheckpointMetadata) =>
        bench.storage.storeCheckpoint(checkpointOf(agentId, { name, metadata }));
      await store("both", { a: 1, b: "x", c: true });
      await store("turned", { b: "x", a: 1 });
      await store("one", { a: 1 });
      await store("other", { a: 1, b: "y" });
      expect(await namesOf(agentId, { a: 1, b: "x" })).toStrictEqual(["turned", "both"]);
      expect(await namesOf(agentId, { b: "x", a: 1 })).toStrictEqual(["turned", "both"]);
      expect(await namesOf(agentId, { a: 1 })).toHaveLength(4);
      expect(await namesOf(agentId, { a: 1, d: null })).toStrictEqual([]);
    });

    it("does not match an absent label by null, nor a part of a key or value", async () => {
      const agentId = newAgent();
      await bench.storage.storeCheckpoint(checkpointOf(agentId, { metadata: { key: 12, long: "abc" } }));
      await bench.storage.storeCheckpoint(checkpointOf(agentId));
      for (const metadata of [
        { absent: null },
        { key: 1 },
        { key: 2 },
        { y: 12 },
        { long: "ab" },
        { long: "bc" },
        { ey: 12 },
      ]) {
        expect(await namesOf(agentId, metadata)).toStrictEqual([]);
      }
    });

    it("is absent if it was not given, and empty if it was empty", async () => {
      const agentId = newAgent();
      const without = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const empty = await bench.storage.storeCheckpoint(checkpointOf(agentId, { metadata: {} }));
      expect(await bench.storage.retrieveCheckpoint(without)).not.toHaveProperty("metadata");
      expect((await bench.storage.retrieveCheckpoint(empty))?.metadata).toStrictEqual({});
    });

    it("pollutes no prototype", async () => {
      const metadata = JSON.parse('{"__proto__": "polluted", "constructor": "c"}') as CheckpointMetadata;
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent(), { metadata }));
      const back = await bench.storage.retrieveCheckpoint(id);
      expect(firstDifference(back?.metadata, metadata)).toBeNull();
      expect(Object.getPrototypeOf(back?.metadata)).toBe(Object.prototype);
    });

    it("may have 16 KiB, and no more", async () => {
      const metadata = { label: "x".repeat(16 * 1_024 - 13) };
      const { agentId } = await storeMany(bench.storage, newAgent(), 1, { metadata });
      expect(await bench.storage.listCheckpoints({ agentId, metadata })).toMatchObject([{ metadata }]);
      const over = checkpointOf(agentId, { metadata: { label: "x".repeat(16 * 1_024) } });
      await refusal(bench.storage.storeCheckpoint(over), "INVALID_ARGUMENT");
    });
  });
}
