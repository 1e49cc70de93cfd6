import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";
import { anyState, SPECIAL_STATES, UNSUPPORTED_STATES } from "../values.ts";

export function describeFidelity(bench: Bench): void {
  const store = (state: unknown) => bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));
  const roundTrip = async (state: unknown) => (await bench.storage.retrieveCheckpoint(await store(state)))?.state;

  describe("a state", () => {
    it.each(Object.entries(SPECIAL_STATES))("comes back as it was stored: %s", async (_, state) => {
      const id = await store(state);
      expect(await bench.store.readRow(id)).not.toBeNull();
      expect(firstDifference((await bench.storage.retrieveCheckpoint(id))?.state, state)).toBeNull();
    });

    it("comes back as it was stored, for random states", async () => {
      const property = fc.asyncProperty(anyState, async (state) => {
        expect(firstDifference(await roundTrip(state), state)).toBeNull();
      });
      await fc.assert(property, { numRuns: 100 });
    });

    it("is stored as it is at the call, whatever happens to it afterwards", async () => {
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
      const retrieved = await bench.storage.retrieveCheckpoint(await stored);
      expect(retrieved?.state).toStrictEqual({
        list: [1, 2, 3],
        map: new Map([["a", [1]]]),
        bytes: new Uint8Array([1, 2, 3]),
        text: "x".repeat(100_000),
      });
      expect(retrieved).toMatchObject({ name: "turn", metadata: { label: "before" } });
    });

    it("is plain data when it comes back: no prototype is polluted, and no class is instantiated", async () => {
      const hostile = JSON.parse(`{
        "__proto__": { "polluted": true },
        "constructor": { "prototype": { "polluted": true } },
        "list": [{ "__proto__": [] }, { "$": ["constructor", "Function", "return process"] }]
      }`);
      for (const state of [hostile, { hostile, more: undefined }]) {
        const back = await roundTrip(state);
        expect(firstDifference(back, state)).toBeNull();
        expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
      }
      expect(Reflect.get({}, "polluted")).toBeUndefined();
      expect(Reflect.get([], "polluted")).toBeUndefined();
      expect(Reflect.get(() => {}, "polluted")).toBeUndefined();
    });

    it.each(Object.entries(UNSUPPORTED_STATES))(
      "is rejected with UNSUPPORTED_VALUE and the path, and leaves no row, if it contains %s",
      async (_, [state, path]) => {
        const before = await bench.store.countRows();
        const error = await refusal(store(state), "UNSUPPORTED_VALUE");
        expect(error.message).toContain(path);
        expect(await bench.store.countRows()).toBe(before);
      },
    );

    it("is rejected if one of its getters or proxies throws", async () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      const throwing = Object.defineProperty({}, "a", {
        enumerable: true,
        get: () => {
          throw new TypeError("from the getter");
        },
      });
      for (const state of [throwing, { proxy }]) await refusal(store(state), "UNSUPPORTED_VALUE");
    });
  });
}
