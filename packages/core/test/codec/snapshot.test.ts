import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { decodeSnapshot, sameContent, takeSnapshot } from "../../src/codec/snapshot.ts";
import { UnsupportedValue } from "../../src/codec/values.ts";
import { longTurns, pack, packFull, read, turns } from "./packing.ts";

const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("a snapshot", () => {
  test("has the length and the SHA-256 of its text if it is a single chunk", async () => {
    const text = JSON.stringify({ role: "user", content: "à 🚀".repeat(300) });
    const { encoding, stateBytes, digest, state } = await packFull(JSON.parse(text));
    expect(encoding).toBe("json+pieces+deflate");
    expect(stateBytes).toBe(Buffer.byteLength(text));
    expect(hex(digest)).toBe(sha256(text));
    expect(state.byteLength).toBeLessThan(stateBytes / 4);
    expect(hex(takeSnapshot({ a: undefined }).digest)).toBe(sha256('tagged\0{"a":{"$":["undefined"]}}'));
  });

  test("has a digest of its chunks if it has several", async () => {
    const snapshot = takeSnapshot(longTurns(100));
    expect(snapshot.chunks.length).toBeGreaterThan(128);
    expect(snapshot.stateBytes).toBe(Buffer.byteLength(JSON.stringify(longTurns(100))));
    // Computed as the documented format says, without the codec.
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

  test("has another digest than a state with the same text in another form", () => {
    const [tag, nothing] = [takeSnapshot({ $: ["undefined"] }), takeSnapshot(undefined)];
    expect(tag.chunks.map(({ text }) => text)).toEqual(nothing.chunks.map(({ text }) => text));
    expect(Buffer.compare(tag.digest, nothing.digest)).not.toBe(0);
    expect([sameContent(tag, nothing), sameContent(tag, tag)]).toEqual([false, true]);
  });

  test("has the same digest with and without a base", () => {
    const before = takeSnapshot(longTurns(500));
    const others = [501, 500, 100, 0].map(longTurns);
    for (const state of [...others, [...longTurns(400), ...longTurns(70)], longTurns(500).slice(7)]) {
      const [alone, onBase] = [takeSnapshot(state), takeSnapshot(state, { base: before })];
      expect([hex(onBase.digest), onBase.stateBytes]).toEqual([hex(alone.digest), alone.stateBytes]);
      expect(onBase.memoryBytes).toBe(alone.memoryBytes);
    }
  });

  test("shares equal chunks with its base", () => {
    const before = takeSnapshot(longTurns(100));
    const after = takeSnapshot([...longTurns(100), "new"], { base: before });
    const own = after.chunks.filter((chunk) => !before.chunks.includes(chunk));
    expect(own.length).toBeLessThan(4);
    expect(after.chunks.length).toBeGreaterThan(128);
  });

  test("holds the state as it was when it was taken", async () => {
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

  test("decodes to a new value each time", () => {
    const snapshot = takeSnapshot({ turns: [1] });
    (decodeSnapshot(snapshot) as { turns: number[] }).turns.push(2);
    expect(decodeSnapshot(snapshot)).toEqual({ turns: [1] });
  });

  test("refuses an unsupported value with its path", () => {
    expect(() => takeSnapshot({ a: [() => 1] })).toThrow(new UnsupportedValue("state.a[0] is a function"));
  });

  test("freezes the state deeply only if asked to", () => {
    const loose = { a: [{ b: 1 }], at: new Date(0) };
    takeSnapshot(loose);
    expect([Object.isFrozen(loose), Object.isFrozen(loose.a[0])]).toEqual([false, false]);
    takeSnapshot(loose, { freeze: true });
    expect([loose, loose.a, loose.a[0]].map((part) => Object.isFrozen(part))).toEqual([true, true, true]);
  });
});
