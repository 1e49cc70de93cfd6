import { createHash } from "node:crypto";
import { crc32, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkList } from "../../src/codec/delta.ts";
import {
  DamagedState,
  packSnapshot,
  parseEncoding,
  type StoredState,
  UnknownEncoding,
  unpackState,
  verifySnapshot,
} from "../../src/codec/format.ts";
import { decodeSnapshot, type Snapshot, sameContent, takeSnapshot } from "../../src/codec/snapshot.ts";
import { encodeValue, UnsupportedValue } from "../../src/codec/values.ts";
import { anyState, difference } from "./any-state.ts";

/** A snapshot as a row holds it: whole, or as the difference to a base. */
async function pack(snapshot: Snapshot, base: Snapshot | null = null, anchor = false): Promise<StoredState> {
  const { stateBytes, digest } = snapshot;
  return { ...(await packSnapshot(snapshot, base, anchor)), stateBytes, digest };
}

async function unpack(stored: StoredState, base: Snapshot | null = null): Promise<Snapshot> {
  const opened = await unpackState(stored, base === null);
  return verifySnapshot(await opened.applyTo(base && ChunkList.of(base.chunks)), stored);
}

const read = async (stored: StoredState, base: Snapshot | null = null) => decodeSnapshot(await unpack(stored, base));
const packWhole = (state: unknown) => pack(takeSnapshot(state));
const readOrError = (stored: StoredState, base: Snapshot | null = null) =>
  read(stored, base).catch((error: unknown) => error);

const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
/** Long enough to be compressed, by this thread or by another. */
const turns = (count: number) =>
  Array.from({ length: count }, (_, turn) => ({ role: "user", content: `turn ${turn}: à 🚀` }));
/** Each is a piece of its own. */
const longTurns = (count: number) => turns(count).map((turn) => ({ ...turn, thought: "à 🚀".repeat(40) }));
/** What compression gains nothing from. */
const noise = (bytes: number) =>
  Buffer.concat(
    Array.from({ length: Math.ceil(bytes / 32) }, (_, at) => createHash("sha256").update(`noise ${at}`).digest()),
  ).subarray(0, bytes);
const changeAt = (bytes: Uint8Array, at: number, by: number) =>
  bytes.map((byte, index) => (index === at % bytes.length ? (byte + by) % 256 : byte));

describe("a state that is packed and unpacked", () => {
  test("it is strictly equal to what it was", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, async (state) => {
        expect(difference(await read(await packWhole(state)), state)).toBeNull();
      }),
      { numRuns: 3_000 },
    );
  });

  test("it is strictly equal to what it was as the difference to any other", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, anyState, fc.boolean(), async (state, before, isLike) => {
        const base = takeSnapshot(before);
        const snapshot = takeSnapshot(state, isLike ? { base } : {});
        expect(difference(await read(await pack(snapshot, base), base), state)).toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([1, 10, 1_000, 20_000])("it is what it was with %d turns", async (count) => {
    const state = { messages: turns(count), at: new Date(0) };
    expect(difference(await read(await packWhole(state)), state)).toBeNull();
  });

  test.each([0, 1, 500, 1_000, 1_500])("it is what it was with 1,000 turns, from one with %d", async (count) => {
    const base = takeSnapshot({ messages: turns(count), at: new Date(0) });
    const state = { messages: turns(1_000), at: new Date(1) };
    const stored = await pack(takeSnapshot(state, { base }), base);
    expect(difference(await read(stored, base), state)).toBeNull();
  });

  test("it is stored with the length and the SHA-256 of its text, if it is in one piece", async () => {
    const text = JSON.stringify({ role: "user", content: "à 🚀".repeat(300) });
    const { encoding, stateBytes, digest, state } = await packWhole(JSON.parse(text));
    expect(encoding).toBe("json+pieces+deflate");
    expect(stateBytes).toBe(Buffer.byteLength(text));
    expect(hex(digest)).toBe(sha256(text));
    expect(state.byteLength).toBeLessThan(stateBytes / 4);
    expect(hex(takeSnapshot({ a: undefined }).digest)).toBe(sha256('tagged\0{"a":{"$":["undefined"]}}'));
  });

  test("it is stored with a digest of its pieces, if it is in several", async () => {
    const snapshot = takeSnapshot(longTurns(100));
    expect(snapshot.chunks.length).toBeGreaterThan(128);
    expect(snapshot.stateBytes).toBe(Buffer.byteLength(JSON.stringify(longTurns(100))));
    // As the format says, for whoever wants to verify a row without this codec.
    const names = snapshot.chunks.map(({ text }) =>
      text.length < 32 ? `${text.length}:${text}` : `#${createHash("sha256").update(text).digest("base64")}`,
    );
    const blocks = Array.from({ length: Math.ceil(names.length / 64) }, (_, block) =>
      createHash("sha256")
        .update(names.slice(block * 64, block * 64 + 64).join(""))
        .digest("base64"),
    );
    expect(hex(snapshot.digest)).toBe(sha256(`json+pieces\0${blocks.join("")}`));
  });

  test("it has another digest than a state whose text is the same in another form", () => {
    const [tag, nothing] = [takeSnapshot({ $: ["undefined"] }), takeSnapshot(undefined)];
    expect(tag.chunks.map(({ text }) => text)).toEqual(nothing.chunks.map(({ text }) => text));
    expect(Buffer.compare(tag.digest, nothing.digest)).not.toBe(0);
    expect([sameContent(tag, nothing), sameContent(tag, tag)]).toEqual([false, true]);
  });

  test("it has the digest that it has without another that it is like", () => {
    const before = takeSnapshot(longTurns(500));
    const others = [501, 500, 100, 0].map(longTurns);
    for (const state of [...others, [...longTurns(400), ...longTurns(70)], longTurns(500).slice(7)]) {
      const [alone, like] = [takeSnapshot(state), takeSnapshot(state, { base: before })];
      expect([hex(like.digest), like.stateBytes]).toEqual([hex(alone.digest), alone.stateBytes]);
      expect(like.memoryBytes).toBe(alone.memoryBytes);
    }
  });

  test("it shares the pieces that are the same with the one that it is like", () => {
    const before = takeSnapshot(longTurns(100));
    const after = takeSnapshot([...longTurns(100), "new"], { base: before });
    const own = after.chunks.filter((piece) => !before.chunks.includes(piece));
    expect(own.length).toBeLessThan(4);
    expect(after.chunks.length).toBeGreaterThan(128);
  });

  test("it is left as it is where compression gains nothing", async () => {
    expect((await packWhole({ a: 1 })).encoding).toBe("json");
    expect((await packWhole({ a: undefined })).encoding).toBe("tagged");
    const { encoding, state, stateBytes } = await packWhole(noise(90).toString("base64"));
    expect([encoding, state.byteLength]).toEqual(["json", stateBytes]);
    // Base64 of noise is made of 64 characters; what deflate cannot shorten has to use all of them.
    const units = String.fromCodePoint(...noise(2_000).map((byte) => 0x20 + (byte % 0x5c))).replaceAll(/["\\]/g, "_");
    const whole = await packWhole(units);
    expect(whole.encoding).toMatch(/^json\+pieces(\+deflate)?$/);
    expect(whole.state.byteLength).toBeLessThan(whole.stateBytes + 32);
  });

  test("it takes no more than what has changed, as the difference to the one before", async () => {
    const base = takeSnapshot({ messages: longTurns(500) });
    const snapshot = takeSnapshot({ messages: longTurns(501) }, { base });
    const { encoding, state } = await pack(snapshot, base);
    expect(encoding).toMatch(/^json\+pieces(\+deflate)?$/);
    expect(state.byteLength).toBeLessThan(400);
    expect((await pack(base, base)).state.byteLength).toBeLessThan(32);
  });

  test("it is the same as an anchor, and says that it is one", async () => {
    const base = takeSnapshot({ messages: turns(100) });
    const snapshot = takeSnapshot({ messages: turns(130) }, { base });
    const [plain, anchor] = [await pack(snapshot, base), await pack(snapshot, base, true)];
    expect([plain.encoding, anchor.encoding]).toEqual(["json+pieces+deflate", "json+pieces+deflate+anchor"]);
    expect([anchor.stateBytes, hex(anchor.digest)]).toEqual([plain.stateBytes, hex(plain.digest)]);
    expect(await read(anchor, base)).toEqual({ messages: turns(130) });
  });

  test("it is a snapshot: what changes after it was taken is not in it", async () => {
    const state = { turns: [1], bytes: new Uint8Array([1]), long: turns(300) };
    const expected = structuredClone(state);
    const snapshot = takeSnapshot(state);
    state.turns.push(2);
    state.bytes[0] = 9;
    state.long.splice(10, 5);
    (state.long[0] as { content: string }).content = "changed";
    expect(await read(await pack(snapshot))).toEqual(expected);
    expect(decodeSnapshot(snapshot)).toEqual(expected);
  });

  test("it is another value each time that it is asked for", () => {
    const snapshot = takeSnapshot({ turns: [1] });
    (decodeSnapshot(snapshot) as { turns: number[] }).turns.push(2);
    expect(decodeSnapshot(snapshot)).toEqual({ turns: [1] });
  });

  test("it is refused by its path if it cannot come back", () => {
    expect(() => takeSnapshot({ a: [() => 1] })).toThrow(new UnsupportedValue("state.a[0] is a function"));
  });

  test("it is frozen to its depth where that is asked for, and only then", () => {
    const loose = { a: [{ b: 1 }], at: new Date(0) };
    takeSnapshot(loose);
    expect([Object.isFrozen(loose), Object.isFrozen(loose.a[0])]).toEqual([false, false]);
    takeSnapshot(loose, { freeze: true });
    expect([loose, loose.a, loose.a[0]].map((part) => Object.isFrozen(part))).toEqual([true, true, true]);
  });
});

describe("a row of the version before", () => {
  /** As version 0.1 wrote it: the whole text, maybe deflated, and the SHA-256 of the text with its form. */
  function written(state: unknown, compressed: boolean): StoredState {
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

  test("it opens, whatever it holds", async () => {
    await fc.assert(
      fc.asyncProperty(anyState, fc.boolean(), async (state, compressed) => {
        expect(difference(await read(written(state, compressed)), state)).toBeNull();
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
  ])("it opens, and is what the next one is a difference to: %s", async (encoding, state, compressed) => {
    const old = written(state, compressed);
    expect(old.encoding).toBe(encoding);
    const base = await unpack(old);
    expect(difference(decodeSnapshot(base), state)).toBeNull();
    const next = takeSnapshot({ ...(state as object), more: 1 }, { base });
    expect(difference(await read(await pack(next, base), base), { ...(state as object), more: 1 })).toBeNull();
  });

  test("it is the same state as one that was cut into pieces since", async () => {
    const state = { messages: turns(500) };
    const [old, now] = [await unpack(written(state, true)), takeSnapshot(state)];
    expect(Buffer.compare(old.digest, now.digest)).not.toBe(0);
    expect(sameContent(old, now)).toBe(true);
    expect(sameContent(old, takeSnapshot({ messages: turns(501) }))).toBe(false);
  });

  test("it is refused if a difference is expected", async () => {
    const base = takeSnapshot(turns(50));
    expect(await readOrError(written(turns(50), true), base)).toEqual(
      new DamagedState("the state is whole, and should be a difference"),
    );
  });

  test.each<[string, (stored: StoredState) => StoredState, string]>([
    ["it is cut", (stored) => ({ ...stored, state: stored.state.subarray(0, -9) }), "the compressed state is damaged"],
    ["it is empty", (stored) => ({ ...stored, state: new Uint8Array() }), "the compressed state is damaged"],
    ["its length is too small", (stored) => ({ ...stored, stateBytes: stored.stateBytes - 1 }), "should have"],
    ["its length is much too small", (stored) => ({ ...stored, stateBytes: 3 }), "damaged"],
    ["its length is too large", (stored) => ({ ...stored, stateBytes: stored.stateBytes + 1 }), "should have"],
    ["its length is no length", (stored) => ({ ...stored, stateBytes: -1 }), "damaged"],
    ["its length is absurd", (stored) => ({ ...stored, stateBytes: Number.MAX_SAFE_INTEGER }), "damaged"],
    ["it is not compressed, and should be", (stored) => ({ ...stored, state: Buffer.from("[]") }), "damaged"],
    ["it is compressed, and should not be", (stored) => ({ ...stored, encoding: "json" }), "should have"],
    ["it should be in pieces", (stored) => ({ ...stored, encoding: "json+pieces" }), "the state is damaged"],
    ["it should be tagged", (stored) => ({ ...stored, encoding: "tagged+deflate" }), "does not match its digest"],
  ])("it is refused as damaged when %s", async (_name, damage, words) => {
    const outcome = await readOrError(damage(written(turns(50), true)));
    expect(outcome).toBeInstanceOf(DamagedState);
    expect((outcome as Error).message).toContain(words);
  });

  test("it is refused without being inflated, when it would be a hundred megabytes instead of a thousand bytes", async () => {
    const bomb = deflateRawSync(Buffer.alloc(100_000_000));
    const before = process.memoryUsage().arrayBuffers;
    for (const stateBytes of [1_000, 40_000]) {
      const stored = { encoding: "json+deflate", state: bomb, stateBytes, digest: new Uint8Array(32) };
      await expect(unpackState(stored, true)).rejects.toThrow(DamagedState);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });
});

describe("a stored state that is damaged", () => {
  const base = takeSnapshot([{ role: "system", content: "a".repeat(200) }, ...turns(40)]);

  test.each<[string, unknown, Snapshot | null]>([
    ["whole", turns(1), null],
    ["compressed", turns(20), null],
    ["compressed by another thread", turns(2_000), null],
    ["a difference", [...turns(40), { role: "user", content: "short" }], base],
    ["a difference that is compressed", turns(80), base],
  ])("it is told apart from every other, when one byte of it changes: %s", async (_name, state, from) => {
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
      "its digest is another",
      (stored) => ({ ...stored, digest: changeAt(stored.digest, 7, 1) }),
      "does not match its digest",
    ],
    ["its digest is cut", (stored) => ({ ...stored, digest: stored.digest.subarray(1) }), "does not match its digest"],
    ["it is cut", (stored) => ({ ...stored, state: stored.state.subarray(0, -9) }), "the state is damaged"],
    ["it is cut to less than a checksum", (stored) => ({ ...stored, state: stored.state.subarray(0, 3) }), "damaged"],
    ["it is empty", (stored) => ({ ...stored, state: new Uint8Array() }), "the state is damaged"],
    ["it goes on", (stored) => ({ ...stored, state: Buffer.concat([stored.state, Buffer.alloc(1)]) }), "damaged"],
    ["its length is too small", (stored) => ({ ...stored, stateBytes: stored.stateBytes - 1 }), "should have"],
    ["its length is too large", (stored) => ({ ...stored, stateBytes: stored.stateBytes + 1 }), "should have"],
    ["its length is no length", (stored) => ({ ...stored, stateBytes: -1 }), "should have"],
    ["its length is absurd", (stored) => ({ ...stored, stateBytes: Number.MAX_SAFE_INTEGER }), "should have"],
    ["it is not compressed, and should be", (stored) => ({ ...stored, encoding: "json+deflate" }), "damaged"],
    ["it is compressed, and should not be", (stored) => ({ ...stored, encoding: "json+pieces" }), ""],
    ["it is of another form", (stored) => ({ ...stored, encoding: "tagged+pieces+deflate" }), "match its digest"],
  ])("it is refused as damaged when %s", async (_name, damage, words) => {
    const stored = await packWhole(turns(50));
    expect(stored.encoding).toBe("json+pieces+deflate");
    const outcome = await readOrError(damage(stored));
    expect(outcome).toBeInstanceOf(DamagedState);
    expect((outcome as Error).message).toContain(words);
  });

  test("it is refused when its base is another one, or is not there", async () => {
    const stored = await pack(takeSnapshot(turns(80), { base }), base);
    for (const other of [null, takeSnapshot(turns(3)), takeSnapshot(turns(81)), takeSnapshot("x")]) {
      expect(await readOrError(stored, other)).toBeInstanceOf(DamagedState);
    }
  });

  test("it never takes what bytes of any kind say for a state, with a checksum that fits", async () => {
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
  ])("it is refused as of a newer version, not as damaged, when its encoding is %j", async (encoding) => {
    expect(await readOrError({ ...(await packWhole(1)), encoding })).toBeInstanceOf(UnknownEncoding);
  });

  test("it names its encoding in words that are read back as they were meant", () => {
    expect(parseEncoding("tagged+pieces+deflate+anchor")).toEqual({
      form: "tagged",
      pieces: true,
      deflated: true,
      anchor: true,
    });
    expect(parseEncoding("json")).toEqual({ form: "json", pieces: false, deflated: false, anchor: false });
  });
});
