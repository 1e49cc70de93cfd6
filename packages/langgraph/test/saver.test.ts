import { ToolMessage } from "@langchain/core/messages";
import { Send } from "@langchain/langgraph";
import {
  type Checkpoint,
  type CheckpointMetadata,
  type CheckpointTuple,
  DeltaSnapshot,
  emptyCheckpoint,
  INTERRUPT,
  MemorySaver,
  type SerializerProtocol,
  TASKS,
  uuid6,
} from "@langchain/langgraph-checkpoint";
import { CheckpointError, type CheckpointStorage } from "@waymark/core";
import { WaymarkSaver } from "@waymark/langgraph";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { databases, pairs, type TestDatabase } from "./databases.ts";

const META: CheckpointMetadata = { source: "loop", step: 1, parents: {} };

function checkpointOf(values: Record<string, unknown>, version = 1): Checkpoint {
  const channel_versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, version]));
  return { ...emptyCheckpoint(), id: uuid6(1), channel_values: values, channel_versions };
}

function configOf(thread_id: unknown, checkpoint_id?: string, checkpoint_ns = "") {
  return { configurable: { thread_id, checkpoint_ns, ...(checkpoint_id === undefined ? {} : { checkpoint_id }) } };
}

async function all(tuples: AsyncIterable<CheckpointTuple>): Promise<CheckpointTuple[]> {
  const found: CheckpointTuple[] = [];
  for await (const tuple of tuples) found.push(tuple);
  return found;
}

const valuesOf = (tuples: readonly CheckpointTuple[]) => tuples.map(({ checkpoint }) => checkpoint.channel_values);

describe.each([...databases, ...pairs].map(({ name, create }) => [name, create] as const))(
  "a saver on %s",
  (_, create) => {
    let database: TestDatabase;
    let storage: CheckpointStorage;
    let saver: WaymarkSaver;
    let threads = 0;
    let thread: string;
    const newThread = () => {
      threads += 1;
      thread = `thread ${threads}`;
      return thread;
    };
    /** A saver with a storage of its own, as another process has. */
    const elsewhere = () => new WaymarkSaver(database.open());

    beforeAll(async () => {
      database = await create();
      storage = database.open();
      saver = new WaymarkSaver(storage);
    });
    afterAll(() => database.drop());

    const put = async (
      checkpoint: Checkpoint,
      {
        parent,
        metadata = META,
        by = saver,
      }: { parent?: string; metadata?: CheckpointMetadata; by?: WaymarkSaver } = {},
    ) => await by.put(configOf(thread, parent), checkpoint, metadata, checkpoint.channel_versions);

    describe("an id that is put again", () => {
      it("is read with the content of the last put: A, B, A", async () => {
        newThread();
        const a = checkpointOf({ value: "A" });
        const b = { ...a, channel_values: { value: "B" } };
        for (const [round, checkpoint] of [a, b, a, b].entries()) {
          const config = await put(checkpoint);
          const by = round % 2 === 0 ? saver : elsewhere();
          expect((await by.getTuple(config))?.checkpoint).toEqual(checkpoint);
          expect((await by.getTuple(configOf(thread)))?.checkpoint).toEqual(checkpoint);
          expect(valuesOf(await all(by.list(configOf(thread))))).toEqual([checkpoint.channel_values]);
        }
      });

      it("makes no second row for the same content", async () => {
        const checkpoint = checkpointOf({ value: newThread() });
        await put(checkpoint);
        await put(checkpoint);
        await put(checkpoint, { by: elsewhere() });
        expect((await storage.stats({ agentId: thread })).checkpoints).toBe(1);
      });

      it("is listed by its newest metadata", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: 1 });
        await put(checkpoint, { metadata: { ...META, source: "input" } });
        await put(checkpoint, { metadata: { ...META, source: "update" } });
        expect(await all(saver.list(configOf(thread), { filter: { source: "input" } }))).toEqual([]);
        expect(await all(saver.list(configOf(thread), { filter: { source: "update" } }))).toHaveLength(1);
      });

      it("keeps its earlier writes", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: "A" });
        const config = await put(checkpoint);
        await saver.putWrites(config, [["channel", "before"]], "task 1");
        await put({ ...checkpoint, channel_values: { value: "B" } }, { by: elsewhere() });
        await elsewhere().putWrites(config, [["channel", "after"]], "task 2");
        await elsewhere().putWrites(config, [["channel", "too late"]], "task 1");
        const writes = [
          ["task 1", "channel", "before"],
          ["task 2", "channel", "after"],
        ];
        expect((await elsewhere().getTuple(config))?.pendingWrites).toEqual(writes);
        expect((await elsewhere().getTuple(configOf(thread)))?.pendingWrites).toEqual(writes);
        // Also if the revision that had them is pruned.
        await storage.pruneCheckpoints({ agentId: thread, keepLast: 1 });
        expect((await storage.stats({ agentId: thread })).checkpoints).toBe(1);
        expect((await elsewhere().getTuple(config))?.pendingWrites).toEqual(writes);
        await saver.putWrites(config, [["channel", "after pruning"]], "task 3"); // this saver remembers the pruned revision
        expect((await saver.getTuple(config))?.pendingWrites).toHaveLength(3);
      });

      it("keeps the latest interrupt of a task, in whichever revision", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: "A" });
        const config = await put(checkpoint);
        const latest = async () => (await elsewhere().getTuple(config))?.pendingWrites?.map(([, , value]) => value);
        await saver.putWrites(config, [[INTERRUPT, "first"]], "task");
        await put({ ...checkpoint, channel_values: { value: "B" } }, { by: elsewhere() });
        expect(await latest()).toEqual(["first"]);
        await elsewhere().putWrites(config, [[INTERRUPT, "second"]], "task");
        expect(await latest()).toEqual(["second"]);
      });

      it("does not pass an outdated value on to the next checkpoint", async () => {
        newThread();
        const root = checkpointOf({ value: "A", count: 1 });
        await put(root);
        await put({ ...root, channel_values: { value: "B", count: 1 } }, { by: elsewhere() });
        const read = await saver.getTuple(configOf(thread));
        const next = {
          ...checkpointOf({ ...read?.checkpoint.channel_values, count: 2 }),
          channel_versions: { value: 1, count: 2 },
        };
        await saver.put(configOf(thread, root.id), next, META, { count: 2 });
        expect((await saver.getTuple(configOf(thread)))?.checkpoint.channel_values).toEqual({ value: "B", count: 2 });
      });

      it("ends as one of several concurrent puts", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: 0 });
        const savers = [saver, elsewhere(), elsewhere()];
        await Promise.all(
          Array.from({ length: 9 }, (_, value) =>
            put({ ...checkpoint, channel_values: { value } }, { by: savers[value % 3] ?? saver }),
          ),
        );
        const [one, two] = await Promise.all(savers.slice(0, 2).map((by) => by.getTuple(configOf(thread))));
        expect(one?.checkpoint.channel_values["value"]).toBeTypeOf("number");
        expect(one).toEqual(two);
      });
    });

    describe("writes", () => {
      it("may be put before their checkpoint", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: 1 });
        const config = configOf(thread, checkpoint.id);
        await saver.putWrites(config, [["early", 1]], "task 1");
        expect(await saver.getTuple(config)).toBeUndefined();
        const putting = put(checkpoint);
        const meanwhile = saver.putWrites(config, [["meanwhile", 2]], "task 2");
        await putting;
        // Writes acknowledged before the put are stored when the put resolves.
        expect((await elsewhere().getTuple(config))?.pendingWrites).toContainEqual(["task 1", "early", 1]);
        await meanwhile;
        await saver.putWrites(config, [["late", 3]], "task 3");
        expect((await elsewhere().getTuple(config))?.pendingWrites?.map(([, channel]) => channel)).toEqual([
          "early",
          "meanwhile",
          "late",
        ]);
      });

      it("do no harm if their checkpoint is never put", async () => {
        newThread();
        await saver.putWrites(configOf(thread, uuid6(1)), [["channel", 1]], "task");
        expect(await saver.getTuple(configOf(thread))).toBeUndefined();
        expect(await all(saver.list(configOf(thread)))).toEqual([]);
      });

      it("keep the first value of a task's write, and the last of its interrupt", async () => {
        newThread();
        const config = await put(checkpointOf({ value: 1 }));
        const sent = ["first", "second", "third"].map((value) =>
          saver.putWrites(
            config,
            [
              ["channel", value],
              [INTERRUPT, value],
            ],
            "task",
            "~path",
          ),
        );
        await Promise.all(sent);
        expect((await saver.getTuple(config))?.pendingWrites).toEqual([
          ["task", INTERRUPT, "third"],
          ["task", "channel", "first"],
        ]);
      });

      it("are ordered by task path, then task id, then index", async () => {
        newThread();
        const config = await put(checkpointOf({ value: 1 }));
        await saver.putWrites(
          config,
          [
            ["c", 5],
            ["c", 6],
          ],
          "a",
          "~2",
        );
        await saver.putWrites(config, [["c", 3]], "z", "~1");
        await saver.putWrites(config, [["c", 4]], "\u{1f601}", "~1");
        await saver.putWrites(config, [["c", 1]], "\uffff");
        await saver.putWrites(config, [["c", 2]], "\u{1f600}");
        expect((await elsewhere().getTuple(config))?.pendingWrites?.map(([, , value]) => value)).toEqual([
          1, 2, 3, 4, 5, 6,
        ]);
      });

      it("do not fail because the storage refuses others", async () => {
        newThread();
        const config = await put(checkpointOf({ value: 1 }));
        let deep: unknown = 0;
        for (let level = 0; level < 1_500; level++) deep = [deep];
        const results = await Promise.allSettled([
          saver.putWrites(config, [["channel", 0]], "task 0"),
          saver.putWrites(config, [["channel", deep]], "task 1"),
          saver.putWrites(config, [["channel", 2]], "task 2"),
        ]);
        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect((await saver.getTuple(config))?.pendingWrites?.map(([task]) => task)).toEqual(["task 0", "task 2"]);
      });
    });

    describe("values", () => {
      const values = {
        text: "a\0b\ud800 \u{1f600}",
        bytes: new Uint8Array([0, 255, 10]),
        nested: { bytes: new Uint8Array([1]), map: new Map([["a", new Set([1])]]), regexp: /a/g, date: "2026-01-01" },
        snapshot: new DeltaSnapshot([1, 2]),
        none: null,
        undefined: undefined,
        numbers: { b: 1, 2: 2, 1: 1, a: -1.5e300 },
        $: ["Date", 1],
        constructor: 1,
      };

      it("are read as LangGraph's serializer reads them", async () => {
        newThread();
        const checkpoint = checkpointOf(values);
        const config = await put(checkpoint);
        await saver.putWrites(config, Object.entries(values), "task");
        const tuple = await elsewhere().getTuple(config);
        // A MemorySaver returns the same.
        const expected = await saver.serde.loadsTyped(...(await saver.serde.dumpsTyped({ ...values, bytes: 0 })));
        expect(tuple?.checkpoint.channel_values).toEqual({ ...expected, bytes: values.bytes });
        expect(Object.keys(tuple?.checkpoint.channel_values["numbers"] as object)).toEqual(["1", "2", "b", "a"]);
        expect(tuple?.pendingWrites?.find(([, channel]) => channel === "bytes")?.[2]).toEqual(values.bytes);
      });

      it("keep bigints, in a channel, a task's write, an interrupt, a Send and the metadata", async () => {
        newThread();
        const values = {
          rows: [{ id: 1n }],
          messages: [new ToolMessage({ content: "a", tool_call_id: "1", artifact: { id: 2n } })],
        };
        const metadata = { ...META, row: 3n } as CheckpointMetadata;
        const config = await put(checkpointOf(values), { metadata });
        const writes: [string, unknown][] = [
          ["rows", [4n]],
          [INTERRUPT, { value: { id: 5n } }],
          [TASKS, new Send("node", { id: 6n })],
        ];
        await saver.putWrites(config, writes, "task");
        const tuple = await elsewhere().getTuple(config);
        expect(tuple?.checkpoint.channel_values).toStrictEqual(values);
        expect(tuple?.metadata).toEqual(metadata);
        const written = new Map(tuple?.pendingWrites?.map(([, channel, value]) => [channel, value]));
        expect(written).toEqual(
          new Map<string, unknown>([...writes.slice(0, 2), [TASKS, { node: "node", args: { id: 6n } }]]),
        );
      });

      it("that cannot be written are refused with their channel, and nothing is written", async () => {
        newThread();
        const config = await put(checkpointOf({ a: 1 }));
        const toJSON = () => {
          throw new Error("secret");
        };
        const problem = '"b".list[1] threw an error while it was read';
        const value = { list: [1, { toJSON }] };
        const refused = { code: "UNSUPPORTED_VALUE", message: `put: channel ${problem}` };
        await expect(put(checkpointOf({ a: 2, b: value }))).rejects.toMatchObject(refused);
        const writing = saver.putWrites(
          config,
          [
            ["a", 1],
            ["b", value],
          ],
          "task",
        );
        await expect(writing).rejects.toMatchObject({ ...refused, message: `put writes: channel ${problem}` });
        const [only, ...others] = await all(elsewhere().list(configOf(thread)));
        expect([only?.checkpoint.channel_values, only?.pendingWrites, others]).toEqual([{ a: 1 }, [], []]);
      });

      it("of a channel named __proto__ are stored like others", async () => {
        newThread();
        const checkpoint = checkpointOf(JSON.parse('{"__proto__": {"polluted": true}, "a": 1}'));
        const read = (await elsewhere().getTuple(await put(checkpoint)))?.checkpoint.channel_values ?? {};
        expect(Object.entries(read)).toEqual([
          ["__proto__", { polluted: true }],
          ["a", 1],
        ]);
        expect(read["polluted"]).toBeUndefined();
        expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
      });

      it("are serialized by a custom serializer", async () => {
        newThread();
        // Bytes that are no text, and JSON with numbers that JavaScript cannot represent.
        const serde: SerializerProtocol = {
          dumpsTyped: async (value) =>
            typeof value === "bigint"
              ? ["json", new TextEncoder().encode(`{"big": ${value}}`)]
              : ["reversed", new TextEncoder().encode(`\u00ff${JSON.stringify(value)}`).reverse()],
          loadsTyped: async (type, data) => {
            const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
            const text = new TextDecoder().decode(type === "json" ? bytes : bytes.slice().reverse());
            return type === "json" ? BigInt(/\d+/.exec(text)?.[0] ?? 0) : JSON.parse(text.slice(1));
          },
        };
        const own = new WaymarkSaver(storage, { serde });
        const checkpoint = checkpointOf({ list: [1, "é"], big: 12_345_678_901_234_567_890n });
        const config = await put(checkpoint, { by: own });
        await own.putWrites(config, [["big", 9_007_199_254_740_993n]], "task");
        const tuple = await new WaymarkSaver(database.open(), { serde }).getTuple(config);
        expect(tuple?.checkpoint).toEqual(checkpoint);
        expect(tuple?.metadata).toEqual(META);
        expect(tuple?.pendingWrites).toEqual([["task", "big", 9_007_199_254_740_993n]]);
        expect(await all(own.list(configOf(thread), { filter: { source: "loop" } }))).toHaveLength(1);
      });

      it("belong to each of two branches with the same channel version", async () => {
        newThread();
        const root = checkpointOf({ shared: "root", own: "root" });
        await put(root);
        for (const branch of ["left", "right"]) {
          const next = checkpointOf({ shared: "root", own: branch });
          next.channel_versions = { shared: 1, own: 2 };
          await saver.put(configOf(thread, root.id), next, META, { own: 2 });
        }
        expect(valuesOf(await all(elsewhere().list(configOf(thread))))).toEqual([
          { shared: "root", own: "right" },
          { shared: "root", own: "left" },
          { shared: "root", own: "root" },
        ]);
      });

      it("of an unchanged channel are the parent's, not those of a sibling with the same version", async () => {
        newThread();
        const root = checkpointOf({ shared: "root" });
        await put(root);
        const ids: string[] = [];
        for (const shared of ["left", "right"]) {
          const branch = checkpointOf({ shared }, 2);
          ids.push(branch.id);
          await put(branch, { parent: root.id });
        }
        const next = { ...checkpointOf({ shared: "left", own: 1 }), channel_versions: { shared: 2, own: 1 } };
        const config = await saver.put(configOf(thread, ids[0]), next, META, { own: 1 });
        expect((await elsewhere().getTuple(config))?.checkpoint.channel_values).toEqual({ shared: "left", own: 1 });
        // A copied checkpoint has the original's parent, and no new channel version.
        const copied = await saver.put(config, checkpointOf({ shared: "copied" }, 7), META, {});
        expect((await elsewhere().getTuple(copied))?.checkpoint.channel_values).toEqual({ shared: "copied" });
      });

      it("are stored as they were at the call", async () => {
        newThread();
        const values = { bytes: new Uint8Array([1, 2]), list: [1, 2] };
        const putting = put(checkpointOf({ ...values }));
        values.bytes[0] = 9;
        values.list.push(3);
        const config = await putting;
        const writing = saver.putWrites(config, Object.entries(values), "task");
        values.bytes[0] = 8;
        values.list.push(4);
        await writing;
        const tuple = await elsewhere().getTuple(config);
        expect(tuple?.checkpoint.channel_values).toEqual({ bytes: new Uint8Array([1, 2]), list: [1, 2] });
        expect(tuple?.pendingWrites?.map(([, , value]) => value)).toEqual([new Uint8Array([9, 2]), [1, 2, 3]]);
      });
    });

    describe("list", () => {
      const hostile = {
        "a' or 1=1 --": "x' or 'x'='x",
        '"quoted":': 'line\nbreak"',
        "%": "100%",
        __proto__key: null,
        "a.b[0]": true,
        _: "a_b",
      };

      beforeAll(async () => {
        newThread();
        let parent: string | undefined;
        for (const step of [0, 1, 2, 3]) {
          const metadata = {
            ...META,
            step,
            ...(step === 2 ? { ...hostile, ...JSON.parse('{"__proto__": "own"}') } : { _: "axb" }),
            long: "x".repeat(300) + String(step),
            object: { step, list: [step] },
          };
          const checkpoint = checkpointOf({ step });
          await put(checkpoint, { metadata, ...(parent === undefined ? {} : { parent }) });
          parent = checkpoint.id;
        }
      });

      const steps = async (filter?: Record<string, unknown>, limit?: number, by = saver) =>
        (
          await all(by.list(configOf(thread), { ...(filter && { filter }), ...(limit !== undefined && { limit }) }))
        ).map(({ metadata }) => metadata?.step);

      it.each(Object.entries(hostile))("finds the label %j", async (key, value) => {
        expect(await steps({ [key]: value })).toEqual([2]);
      });

      it("ignores inherited properties", async () => {
        expect(await steps(JSON.parse('{"__proto__": "own"}'))).toEqual([]); // LangGraph's serializer does not read it either
        expect(await steps({ constructor: Object })).toEqual([]);
        expect(await steps({ toString: undefined })).toEqual([3, 2, 1, 0]);
      });

      it("compares values that are too long or too deep for a label", async () => {
        expect(await steps({ long: `${"x".repeat(300)}1` })).toEqual([1]);
        expect(await steps({ object: { list: [3], step: 3 } })).toEqual([3]);
        expect(await steps({ object: { step: 3 } })).toEqual([]);
        expect(await steps({ source: "loop", object: { list: [0], step: 0 }, missing: undefined })).toEqual([0]);
      });

      it("matches nothing for an unknown key, or a value of another type", async () => {
        expect(await steps({ unknown: 1 })).toEqual([]);
        expect(await steps({ step: "1" })).toEqual([]);
        expect(await steps({ step: Number.NaN })).toEqual([]);
        expect(
          await steps({ langgraph_checkpoint_id: (await saver.getTuple(configOf(thread)))?.checkpoint.id }),
        ).toEqual([]);
      });

      it("returns as many as requested, and reads no others", async () => {
        expect(await steps(undefined, 2)).toEqual([3, 2]);
        expect(await steps({ _: "axb" }, 2)).toEqual([3, 1]);
        expect(await steps(undefined, 0)).toEqual([]);
        const watched = database.open();
        const read = vi.spyOn(watched, "retrieveCheckpoint");
        expect(await steps(undefined, 1, new WaymarkSaver(watched))).toEqual([3]);
        expect(read).toHaveBeenCalledTimes(1);
      });

      it("returns one checkpoint, or those before one", async () => {
        const [, second, third] = await all(saver.list(configOf(thread)));
        expect(await all(saver.list(second?.config ?? {}))).toEqual([second]);
        const before = await all(saver.list(configOf(thread), { before: third?.config ?? {} }));
        expect(before.map(({ metadata }) => metadata?.step)).toEqual([0]);
        expect(await all(saver.list(configOf(thread, "no id of LangGraph's")))).toEqual([]);
        expect(await all(saver.list(configOf("another"), { before: configOf(thread, second?.checkpoint.id) }))).toEqual(
          [],
        );
      });

      it("filters by metadata that exceeds the size of labels", async () => {
        newThread();
        const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`key ${index}`, "v".repeat(100)]));
        await put(checkpointOf({ many: true }), { metadata: { ...META, ...many } });
        await put(checkpointOf({ many: false }), { metadata: META });
        expect(valuesOf(await all(saver.list(configOf(thread), { filter: { "key 499": many["key 499"] } })))).toEqual([
          { many: true },
        ]);
      });

      it("covers all threads and namespaces if none is given", async () => {
        newThread();
        const marker = thread;
        for (const [thread_id, checkpoint_ns] of [
          [`${marker} a`, ""],
          [`${marker} b`, "child"],
          [`${marker} b`, ""],
        ] as const) {
          const checkpoint = checkpointOf({ thread_id, checkpoint_ns });
          await saver.put(
            configOf(thread_id, undefined, checkpoint_ns),
            checkpoint,
            { ...META, marker } as CheckpointMetadata,
            checkpoint.channel_versions,
          );
        }
        const found = async (configurable: Record<string, unknown>) =>
          valuesOf(await all(saver.list({ configurable }, { filter: { marker } }))).map(Object.values);
        expect(await found({})).toEqual([
          [`${marker} b`, ""],
          [`${marker} b`, "child"],
          [`${marker} a`, ""],
        ]);
        expect(await found({ checkpoint_ns: "child" })).toEqual([[`${marker} b`, "child"]]);
        expect(await found({ thread_id: `${marker} b` })).toEqual([
          [`${marker} b`, ""],
          [`${marker} b`, "child"],
        ]);
      });

      it("skips checkpoints that other programs stored; so does getTuple", async () => {
        newThread();
        const checkpoint = checkpointOf({ ours: true });
        await put(checkpoint);
        await storage.storeCheckpoint({ agentId: thread, name: "not LangGraph's", state: {}, createdAt: 1 });
        expect(valuesOf(await all(saver.list(configOf(thread))))).toEqual([{ ours: true }]);
        expect((await saver.getTuple(configOf(thread)))?.checkpoint).toEqual(checkpoint);
      });
    });

    describe("the history of delta channels", () => {
      it("equals LangGraph's own, over branches, revisions and many steps", async () => {
        newThread();
        const root = checkpointOf({ messages: new DeltaSnapshot(["root"]), other: ["plain"] });
        let config = await put(root);
        const write = async (value: unknown) =>
          await saver.putWrites(
            config,
            [
              ["messages", [value]],
              ["other", value],
            ],
            `task ${value}`,
          );
        for (let step = 0; step < 150; step++) {
          await write(step);
          const next = checkpointOf(step === 40 ? { other: ["later"] } : {});
          if (step % 30 === 0)
            await put(checkpointOf({ messages: ["another branch"] }), {
              parent: config.configurable?.["checkpoint_id"],
            });
          if (step === 70)
            await put(
              { ...next, channel_values: { gone: 1 }, channel_versions: { gone: 1 } },
              { parent: config.configurable?.["checkpoint_id"] },
            );
          config = await put(next, { parent: config.configurable?.["checkpoint_id"] });
        }
        await write("of the next step");
        const options = { config, channels: ["messages", "other", "absent"] };
        const base = Object.getPrototypeOf(WaymarkSaver.prototype) as WaymarkSaver;
        const expected = await base.getDeltaChannelHistory.call(saver, options);
        expect(expected["messages"]?.writes).toHaveLength(150);
        expect(expected["other"]).toMatchObject({ seed: ["later"] });
        expect(await elsewhere().getDeltaChannelHistory(options)).toEqual(expected);
        expect(await saver.getDeltaChannelHistory({ ...options, channels: [] })).toEqual({});
        expect(
          await saver.getDeltaChannelHistory({ config: configOf(thread, uuid6(1)), channels: ["messages"] }),
        ).toEqual({
          messages: { writes: [] },
        });
      });

      it("follows parents later than their children, and ends at a cycle", async () => {
        newThread();
        const [early, late] = [checkpointOf({}), checkpointOf({ messages: ["seed"] })];
        await put(late, { parent: early.id });
        const config = await put(early, { parent: late.id });
        await saver.putWrites(configOf(thread, late.id), [["messages", "write"]], "task");
        expect(await saver.getDeltaChannelHistory({ config, channels: ["messages", "none"] })).toEqual({
          messages: { seed: ["seed"], writes: [["task", "messages", "write"]] },
          none: { writes: [] },
        });
      });
    });

    describe("deleteThread", () => {
      it("leaves no row of the thread", async () => {
        const own = await create();
        try {
          const there = new WaymarkSaver(own.open());
          const rows = async () => Object.values(await own.rows());
          for (const name of ["first", "second"]) {
            for (const namespace of ["", "child"]) {
              const checkpoint = checkpointOf({ name });
              await there.put(configOf(name, undefined, namespace), checkpoint, META, { name: 1 });
              await there.putWrites(configOf(name, checkpoint.id, namespace), [["channel", 1]], "task");
            }
          }
          await there.deleteThread("first");
          expect(await there.getTuple(configOf("first"))).toBeUndefined();
          expect(await all(there.list({ configurable: {} }))).toHaveLength(2);
          await there.deleteThread("second");
          await expect.poll(async () => (await rows()).every((count) => count === 0), { timeout: 90_000 }).toBe(true);
          expect((await rows()).length).toBeGreaterThanOrEqual(2);
        } finally {
          await own.drop();
        }
      });

      it("waits for puts under way, and drops held writes", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: 1 });
        const held = uuid6(2);
        await saver.putWrites(configOf(thread, held), [["channel", "held"]], "task");
        const putting = put(checkpoint);
        await saver.deleteThread(thread);
        await putting;
        expect(await saver.getTuple(configOf(thread))).toBeUndefined();
        const config = await put({ ...checkpoint, id: held });
        expect((await saver.getTuple(config))?.pendingWrites).toEqual([]);
      });

      it("allows the same checkpoints to be put again", async () => {
        newThread();
        const checkpoint = checkpointOf({ value: 1 });
        const config = await put(checkpoint);
        await saver.deleteThread(thread);
        await put(checkpoint);
        await saver.putWrites(config, [["channel", 1]], "task");
        const tuple = await elsewhere().getTuple(config);
        expect(tuple?.checkpoint).toEqual(checkpoint);
        expect(tuple?.pendingWrites).toEqual([["task", "channel", 1]]);
      });
    });

    describe("concurrent writers", () => {
      it("of one thread lose nothing", async () => {
        newThread();
        const savers = [saver, elsewhere(), elsewhere()];
        await Promise.all(
          savers.flatMap((by, writer) =>
            Array.from({ length: 10 }, async (_, turn) => {
              const config = await put(checkpointOf({ writer, turn }), { by });
              await by.putWrites(config, [["channel", [writer, turn]]], "task");
            }),
          ),
        );
        const tuples = await all(saver.list(configOf(thread)));
        const written = tuples.map(({ checkpoint: { channel_values: values }, pendingWrites }) => {
          expect(pendingWrites).toEqual([["task", "channel", [values["writer"], values["turn"]]]]);
          return `${values["writer"]} ${values["turn"]}`;
        });
        expect(new Set(written).size).toBe(30);
      });
    });

    describe("refusals:", () => {
      const SECRET = "hunter2-do-not-tell";
      const checkpoint = checkpointOf({ secret: SECRET });
      const calls: Record<string, (config: object) => Promise<unknown>> = {
        getTuple: (config) => saver.getTuple(config),
        list: (config) => all(saver.list(config)),
        put: (config) => saver.put(config, checkpoint, META, checkpoint.channel_versions),
        putWrites: (config) => saver.putWrites(config, [["channel", SECRET]], "task"),
        getDeltaChannelHistory: (config) => saver.getDeltaChannelHistory({ config, channels: ["a"] }),
      };
      const bad: readonly [string, unknown][] = [
        ["an array", [SECRET]],
        ["an object", { $ne: SECRET, toString: () => SECRET }],
        ["a number", 7],
        ["null", null],
        ["an empty string", ""],
        ["a long string", SECRET.repeat(100)],
        ["NUL", `${SECRET}\0`],
      ];

      it.each(Object.keys(calls).flatMap((call) => bad.map(([what, id]) => [call, what, id] as const)))(
        "%s refuses a thread that is %s",
        async (call, _, thread_id) => {
          const error = await calls[call]?.({
            configurable: { thread_id, checkpoint_ns: "", checkpoint_id: uuid6(1) },
          }).catch((reason: unknown) => reason);
          expect(error).toBeInstanceOf(CheckpointError);
          expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
          expect(String(error)).toContain("config.configurable.thread_id");
          expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain(SECRET);
        },
      );

      it.each(["checkpoint_ns", "checkpoint_id"])("every call refuses a %s that is no string", async (field) => {
        for (const call of Object.values(calls)) {
          for (const value of [[SECRET], { a: 1 }, 7, `${SECRET}\0`]) {
            const config = {
              configurable: { thread_id: "t", checkpoint_ns: "", checkpoint_id: uuid6(1), [field]: value },
            };
            await expect(call(config)).rejects.toThrow(`config.configurable.${field}`);
          }
        }
      });

      it("put refuses a checkpoint id that is no UUIDv6", async () => {
        for (const id of ["", "1", SECRET, crypto.randomUUID(), 7, undefined]) {
          const putting = saver.put(configOf("t"), { ...checkpoint, id: id as string }, META, {});
          await expect(putting).rejects.toThrow("expected checkpoint.id to be");
        }
        expect(await saver.getTuple(configOf("t", SECRET))).toBeUndefined();
      });

      it("deleteThread refuses an invalid thread id", async () => {
        for (const id of ["", ["t"], undefined]) {
          await expect(saver.deleteThread(id as string)).rejects.toThrow("expected threadId to be");
        }
      });

      it("an error of the storage shows no state", async () => {
        let deep: unknown = SECRET;
        for (let level = 0; level < 1_500; level++) deep = { [`k${level}`]: deep };
        const error = await put(checkpointOf({ deep })).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: "UNSUPPORTED_VALUE" });
        expect(String(error) + String((error as Error).stack)).not.toContain(SECRET);
      });

      it("put refuses a function and names its channel; the thread stays usable", async () => {
        newThread();
        await put(checkpointOf({ a: 1 }));
        const checkpoint = checkpointOf({ a: 2, "b\u202e": () => SECRET });
        const error = await put(checkpoint).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: "UNSUPPORTED_VALUE" });
        expect(String(error)).toContain('channel "b\\u202e" is a function'); // it would reorder the message
        const config = { configurable: { thread_id: thread, checkpoint_ns: "", checkpoint_id: checkpoint.id } };
        await expect(saver.putWrites(config, [["b", Symbol("s")]], "task")).rejects.toMatchObject({
          code: "UNSUPPORTED_VALUE",
        });
        const found = await saver.getTuple({ configurable: { thread_id: thread } });
        expect(found?.checkpoint.channel_values).toEqual({ a: 1 });
      });

      it("reads return nothing without a thread", async () => {
        expect(await saver.getTuple({ configurable: {} })).toBeUndefined();
        expect(await saver.getTuple({})).toBeUndefined();
        expect(await saver.getDeltaChannelHistory({ config: {}, channels: ["a"] })).toEqual({ a: { writes: [] } });
      });
    });
  },
);

describe("a task", () => {
  it("may have more writes than a storage appends in one call", async () => {
    const database = await (databases[0] as (typeof databases)[number]).create();
    const saver = new WaymarkSaver(database.open());
    const config = await saver.put(configOf("thread"), checkpointOf({ a: 1 }), META, { a: 1 });
    const writes = Array.from({ length: 10_050 }, (_, index): [string, unknown] => ["a", index]);
    await saver.putWrites(config, writes, "task");
    expect((await saver.getTuple(config))?.pendingWrites).toHaveLength(10_050);
    await database.drop();
  });
});

describe("a channel whose value was changed in place, and has no new version", () => {
  it.each([0, 30, 70])("is stored as it is, after puts of %d other threads", async (others) => {
    const database = await (databases[0] as (typeof databases)[number]).create();
    const saver = new WaymarkSaver(database.open());
    const values = { notes: ["a"], turn: 1 };
    const root = await saver.put(configOf("thread"), checkpointOf(values), META, { notes: 1, turn: 1 });
    await Promise.all(
      Array.from({ length: others }, (_, at) =>
        saver.put(configOf(`other ${at}`), checkpointOf({ a: 1 }), META, { a: 1 }),
      ),
    );
    values.notes.push("b");
    const next = { ...checkpointOf(values), channel_versions: { notes: 1, turn: 2 } };
    const config = await saver.put(root, next, META, { turn: 2 });
    const memory = new MemorySaver();
    await memory.put(root, next, META);
    const read = (await saver.getTuple(config))?.checkpoint.channel_values;
    expect(read).toEqual({ notes: ["a", "b"], turn: 1 });
    expect((await memory.getTuple(config))?.checkpoint.channel_values).toEqual(read);
    expect((await saver.getTuple(root))?.checkpoint.channel_values).toEqual({ notes: ["a"], turn: 1 });
    await database.drop();
  });
});

describe("a new saver", () => {
  const storage = {} as CheckpointStorage;
  for (const method of ["storeCheckpoint", "appendWrites", "listWrites"]) Reflect.set(storage, method, () => {});

  it("shows nothing of its storage in JSON", () => {
    expect(JSON.stringify({ saver: new WaymarkSaver(storage) })).toBe('{"saver":"[WaymarkSaver]"}');
  });

  it.each([
    ["no storage", [undefined], "expected storage to be a CheckpointStorage"],
    ["a connection string", ["postgres://u:hunter2@host/db"], "got a string of 28 characters"],
    ["a serializer in place of the options", [storage, new MemorySaver().serde], "expected options to be an object"],
    ["an unknown option", [storage, { serializer: 1 }], 'expected options to have the members serde, got "serializer"'],
    ["half a serializer", [storage, { serde: { dumpsTyped: () => {} } }], "expected options.serde to be a serializer"],
  ])("refuses its arguments: %s", (_, values, message) => {
    const making = () => Reflect.construct(WaymarkSaver, values);
    expect(making).toThrow(CheckpointError);
    expect(making).toThrow(message);
    expect(making).not.toThrow("hunter2");
  });
});
