import { createHash } from "node:crypto";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DamagedState,
  packSnapshot,
  type StoredState,
  takeSnapshot,
  UnknownEncoding,
  unpackState,
} from "../src/codec/snapshots.ts";
import { UnsupportedValue } from "../src/codec/values.ts";
import { anyState, difference } from "./any-state.ts";

const pack = (state: unknown) => packSnapshot(takeSnapshot(state));
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
/** Long enough to be compressed, by this thread or by another. */
const turns = (count: number) =>
  Array.from({ length: count }, (_, turn) => ({ role: "user", content: `turn ${turn}: à 🚀` }));

describe("a state that is packed and unpacked", () => {
  test("it is strictly equal to what it was", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, async (state) => {
        expect(difference(await unpackState(await pack(state)), state)).toBeNull();
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([1, 10, 1_000, 20_000])("it is what it was with %d turns", async (count) => {
    const state = { messages: turns(count), at: new Date(0) };
    expect(difference(await unpackState(await pack(state)), state)).toBeNull();
  });

  test("it is stored with the length and the SHA-256 of its text", async () => {
    const text = JSON.stringify(turns(100));
    const { encoding, stateBytes, digest, state } = await pack(turns(100));
    expect(encoding).toBe("json+deflate");
    expect(stateBytes).toBe(Buffer.byteLength(text));
    expect(Buffer.from(digest).toString("hex")).toBe(sha256(text));
    expect(state.byteLength).toBeLessThan(stateBytes / 4);
  });

  test("it has another digest than a state whose text is the same in another form", () => {
    const [tag, nothing] = [takeSnapshot({ $: ["undefined"] }), takeSnapshot(undefined)];
    expect(Buffer.compare(tag.bytes, nothing.bytes)).toBe(0);
    expect(Buffer.compare(tag.digest, nothing.digest)).not.toBe(0);
  });

  test("it is left as it is where compression gains nothing", async () => {
    expect((await pack({ a: 1 })).encoding).toBe("json");
    expect((await pack({ a: undefined })).encoding).toBe("tagged");
    const noise = Buffer.from(Array.from({ length: 64 }, (_, index) => (index * 151) % 251)).toString("hex");
    const { encoding, state, stateBytes } = await pack(noise.slice(0, 100));
    expect([encoding, state.byteLength]).toEqual(["json", stateBytes]);
  });

  test("it is a snapshot: what changes after it was taken is not in it", async () => {
    const state = { turns: [1], bytes: new Uint8Array([1]) };
    const snapshot = takeSnapshot(state);
    state.turns.push(2);
    state.bytes[0] = 9;
    expect(await unpackState(await packSnapshot(snapshot))).toEqual({ turns: [1], bytes: new Uint8Array([1]) });
  });

  test("it is refused by its path if it cannot come back", () => {
    expect(() => takeSnapshot({ a: [() => 1] })).toThrow(new UnsupportedValue("state.a[0] is a function"));
  });
});

describe("a stored state that is damaged", () => {
  const changeAt = (bytes: Uint8Array, at: number, by: number) =>
    bytes.map((byte, index) => (index === at % bytes.length ? (byte + by) % 256 : byte));

  test.each([
    ["whole", 1],
    ["compressed", 20],
    ["compressed by another thread", 2_000],
  ])("it is told apart from every other, when one byte of it changes: %s", async (_name, count) => {
    const stored = await pack(turns(count));
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const damaged = { ...stored, state: changeAt(stored.state, at, by) };
        // A deflated text has bits that mean nothing: then it is not damaged, and comes back as it was.
        const outcome = await unpackState(damaged).catch((error: unknown) => error);
        if (!(outcome instanceof DamagedState)) expect(outcome).toEqual(turns(count));
      }),
      { numRuns: 300 },
    );
  });

  test.each<[string, (stored: StoredState) => StoredState, string]>([
    [
      "its digest is another",
      (stored) => ({ ...stored, digest: changeAt(stored.digest, 7, 1) }),
      "does not match its digest",
    ],
    ["its digest is cut", (stored) => ({ ...stored, digest: stored.digest.subarray(1) }), "does not match its digest"],
    ["it is cut", (stored) => ({ ...stored, state: stored.state.subarray(0, -9) }), "the compressed state is damaged"],
    ["it is empty", (stored) => ({ ...stored, state: new Uint8Array() }), "the compressed state is damaged"],
    ["its length is too small", (stored) => ({ ...stored, stateBytes: stored.stateBytes - 1 }), "should have"],
    ["its length is much too small", (stored) => ({ ...stored, stateBytes: 3 }), "damaged"],
    ["its length is too large", (stored) => ({ ...stored, stateBytes: stored.stateBytes + 1 }), "should have"],
    ["its length is no length", (stored) => ({ ...stored, stateBytes: -1 }), "damaged"],
    ["its length is absurd", (stored) => ({ ...stored, stateBytes: Number.MAX_SAFE_INTEGER }), "damaged"],
    ["it is not compressed, and should be", (stored) => ({ ...stored, state: Buffer.from("[]") }), "damaged"],
    ["it is compressed, and should not be", (stored) => ({ ...stored, encoding: "json" }), "should have"],
  ])("it is refused as damaged when %s", async (_name, damage, words) => {
    const outcome = await unpackState(damage(await pack(turns(50)))).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(DamagedState);
    expect((outcome as Error).message).toContain(words);
  });

  test("it is refused without being inflated, when it would be a hundred megabytes instead of a thousand bytes", async () => {
    const bomb = deflateRawSync(Buffer.alloc(100_000_000));
    const before = process.memoryUsage().arrayBuffers;
    for (const stateBytes of [1_000, 40_000]) {
      const stored = { encoding: "json+deflate", state: bomb, stateBytes, digest: new Uint8Array(32) };
      await expect(unpackState(stored)).rejects.toThrow(DamagedState);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });

  test.each(["json+brotli", "delta", "", "JSON", "json ", "json+deflate\n", "constructor"])(
    "it is refused as of a newer version, not as damaged, when its encoding is %j",
    async (encoding) => {
      await expect(unpackState({ ...(await pack(1)), encoding })).rejects.toThrow(UnknownEncoding);
    },
  );
});
