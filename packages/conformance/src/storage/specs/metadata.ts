import type { CheckpointMetadata, MetadataValue } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";
import { difference } from "../sameness.ts";

/** Values that some engine's JSON operators take for each other, or throw on. No two of them are the same. */
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
    it("comes back as it was, key by key, whether the checkpoint is retrieved or listed", async () => {
      const agentId = newAgent();
      const metadata: CheckpointMetadata = Object.fromEntries(
        VALUES.map((value, index) => [`${index}: ${value}`, value]),
      );
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { metadata }));
      const back = await bench.storage.retrieveCheckpoint(id);
      const [listed] = await bench.storage.listCheckpoints({ agentId });
      expect(difference(back?.metadata, metadata)).toBeNull();
      expect(difference(listed?.metadata, metadata)).toBeNull();
    });

    it("filters exactly: each value finds itself and none of its lookalikes", async () => {
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

    it("filters exactly by key: case, accents, spaces, quotes, NUL and lone surrogates count", async () => {
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

    it("filters by all of the labels, whatever their order and whatever else there is", async () => {
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

    it("does not find a label that is absent by null, nor the end of a key or value", async () => {
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
      expect(difference(back?.metadata, metadata)).toBeNull();
      expect(Object.getPrototypeOf(back?.metadata)).toBe(Object.prototype);
    });

    it("may have 16 KiB", async () => {
      const metadata = { label: "x".repeat(16 * 1_024 - 13) };
      const { agentId } = await storeLine(bench.storage, newAgent(), 1, { metadata });
      expect(await bench.storage.listCheckpoints({ agentId, metadata })).toMatchObject([{ metadata }]);
      const over = checkpointOf(agentId, { metadata: { label: "x".repeat(16 * 1_024) } });
      await refusal(bench.storage.storeCheckpoint(over), "INVALID_ARGUMENT");
    });

    const refused: Record<string, unknown> = {
      "an array": [1],
      "a Map": new Map([["a", 1]]),
      "an instance of a class": new (class Labels {})(),
      "a string": "a=1",
      null: null,
      "an object in it": { a: {} },
      "undefined in it": { a: undefined },
      "NaN in it": { a: Number.NaN },
      "Infinity in it": { a: Number.POSITIVE_INFINITY },
      "a bigint in it": { a: 1n },
      "a Date in it": { a: new Date(0) },
      "a function in it": { a: () => 1 },
      "a symbol as a key": { [Symbol("a")]: 1 },
    };
    it.each(Object.entries(refused))("refuses %s, to store and to filter by", async (_, value) => {
      const metadata = value as CheckpointMetadata;
      const before = await bench.store.countRows();
      await refusal(bench.storage.storeCheckpoint(checkpointOf(newAgent(), { metadata })), "INVALID_ARGUMENT");
      await refusal(bench.storage.listCheckpoints({ agentId: "a", metadata }), "INVALID_ARGUMENT");
      expect(await bench.store.countRows()).toBe(before);
    });
  });
}
