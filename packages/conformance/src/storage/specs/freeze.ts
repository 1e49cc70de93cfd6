import type { CheckpointStorage } from "@waymark/core";
import { beforeEach, describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { conversation, prose } from "../conversations.ts";
import { afterEachChange, expectRoundTrips } from "../round-trips.ts";

export function describeFreeze(bench: Bench): void {
  describe("with freeze: true", () => {
    let storage: CheckpointStorage;
    beforeEach(() => {
      storage = bench.open({ freeze: true });
      return () => storage.close();
    });
    const store = (state: unknown) => storage.storeCheckpoint(checkpointOf(newAgent(), { state }));

    it("a stored state is frozen: all of its plain objects and arrays", async () => {
      const bare = Object.assign(Object.create(null), { inner: { a: 1 } });
      const list = [{ a: [1, { b: {} }] }, [], ...conversation(1, 4).messages];
      const state = { list, nested: { more: { empty: {} } }, bare, text: "t", none: null };
      await store(state);
      const open: string[] = [];
      const walk = (value: unknown, path: string) => {
        if (typeof value !== "object" || value === null) return;
        if (!Object.isFrozen(value)) open.push(path);
        for (const [key, item] of Object.entries(value)) walk(item, `${path}.${key}`);
      };
      walk(state, "state");
      expect(open).toStrictEqual([]);
    });

    it("a state is frozen once the call returns: it cannot change before it is stored", () => {
      const state = { list: [{ a: 1 }] };
      const stored = store(state);
      expect([state, state.list, state.list[0]].map((value) => Object.isFrozen(value))).toStrictEqual([
        true,
        true,
        true,
      ]);
      return stored;
    });

    it("Maps, Sets, Dates and bytes are not frozen, and their later changes are stored", async () => {
      const map = new Map<string, unknown>([["a", 1]]);
      const [set, at, bytes, buffer] = [
        new Set<unknown>([1]),
        new Date(0),
        new Uint8Array([1, 2]),
        Buffer.from("text"),
      ];
      const state = { map, set, at, bytes, buffer, filler: prose(1, 6_000) };
      const changes = [
        () => map.set("b", { c: [2] }),
        () => set.add("two"),
        () => at.setTime(5),
        () => bytes.fill(9),
        () => buffer.fill("x"),
        () => map.delete("a"),
      ];
      await expectRoundTrips(bench, storage, afterEachChange(state, changes));
      expect(Object.isFrozen(state)).toBe(true);
      expect([map, set, at].map((value) => Object.isFrozen(value))).toStrictEqual([false, false, false]);
    });

    it("states that share the messages of the ones before come back turn by turn", async () => {
      let messages: readonly unknown[] = [];
      const turns = Array.from({ length: 20 }, (_, turn) => () => {
        messages = [...messages, conversation(3, turn + 1).messages.at(-1)];
        return { ...conversation(3, turn + 1), messages };
      });
      await expectRoundTrips(bench, storage, turns);
    });

    it("a retrieved state is new and not frozen, each time", async () => {
      const id = await store(conversation(1, 4));
      const [one, other] = [await storage.retrieveCheckpoint(id), await storage.retrieveCheckpoint(id)];
      for (const checkpoint of [one, other]) {
        const state = checkpoint?.state as { messages: { text: string }[] };
        const levels = [state, state.messages, state.messages[0]];
        expect(levels.map((value) => Object.isFrozen(value))).toStrictEqual([false, false, false]);
      }
      expect(one?.state).not.toBe(other?.state);
    });
  });
}
