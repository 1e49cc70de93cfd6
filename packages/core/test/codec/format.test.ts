import { createHash } from "node:crypto";
import { crc32, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DamagedState, UnknownEncoding } from "../../src/codec/damage.ts";
import { parseEncoding, type StoredState, unpackState } from "../../src/codec/format.ts";
import { decodeSnapshot, type Snapshot, sameContent, takeSnapshot } from "../../src/codec/snapshot.ts";
import { encodeValue } from "../../src/codec/values.ts";
import { anyState, firstDifference } from "./any-state.ts";
import { longTurns, pack, packFull, read, turns, unpack } from "./packing.ts";

const readOrError = (stored: StoredState, base: Snapshot | null = null) =>
  read(stored, base).catch((error: unknown) => error);

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** Bytes that compression cannot shorten. */
const noise = (bytes: number) =>
  Buffer.concat(
    Array.from({ length: Math.ceil(bytes / 32) }, (_, at) => createHash("sha256").update(`noise ${at}`).digest()),
  ).subarray(0, bytes);
const changeAt = (bytes: Uint8Array, at: number, by: number) =>
  bytes.map((byte, index) => (index === at % bytes.length ? (byte + by) % 256 : byte));

describe("a packed state", () => {
  test("unpacks to a value that is strictly equal", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, async (state) => {
        expect(firstDifference(await read(await packFull(state)), state)).toBeNull();
      }),
      { numRuns: 3_000 },
    );
  });

  test("unpacks to a value that is strictly equal, as a delta to any other state", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, anyState, fc.boolean(), async (state, before, isSimilar) => {
        const base = takeSnapshot(before);
        const snapshot = takeSnapshot(state, isSimilar ? { base } : {});
        expect(firstDifference(await read(await pack(snapshot, base), base), state)).toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([1, 10, 1_000, 20_000])("unpacks to an equal value with %d turns", async (count) => {
    const state = { messages: turns(count), at: new Date(0) };
    expect(firstDifference(await read(await packFull(state)), state)).toBeNull();
  });

  test.each([0, 1, 500, 1_000, 1_500])(
    "unpacks to an equal value with 1,000 turns, as a delta to a state with %d",
    async (count) => {
      const base = takeSnapshot({ messages: turns(count), at: new Date(0) });
      const state = { messages: turns(1_000), at: new Date(1) };
      const stored = await pack(takeSnapshot(state, { base }), base);
      expect(firstDifference(await read(stored, base), state)).toBeNull();
    },
  );

  test("is not compressed if that gains nothing", async () => {
    expect((await packFull({ a: 1 })).encoding).toBe("json");
    expect((await packFull({ a: undefined })).encoding).toBe("tagged");
    const { encoding, state, stateBytes } = await packFull(noise(90).toString("base64"));
    expect([encoding, state.byteLength]).toEqual(["json", stateBytes]);
    // Base64 has only 64 characters, which deflate can shorten: this text uses nearly all of ASCII.
    const units = String.fromCodePoint(...noise(2_000).map((byte) => 0x20 + (byte % 0x5c))).replaceAll(/["\\]/g, "_");
    const full = await packFull(units);
    expect(full.encoding).toMatch(/^json\+pieces(\+deflate)?$/);
    expect(full.state.byteLength).toBeLessThan(full.stateBytes + 32);
  });

  test("has only the changes if it is a delta to the state before", async () => {
    const base = takeSnapshot({ messages: longTurns(500) });
    const snapshot = takeSnapshot({ messages: longTurns(501) }, { base });
    const { encoding, state } = await pack(snapshot, base);
    expect(encoding).toMatch(/^json\+pieces(\+deflate)?$/);
    expect(state.byteLength).toBeLessThan(400);
    expect((await pack(base, base)).state.byteLength).toBeLessThan(32);
  });

  test("is marked as a skip delta by its encoding, and has the same digest", async () => {
    const base = takeSnapshot({ messages: turns(100) });
    const snapshot = takeSnapshot({ messages: turns(130) }, { base });
    const [plain, skip] = [await pack(snapshot, base), await pack(snapshot, base, true)];
    expect([plain.encoding, skip.encoding]).toEqual(["json+pieces+deflate", "json+pieces+deflate+anchor"]);
    expect([skip.stateBytes, hex(skip.digest)]).toEqual([plain.stateBytes, hex(plain.digest)]);
    expect(await read(skip, base)).toEqual({ messages: turns(130) });
  });
});

describe("a state that version 0.1 packed", () => {
  /** Packs a state as version 0.1 did: the text, maybe compressed, and the SHA-256 of the text with its form. */
  function packOld(state: unknown, compressed: boolean): StoredState {
    const { form, tree } = encodeValue(state);
    const text = Buffer.from(JSON.stringify(tree));
    const digest = createHash("sha256").update(
      form === "json" ? text : Buffer.concat([Buffer.from(`${form}\0`), text]),
    );
    return {
      encoding: compressed ? `${form}+deflate` : form,
      state: compressed ? deflateRawSync(text, { level: 1 }) : text,
      stateBytes: text.byteLength,
      digest: digest.digest(),
    };
  }

  test("unpacks to an equal value, whatever it holds", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, fc.boolean(), async (state, compressed) => {
        expect(firstDifference(await read(packOld(state, compressed)), state)).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  test.each<[string, unknown, boolean]>([
    ["json", { messages: turns(500) }, false],
    ["tagged", { messages: turns(500), at: new Date(0) }, false],
    ["json+deflate", { messages: turns(500) }, true],
    ["tagged+deflate", { messages: turns(500), at: new Date(0) }, true],
    ["json+deflate", { messages: turns(20_000) }, true],
  ])("unpacks to an equal value, and is the base of the next state: %s", async (encoding, state, compressed) => {
    const old = packOld(state, compressed);
    expect(old.encoding).toBe(encoding);
    const base = await unpack(old);
    expect(firstDifference(decodeSnapshot(base), state)).toBeNull();
    const next = takeSnapshot({ ...(state as object), more: 1 }, { base });
    expect(firstDifference(await read(await pack(next, base), base), { ...(state as object), more: 1 })).toBeNull();
  });

  test("has the same content as a state that is in chunks now", async () => {
    const state = { messages: turns(500) };
    const [old, now] = [await unpack(packOld(state, true)), takeSnapshot(state)];
    expect(Buffer.compare(old.digest, now.digest)).not.toBe(0);
    expect(sameContent(old, now)).toBe(true);
    expect(sameContent(old, takeSnapshot({ messages: turns(501) }))).toBe(false);
  });

  test("is refused if a delta is expected", async () => {
    const base = takeSnapshot(turns(50));
    expect(await readOrError(packOld(turns(50), true), base)).toEqual(
      new DamagedState("expected a delta, got a full state"),
    );
  });

  test.each<[string, (stored: StoredState) => StoredState, string]>([
    [
      "it is cut off",
      (stored) => ({ ...stored, state: stored.state.subarray(0, -9) }),
      "the compressed state is damaged",
    ],
    ["it is empty", (stored) => ({ ...stored, state: new Uint8Array() }), "the compressed state is damaged"],
    ["its length is too small", (stored) => ({ ...stored, stateBytes: stored.stateBytes - 1 }), "expected a state of"],
    ["its length is much too small", (stored) => ({ ...stored, stateBytes: 3 }), "damaged"],
    ["its length is too large", (stored) => ({ ...stored, stateBytes: stored.stateBytes + 1 }), "expected a state of"],
    ["its length is negative", (stored) => ({ ...stored, stateBytes: -1 }), "damaged"],
    ["its length is absurd", (stored) => ({ ...stored, stateBytes: Number.MAX_SAFE_INTEGER }), "damaged"],
    ["its encoding says that it is compressed", (stored) => ({ ...stored, state: Buffer.from("[]") }), "damaged"],
    [
      "its encoding does not say that it is compressed",
      (stored) => ({ ...stored, encoding: "json" }),
      "expected a state of",
    ],
    [
      "its encoding says that it has steps",
      (stored) => ({ ...stored, encoding: "json+pieces" }),
      "the state is damaged",
    ],
    [
      "its encoding says that it is tagged",
      (stored) => ({ ...stored, encoding: "tagged+deflate" }),
      "does not match its digest",
    ],
  ])("is refused as damaged if %s", async (_name, damage, words) => {
    const outcome = await readOrError(damage(packOld(turns(50), true)));
    expect(outcome).toBeInstanceOf(DamagedState);
    expect((outcome as Error).message).toContain(words);
  });

  test("is refused without being decompressed if it would be a hundred megabytes instead of a few kilobytes", async () => {
    const bomb = deflateRawSync(Buffer.alloc(100_000_000));
    const before = process.memoryUsage().arrayBuffers;
    for (const stateBytes of [1_000, 40_000]) {
      const stored = { encoding: "json+deflate", state: bomb, stateBytes, digest: new Uint8Array(32) };
      await expect(unpackState(stored, true)).rejects.toThrow(DamagedState);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });
});

describe("a damaged state", () => {
  const base = takeSnapshot([{ role: "system", content: "a".repeat(200) }, ...turns(40)]);

  test.each<[string, unknown, Snapshot | null]>([
    ["full", turns(1), null],
    ["compressed", turns(20), null],
    ["compressed by another thread", turns(2_000), null],
    ["a delta", [...turns(40), { role: "user", content: "short" }], base],
    ["a compressed delta", turns(80), base],
  ])("is refused if any single byte of it changes: %s", async (_name, state, from) => {
    const stored = await pack(takeSnapshot(state), from);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const outcome = await readOrError({ ...stored, state: changeAt(stored.state, at, by) }, from);
        expect(outcome).toBeInstanceOf(DamagedState);
      }),
      { numRuns: 300 },
    );
  });

  test.each<[string, (stored: StoredState) => StoredState, string]>([
    [
      "its digest is changed",
      (stored) => ({ ...stored, digest: changeAt(stored.digest, 7, 1) }),
      "does not match its digest",
    ],
    [
      "its digest is cut off",
      (stored) => ({ ...stored, digest: stored.digest.subarray(1) }),
      "does not match its digest",
    ],
    ["it is cut off", (stored) => ({ ...stored, state: stored.state.subarray(0, -9) }), "the state is damaged"],
    ["it is shorter than a checksum", (stored) => ({ ...stored, state: stored.state.subarray(0, 3) }), "damaged"],
    ["it is empty", (stored) => ({ ...stored, state: new Uint8Array() }), "the state is damaged"],
    [
      "it has a byte more",
      (stored) => ({ ...stored, state: Buffer.concat([stored.state, Buffer.alloc(1)]) }),
      "damaged",
    ],
    ["its length is too small", (stored) => ({ ...stored, stateBytes: stored.stateBytes - 1 }), "expected a state of"],
    ["its length is too large", (stored) => ({ ...stored, stateBytes: stored.stateBytes + 1 }), "expected a state of"],
    ["its length is negative", (stored) => ({ ...stored, stateBytes: -1 }), "expected a state of"],
    ["its length is absurd", (stored) => ({ ...stored, stateBytes: Number.MAX_SAFE_INTEGER }), "expected a state of"],
    ["its encoding says that it is compressed", (stored) => ({ ...stored, encoding: "json+deflate" }), "damaged"],
    ["its encoding does not say that it is compressed", (stored) => ({ ...stored, encoding: "json+pieces" }), ""],
    [
      "its encoding names another form",
      (stored) => ({ ...stored, encoding: "tagged+pieces+deflate" }),
      "match its digest",
    ],
  ])("is refused as damaged if %s", async (_name, damage, words) => {
    const stored = await packFull(turns(50));
    expect(stored.encoding).toBe("json+pieces+deflate");
    const outcome = await readOrError(damage(stored));
    expect(outcome).toBeInstanceOf(DamagedState);
    expect((outcome as Error).message).toContain(words);
  });

  test("is refused if its base is another state, or is missing", async () => {
    const stored = await pack(takeSnapshot(turns(80), { base }), base);
    for (const other of [null, takeSnapshot(turns(3)), takeSnapshot(turns(81)), takeSnapshot("x")]) {
      expect(await readOrError(stored, other)).toBeInstanceOf(DamagedState);
    }
  });

  test("is refused whatever its bytes are, even if the checksum matches", async () => {
    const digest = new Uint8Array(32);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 24 }),
        fc.boolean(),
        fc.constantFrom("json+pieces", "json+pieces+deflate", "tagged+pieces+anchor"),
        async (bytes, fromBase, encoding) => {
          const state = Buffer.alloc(bytes.length + 4);
          state.set(bytes);
          state.writeUInt32LE(crc32(bytes), bytes.length);
          const outcome = await readOrError({ encoding, state, stateBytes: 7, digest }, fromBase ? base : null);
          expect(outcome).toBeInstanceOf(DamagedState);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("an encoding", () => {
  test.each([
    "json+brotli",
    "delta",
    "",
    "JSON",
    "json ",
    "json+deflate\n",
    "constructor",
    "json+deflate+pieces",
    "json+anchor+pieces",
    "tagged+pieces+deflate+anchor+encrypted",
    "pieces",
  ])("is refused as one of a newer version, not as damaged, if it is %j", async (encoding) => {
    expect(await readOrError({ ...(await packFull(1)), encoding })).toBeInstanceOf(UnknownEncoding);
  });

  test("is parsed into its words", () => {
    expect(parseEncoding("tagged+pieces+deflate+anchor")).toEqual({
      form: "tagged",
      hasSteps: true,
      isDeflated: true,
      isSkip: true,
    });
    expect(parseEncoding("json")).toEqual({ form: "json", hasSteps: false, isDeflated: false, isSkip: false });
  });
});
