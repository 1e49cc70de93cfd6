import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { conversation, prose } from "../conversations.ts";
import { refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";
import { afterEachChange, deepFreeze, expectRoundTrips } from "../round-trips.ts";

/** Changes of an object that was stored before, after which it can still be stored. */
const PLAIN_CHANGES: Readonly<Record<string, (part: Part) => unknown>> = {
  "another text": (part) => {
    part.text = prose(2, 1_000);
  },
  "another text of the same length": (part) => {
    part.text = `${part.text.slice(0, -1)}!`;
  },
  "one member more": (part) => Object.assign(part, { more: 1 }),
  "one member less": (part) => Reflect.deleteProperty(part, "tokens"),
  "another order of its members": (part) => {
    const { tokens } = part;
    Reflect.deleteProperty(part, "tokens");
    part.tokens = tokens;
  },
  "-0 for 0": (part) => {
    part.tokens = -0;
  },
  "NaN for 0": (part) => {
    part.tokens = Number.NaN;
  },
  "undefined for a value": (part) => Object.assign(part, { tokens: undefined }),
  "a bigint for a number": (part) => Object.assign(part, { tokens: 0n }),
  "a text that looks like a number": (part) => Object.assign(part, { tokens: "0" }),
  "a key that begins with $": (part) => Object.assign(part, { $: ["undefined"] }),
  "an own __proto__": (part) =>
    Object.defineProperty(part, "__proto__", { value: { a: 1 }, enumerable: true, configurable: true, writable: true }),
  "no prototype": (part) => Object.setPrototypeOf(part, null),
  "a getter for a member": (part) => Object.defineProperty(part, "tokens", { enumerable: true, get: () => 5 }),
  "one element more": (part) => part.list.push(4),
  "one element less": (part) => part.list.pop(),
  "a hole in its list": (part) => Reflect.deleteProperty(part.list, 1),
  "a longer list of holes": (part) => {
    part.list.length = 7;
  },
  "another element deep inside": (part) => {
    part.inner.list[1] = { b: 3 };
  },
  "another member deep inside": (part) => {
    (part.inner.list[1] as { b: number }).b = 3;
  },
};

/** The same for values other than plain objects and arrays. */
const RICH_CHANGES: Readonly<Record<string, (part: RichPart) => unknown>> = {
  "another time": (part) => part.at.setTime(1),
  "an invalid time": (part) => part.at.setTime(Number.NaN),
  "another date at the same time": (part) => Object.assign(part, { at: new Date(part.at) }),
  "a number for a date": (part) => Object.assign(part, { at: part.at.getTime() }),
  "other bytes": (part) => part.bytes.fill(3),
  "a Buffer for a Uint8Array": (part) => Object.assign(part, { bytes: Buffer.from(part.bytes) }),
  "another entry of its Map": (part) => part.map.set("k", { v: 2 }),
  "another member in an entry of its Map": (part) => {
    (part.map.get("k") as { v: number }).v = 2;
  },
  "another value of its Set": (part) => part.set.add(9),
  "another order of its Set": (part) => {
    part.set.delete(1);
    part.set.add(1);
  },
};

/** Changes after which it can no longer be stored, and the path that the error names. */
const SPOILS: Readonly<Record<string, [(part: Part) => unknown, path: string]>> = {
  "a function": [(part) => Object.assign(part, { tokens: () => 1 }), "tokens"],
  "a symbol as a key": [(part) => Object.assign(part, { [Symbol("s")]: 1 }), ""],
  "a non-enumerable member": [(part) => Object.defineProperty(part, "hidden", { value: 1 }), ""],
  "a member beside the elements of its list": [(part) => Object.assign(part.list, { more: 1 }), ".list"],
  "the prototype of a class": [(part) => Object.setPrototypeOf(part, class Part {}.prototype), ""],
  "a toJSON method": [(part) => Object.assign(part, { toJSON: () => 1 }), "toJSON"],
  "itself in its list": [(part) => part.list.push(part), ""],
  "a getter that throws": [
    (part) =>
      Object.defineProperty(part, "tokens", {
        enumerable: true,
        get: () => {
          throw new TypeError("from the getter");
        },
      }),
    "",
  ],
};

interface Part {
  text: string;
  tokens: number;
  list: unknown[];
  inner: { list: unknown[] };
}

interface RichPart extends Part {
  at: Date;
  bytes: Uint8Array;
  map: Map<unknown, unknown>;
  set: Set<unknown>;
}

/** Returns an object that is large enough for the memo of the codec. */
function newPart(): Part {
  return { text: prose(1, 1_000), tokens: 0, list: [1, 2, 3], inner: { list: [{ a: 1 }, { b: 2 }] } };
}

function newRichPart(): RichPart {
  const map = new Map([["k", { v: 1 }]]);
  return { ...newPart(), at: new Date(0), bytes: new Uint8Array(16), map, set: new Set([1, 2]) };
}

/** Tests that store the same object again: its encoding may be reused only if nothing in it can have changed. */
export function describeSameObject(bench: Bench): void {
  const store = (state: unknown) => bench.storage.storeCheckpoint(checkpointOf(newAgent(), { state }));

  describe("an object that is stored again", () => {
    it.each(Object.entries(PLAIN_CHANGES))("is stored as it is at that time, with %s", async (_, change) => {
      for (const part of [newPart(), newRichPart()]) {
        const state = { messages: [{ text: prose(3, 2_000) }, part, { text: prose(4, 4_000) }] };
        await expectRoundTrips(bench, bench.storage, afterEachChange(state, [() => change(part)]));
      }
    });

    it.each(Object.entries(RICH_CHANGES))("is stored as it is at that time, with %s", async (_, change) => {
      const part = newRichPart();
      const state = { messages: [{ text: prose(3, 2_000) }, part, { text: prose(4, 4_000) }] };
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, [() => change(part)]));
    });

    it.each(Object.entries(SPOILS))("is rejected with UNSUPPORTED_VALUE once it has %s", async (_, [spoil, path]) => {
      const part = newPart();
      const state = { messages: [{ text: prose(3, 2_000) }, part, { text: prose(4, 4_000) }] };
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, []));
      spoil(part);
      for (let attempt = 0; attempt < 3; attempt++) {
        const error = await refusal(store(state), "UNSUPPORTED_VALUE");
        expect(error.message).toContain(path);
      }
    });

    it("is stored as it is at that time, with messages added, changed, moved and dropped", async () => {
      const message = { text: prose(1, 3_000), tokens: 1 };
      const state: { messages: unknown[]; count?: number } = { messages: [message, { text: prose(2, 3_000) }] };
      const changes = [
        () => Object.assign(message, { tokens: 2 }),
        () => state.messages.push("new"),
        () => state.messages.reverse(),
        () => Object.assign(state, { count: 1 }),
        () => Object.assign(message, { text: prose(3, 3_000) }),
        () => state.messages.push(message, message),
        () => state.messages.splice(0, 2),
      ];
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, changes));
    });

    it("is stored as it is at that time, by several storages for several agents at once", async () => {
      const part = newRichPart();
      const state = { part, filler: prose(1, 6_000) };
      const storages = [bench.storage, bench.open(), bench.open({ freeze: false, cacheBytes: 0 })];
      await Promise.all(storages.map((storage) => expectRoundTrips(bench, storage, afterEachChange(state, []))));
      part.at.setTime(9);
      part.text = "short now";
      await Promise.all(storages.map((storage) => expectRoundTrips(bench, storage, afterEachChange(state, []))));
    });
  });

  describe("a frozen object that is stored again", () => {
    it("is stored as it is at that time if parts of it are not frozen", async () => {
      const inner = { list: [1, 2, 3], text: prose(1, 5_000) };
      const state = Object.freeze({ frozen: Object.freeze([Object.freeze({ inner })]), filler: prose(2, 5_000) });
      const changes = [
        () => inner.list.push(4),
        () => Object.assign(inner, { text: "another" }),
        () => Object.freeze(inner),
        () => inner.list.push(5),
        () => Object.freeze(inner.list),
      ];
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, changes));
    });

    it("is stored as it is at that time if it contains a Map, a Set, a Date or bytes, frozen or not", async () => {
      const [map, set, at, bytes] = [new Map([["a", 1]]), new Set([1]), new Date(0), new Uint8Array([1, 2, 3])];
      const tools = Object.freeze({ map, set, at, bytes });
      const state = Object.freeze({ history: Object.freeze([Object.freeze({ text: prose(1, 5_000) }), tools]) });
      for (const value of [map, set, at]) Object.freeze(value); // their contents can still change
      const changes = [
        () => map.set("a", 2),
        () => set.add(2),
        () => at.setTime(7),
        () => bytes.fill(7),
        () => map.clear(),
      ];
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, changes));
    });

    it("is stored as it is at that time if a getter returns a part of it", async () => {
      let tokens = 1;
      const usage = Object.freeze(Object.defineProperty({}, "tokens", { enumerable: true, get: () => tokens }));
      const list = Object.freeze(Object.defineProperty([1], 0, { enumerable: true, get: () => tokens })) as unknown[];
      const state = Object.freeze({ usage, list, filler: prose(1, 5_000) });
      const agentId = newAgent();
      const ids: string[] = [];
      for (tokens = 1; tokens <= 4; tokens++) {
        ids.push(await bench.storage.storeCheckpoint(checkpointOf(agentId, { state })));
      }
      const cold = bench.open({ cacheBytes: 0 });
      for (const [index, id] of ids.entries()) {
        const expected = { usage: { tokens: index + 1 }, list: [index + 1] };
        expect(await cold.retrieveCheckpoint(id)).toMatchObject({ state: expected });
      }
    });

    it("is stored as it is at that time if a Proxy returns a part of it", async () => {
      let tokens = 1;
      const usage = new Proxy(
        { tokens: 0 },
        { get: (target, key) => (key === "tokens" ? tokens : Reflect.get(target, key)) },
      );
      const state = Object.freeze({ usage, filler: prose(1, 5_000) });
      const agentId = newAgent();
      const ids: string[] = [];
      for (tokens = 1; tokens <= 4; tokens++) {
        ids.push(await bench.storage.storeCheckpoint(checkpointOf(agentId, { state })));
      }
      const cold = bench.open({ cacheBytes: 0 });
      for (const [index, id] of ids.entries()) {
        expect(await cold.retrieveCheckpoint(id)).toMatchObject({ state: { usage: { tokens: index + 1 } } });
      }
    });

    it("comes back from every place in a state, also from several at once", async () => {
      const history = deepFreeze(conversation(4, 6).messages);
      const states = [
        { history },
        { count: 1, history },
        { earlier: [history.slice(0, 3), history], history },
        { history: [...history, { text: "new" }] },
        [history, history],
        history,
        history[2],
        { history: history.slice(2), dropped: 2 },
        { map: new Map([[history[0], history]]), set: new Set([history]) },
      ];
      for (const storage of [bench.storage, bench.open({ freeze: true })]) {
        await expectRoundTrips(
          bench,
          storage,
          states.map((state) => () => state),
        );
      }
    });

    it("comes back when copies of it with more elements are stored, also different ones", async () => {
      const history = deepFreeze(conversation(5, 6).messages);
      const [one, other] = [deepFreeze({ text: prose(1, 2_000) }), deepFreeze({ text: prose(2, 2_000) })];
      const histories = [
        history,
        [...history, one],
        [...history, other],
        [...history, one, 1, 2, 3],
        [...history, one, 1, 2, 3, "", null, other],
        [...history, other, one],
        history.slice(0, 3),
        [...history.slice(0, 3), one],
        [...history.slice(0, 5), one, history[5]],
        [history[0]],
        [history[0], history[0]],
        [...history, undefined],
        [...history, -0],
        Object.assign([...history], { length: 9 }),
        history.toReversed(),
        [],
        history,
      ].map((array) => Object.freeze(array));
      for (const storage of [bench.storage, bench.open({ freeze: true })]) {
        await expectRoundTrips(
          bench,
          storage,
          histories.map((array) => () => ({ history: array })),
        );
        await expectRoundTrips(
          bench,
          storage,
          histories.map((array) => () => array),
        );
      }
    });

    it("is rejected if a copy of it has members beside its elements", async () => {
      const history = deepFreeze(conversation(6, 6).messages);
      await store({ history });
      const copies = [
        Object.assign([...history], { more: 1 }),
        Object.defineProperty([...history], "hidden", { value: 1 }),
        Object.assign([...history], { [Symbol("s")]: 1 }),
        [...history, () => 1],
      ];
      for (const copied of copies) {
        await refusal(store({ history: Object.freeze(copied) }), "UNSUPPORTED_VALUE");
        await refusal(store({ history: Object.freeze(copied) }), "UNSUPPORTED_VALUE");
      }
    });

    it("comes back if it looks like Waymark's own encoding, with and without values that JSON cannot represent", async () => {
      const history = deepFreeze([
        { $: ["undefined"], text: prose(1, 5_000) },
        { $: ["map", [["a", 1]]], $$: 2, text: prose(2, 500) },
        JSON.parse('{"__proto__": {"a": 1}}'),
      ]);
      const states = [
        { history },
        { history, none: undefined },
        { history },
        { history, big: 1n },
        { history, map: new Map([["h", history]]) },
        { history: Object.freeze([...history, undefined]) },
        { history: Object.freeze([...history, { $: 1 }]) },
        history,
      ];
      await expectRoundTrips(
        bench,
        bench.storage,
        states.map((state) => () => state),
      );
    });

    it("is rejected each time if it contains a value that cannot be stored", async () => {
      const tools = deepFreeze({ tools: [{ run: () => 1 }], filler: prose(1, 5_000) });
      for (let attempt = 0; attempt < 3; attempt++) {
        const error = await refusal(store({ tools }), "UNSUPPORTED_VALUE");
        expect(error.message).toContain("state.tools.tools[0].run");
      }
    });

    it("is rejected if it is nested too deeply this time", async () => {
      let deep: unknown = deepFreeze({ text: prose(1, 5_000) });
      for (let level = 0; level < 600; level++) deep = Object.freeze([deep]);
      await expectRoundTrips(bench, bench.storage, afterEachChange({ deep }, []));
      let deeper = deep;
      for (let level = 0; level < 600; level++) deeper = [deeper];
      await refusal(store({ deeper }), "UNSUPPORTED_VALUE");
      await refusal(store(new Map([["deeper", deeper]])), "UNSUPPORTED_VALUE");
      await expectRoundTrips(bench, bench.storage, afterEachChange({ deep }, []));
    });

    it("is rejected if it contains itself", async () => {
      const self: unknown[] = [prose(1, 5_000)];
      self.push(Object.freeze({ self }));
      Object.freeze(self);
      await refusal(store({ self }), "UNSUPPORTED_VALUE");
      await refusal(store({ again: self }), "UNSUPPORTED_VALUE");
    });
  });

  describe("a state that was retrieved", () => {
    it("belongs to the caller: changing it changes neither the stored state nor the next retrieved one", async () => {
      const agentId = newAgent();
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(2, 4) }));
      for (let round = 0; round < 3; round++) {
        const state = (await bench.storage.retrieveCheckpoint(id))?.state as { messages: { text: string }[] };
        expect(firstDifference(state, conversation(2, 4))).toBeNull();
        (state.messages[0] as { text: string }).text = "overwritten";
        state.messages.length = 1;
      }
      const latest = await bench.storage.retrieveLatestCheckpoint(agentId);
      expect(firstDifference(latest?.state, conversation(2, 4))).toBeNull();
    });

    it("can be changed and stored, and the checkpoint that it came from stays as it was", async () => {
      const agentId = newAgent();
      const id = await bench.storage.storeCheckpoint(checkpointOf(agentId, { state: conversation(2, 6) }));
      const state = (await bench.storage.retrieveCheckpoint(id))?.state as { messages: { text: string }[] };
      const changes = [
        () => state.messages.splice(1, 2),
        () => state.messages.push({ text: prose(9, 900) }),
        () => Object.assign(state.messages[0] as object, { text: "edited" }),
      ];
      await expectRoundTrips(bench, bench.storage, afterEachChange(state, changes));
      for (const storage of [bench.storage, bench.open({ cacheBytes: 0 })]) {
        expect(firstDifference((await storage.retrieveCheckpoint(id))?.state, conversation(2, 6))).toBeNull();
      }
    });

    it("is not frozen without the option freeze, and neither is the stored object", async () => {
      const state = conversation(1, 4);
      const id = await store(state);
      const back = (await bench.storage.retrieveCheckpoint(id))?.state as typeof state;
      for (const value of [state, back]) {
        const levels = [value, value.messages, value.messages[0]];
        expect(levels.map((level) => Object.isFrozen(level))).toStrictEqual([false, false, false]);
      }
    });
  });
}
