import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { difference } from "../sameness.ts";
import type { StoredRow } from "../target.ts";
import { anyState, SPECIAL_STATES, UNSUPPORTED_STATES } from "../values.ts";

export function describeFidelity(bench: Bench): void {
  const store = (state: unknown) => bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));
  const roundTrip = async (state: unknown) => (await bench.storage.retrieveCheckpoint(await store(state)))?.state;
  const rowOf = async (id: string) => (await bench.store.readRow(id)) as StoredRow;

  describe("a state", () => {
    it.each(Object.entries(SPECIAL_STATES))("comes back as it went in: %s", async (_, state) => {
      const id = await store(state);
      expect(await bench.store.readRow(id)).not.toBeNull();
      expect(difference((await bench.storage.retrieveCheckpoint(id))?.state, state)).toBeNull();
    });

    it("comes back as it went in: whatever is put together of these", async () => {
      const property = fc.asyncProperty(anyState, async (state) => {
        expect(difference(await roundTrip(state), state)).toBeNull();
      });
      await fc.assert(property, { numRuns: 100 });
    });

    const { encrypted = false } = bench.target;
    const asText =
      "is stored as exactly JSON.stringify(state) if it is plain JSON and short, under the SHA-256 of that";
    it.skipIf(encrypted)(asText, async () => {
      const property = fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), async (state) => {
        const row = await rowOf(await store(state));
        // JSON has no -0: JSON.stringify would lose it, so such a state is not plain.
        fc.pre(difference(JSON.parse(JSON.stringify(state)), state) === null);
        const bytes = Buffer.from(JSON.stringify(state));
        expect(row.stateBytes).toBe(bytes.byteLength);
        fc.pre(row.encoding === "json"); // a longer one may be written in other ways
        expect(Buffer.from(row.state).toString("utf8")).toBe(bytes.toString());
        expect(Buffer.from(row.digest).toString("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
      });
      await fc.assert(property, { numRuns: 50 });
    });

    it.runIf(encrypted)("is stored so that neither it nor its SHA-256 can be seen, but its length", async () => {
      const property = fc.asyncProperty(fc.jsonValue({ noUnicodeString: false }), async (state) => {
        const row = await rowOf(await store(state));
        fc.pre(difference(JSON.parse(JSON.stringify(state)), state) === null);
        const bytes = Buffer.from(JSON.stringify(state));
        expect(row.stateBytes).toBe(bytes.byteLength);
        expect(row.encoding).toMatch(/\+sealed$/);
        expect(Buffer.from(row.digest).toString("hex")).not.toBe(createHash("sha256").update(bytes).digest("hex"));
        fc.pre(bytes.byteLength > 4); // a shorter one may be there by chance
        expect(Buffer.from(row.state).includes(bytes)).toBe(false);
      });
      await fc.assert(property, { numRuns: 50 });
    });

    it("takes the bytes of JSON.stringify(state) if it is plain JSON, and fewer as stored when it is long", async () => {
      const state = {
        turns: Array.from({ length: 2_000 }, (_, turn) => ({ turn, text: `Grüße, again and again 🚀` })),
      };
      const row = await rowOf(await store(state));
      expect(row.stateBytes).toBe(Buffer.byteLength(JSON.stringify(state)));
      expect(row.state.byteLength).toBeLessThan(row.stateBytes / 4);
    });

    it("is data when it comes back: no prototype is polluted, and no class is made", async () => {
      const hostile = JSON.parse(`{
        "__proto__": { "polluted": true },
        "constructor": { "prototype": { "polluted": true } },
        "list": [{ "__proto__": [] }, { "$": ["constructor", "Function", "return process"] }]
      }`);
      for (const state of [hostile, { hostile, more: undefined }]) {
        const back = await roundTrip(state);
        expect(difference(back, state)).toBeNull();
        expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
      }
      expect(Reflect.get({}, "polluted")).toBeUndefined();
      expect(Reflect.get([], "polluted")).toBeUndefined();
      expect(Reflect.get(() => {}, "polluted")).toBeUndefined();
    });

    it.each(Object.entries(UNSUPPORTED_STATES))(
      "is refused by its path, and leaves no row, if it holds %s",
      async (_, [state, path]) => {
        const before = await bench.store.countRows();
        const error = await refusal(store(state), "UNSUPPORTED_VALUE");
        expect(error.message).toContain(path);
        expect(await bench.store.countRows()).toBe(before);
      },
    );

    it("is refused if a getter or a proxy of it throws", async () => {
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
