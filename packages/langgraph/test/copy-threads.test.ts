import { deserialize, serialize } from "node:v8";
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import {
  Annotation,
  Command,
  entrypoint,
  interrupt,
  MemorySaver,
  MessagesAnnotation,
  Send,
  START,
  StateGraph,
  task,
} from "@langchain/langgraph";
import type { BaseCheckpointSaver, CheckpointTuple, SerializerProtocol } from "@langchain/langgraph-checkpoint";
import { type CopyProgress, type CopyThreadsOptions, copyThreads, WaymarkSaver } from "@waymark/langgraph";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { sqlite } from "./databases.ts";

const THREADS = 12;
/** Threads that stop at a question, and those that fail. */
const [ASKING, FAILING] = [["thread 2", "thread 7"], ["thread 5"]];

function graphOn(checkpointer: BaseCheckpointSaver) {
  const State = Annotation.Root({
    ...MessagesAnnotation.spec,
    found: Annotation<number[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
  });
  return new StateGraph(State)
    .addNode("plan", ({ messages }) => ({
      messages: [new AIMessage({ id: `answer ${messages.length}`, content: "yes" })],
    }))
    .addNode("search", ({ found: [at = 0] }: { found: number[] }, { configurable }) => {
      const threadId = String(configurable?.["thread_id"]);
      if (ASKING.includes(threadId) && at === 1) interrupt({ question: "go on?" });
      if (FAILING.includes(threadId) && at === 1) throw new Error("no network");
      return { found: [at] };
    })
    .addEdge(START, "plan")
    .addConditionalEdges("plan", () => [0, 1, 2].map((at) => new Send("search", { found: [at] })), ["search"])
    .compile({ checkpointer });
}

async function all(tuples: AsyncIterable<CheckpointTuple>): Promise<CheckpointTuple[]> {
  const found: CheckpointTuple[] = [];
  for await (const tuple of tuples) found.push(tuple);
  return found;
}

const old = new MemorySaver();
let checkpoints = 0;
beforeAll(async () => {
  for (let thread = 0; thread < THREADS; thread++) {
    for (const question of ["one", "two"]) {
      const config = { configurable: { thread_id: `thread ${thread}` } };
      await graphOn(old)
        .invoke({ messages: [new HumanMessage({ id: question, content: question })] }, config)
        .catch(() => {});
    }
  }
  checkpoints = (await all(old.list({ configurable: {} }))).length;
});

async function empty() {
  const database = await sqlite.create();
  onTestFinished(() => database.drop());
  const storage = database.open();
  return { storage, saver: new WaymarkSaver(storage), elsewhere: () => new WaymarkSaver(database.open()) };
}

/** Two tasks: one asks twice, the other asks once. */
function askingOn(checkpointer: BaseCheckpointSaver) {
  const State = Annotation.Root({ found: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }) });
  return new StateGraph(State)
    .addNode("twice", () => ({ found: [`twice ${interrupt("q1")} ${interrupt("q2")}`] }))
    .addNode("once", () => ({ found: [`once ${interrupt("q3")}`] }))
    .addEdge(START, "twice")
    .addEdge(START, "once")
    .compile({ checkpointer });
}

const asking = { configurable: { thread_id: "asking" } };

/** Answers a question of the thread. */
async function answer(checkpointer: BaseCheckpointSaver, question: string): Promise<void> {
  const { tasks } = await askingOn(checkpointer).getState(asking);
  const id = tasks.flatMap(({ interrupts }) => interrupts).find(({ value }) => value === question)?.id as string;
  await askingOn(checkpointer).invoke(new Command({ resume: { [id]: "yes" } }), asking);
}

const Answers = Annotation.Root({ answers: Annotation<string[]> });
const askThrice = () => [interrupt("q1"), interrupt("q2"), interrupt("q3")] as string[];
const thriceOn = (checkpointer?: BaseCheckpointSaver) =>
  new StateGraph(Answers)
    .addNode("ask", () => ({ answers: askThrice() }))
    .addEdge(START, "ask")
    .compile({ ...(checkpointer === undefined ? {} : { checkpointer }) });

/** Workflows that ask three questions in a row: what runs them, given their input or an answer. */
const thrice: Record<string, (checkpointer: BaseCheckpointSaver) => (value: unknown) => Promise<unknown>> = {
  "a node": (checkpointer) => async (value) => await thriceOn(checkpointer).invoke(value as never, asking),
  "a subgraph": (checkpointer) => async (value) =>
    await new StateGraph(Answers)
      .addNode("inner", thriceOn())
      .addEdge(START, "inner")
      .compile({ checkpointer })
      .invoke(value as never, asking),
  "a task of a function": (checkpointer) => async (value) => {
    const ask = task("ask", async () => askThrice());
    const workflow = entrypoint({ name: "workflow", checkpointer }, async (_: unknown) => ({ answers: await ask() }));
    return await workflow.invoke(value as never, asking);
  },
};

async function listed(saver: WaymarkSaver, after?: string) {
  const waiting = [];
  for await (const thread of saver.listWaiting({ after })) waiting.push(thread);
  return waiting;
}

async function questionsIn(saver: WaymarkSaver): Promise<unknown[]> {
  return (await listed(saver)).flatMap(({ interrupts }) => interrupts.map((one) => (one as { value: unknown }).value));
}

describe("copied threads", () => {
  it("have the same checkpoints, values and pending writes", async () => {
    const { saver, elsewhere } = await empty();
    const copied = await copyThreads(old, saver);
    expect(copied).toMatchObject({ threads: THREADS, checkpoints, skipped: 0 });
    for (let thread = 0; thread < THREADS; thread++) {
      const config = { configurable: { thread_id: `thread ${thread}` } };
      expect(await all(elsewhere().list(config))).toEqual(await all(old.list(config)));
    }
  });

  it("are copied on where an earlier call has stopped, and nothing is written twice", async () => {
    const { storage, saver } = await empty();
    const controller = new AbortController();
    const onProgress = ({ threads }: CopyProgress) => {
      if (threads === 3) controller.abort();
    };
    const stopping = copyThreads(old, saver, { concurrency: 2, signal: controller.signal, onProgress });
    await expect(stopping).rejects.toMatchObject({ code: "ABORTED" });
    const before = (await all(saver.list({ configurable: {} }))).length;
    expect(before).toBeGreaterThan(3);
    expect(before).toBeLessThan(checkpoints);
    const rest = await copyThreads(old, saver, {
      threadIds: Array.from({ length: THREADS }, (_, at) => `thread ${at}`),
    });
    expect(rest).toMatchObject({ threads: THREADS, checkpoints: checkpoints - before, skipped: before });
    const [store, append] = [vi.spyOn(storage, "storeCheckpoint"), vi.spyOn(storage, "appendWrites")];
    expect(await copyThreads(old, saver)).toMatchObject({ checkpoints: 0, skipped: checkpoints });
    expect(store).not.toHaveBeenCalled();
    expect(append).not.toHaveBeenCalled();
  });

  it("get the writes that a call which was stopped has not come to", async () => {
    const { storage, saver } = await empty();
    const append = storage.appendWrites.bind(storage);
    vi.spyOn(storage, "appendWrites").mockImplementationOnce(async (id, writes) => {
      await append(id, writes.slice(0, 1));
      throw new Error("the process ends");
    });
    const threadIds = ["thread 5"];
    await expect(copyThreads(old, saver, { threadIds })).rejects.toThrow("the process ends");
    expect(await copyThreads(old, saver, { threadIds })).toMatchObject({ skipped: 1, threads: 1 });
    const thread = { configurable: { thread_id: "thread 5" } };
    expect(await all(saver.list(thread))).toEqual(await all(old.list(thread)));
  });

  it("that have gone on keep their own writes if they are copied again", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    await askingOn(source).invoke({ found: [] }, asking);
    await copyThreads(source, saver);
    await answer(saver, "q1");
    await expect(copyThreads(source, saver)).rejects.toMatchObject({ code: "CONFLICT" });
    expect((await questionsIn(saver)).toSorted()).toEqual(["q2", "q3"]);
    const { tasks } = await askingOn(saver).getState(asking);
    expect(tasks.flatMap(({ interrupts }) => interrupts.map(({ value }) => String(value))).toSorted()).toEqual([
      "q2",
      "q3",
    ]);
    await answer(saver, "q2");
    await answer(saver, "q3");
    expect((await askingOn(saver).getState(asking)).values).toEqual({ found: ["once yes", "twice yes yes"] });
  });

  it("follow originals that have gone on, and take no result of a task twice", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    await askingOn(source).invoke({ found: [] }, asking);
    await copyThreads(source, saver);
    await answer(source, "q3");
    expect(await copyThreads(source, saver)).toMatchObject({ checkpoints: 0 }); // and they are equal
    expect(await questionsIn(saver)).toEqual(["q1"]);

    const other = (await empty()).saver;
    await askingOn(source).invoke({ found: [] }, asking); // asks both again
    await copyThreads(source, other);
    for (const one of [source, other]) await answer(one, "q3");
    await copyThreads(source, other, { verify: false });
    for (const question of ["q1", "q2"]) await answer(other, question);
    expect((await askingOn(other).getState(asking)).values).toEqual({ found: ["once yes", "twice yes yes"] });
  });

  it.each(Object.entries(thrice))("follow an original that has answers to %s", async (_name, runOn) => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    const [original, copy] = [runOn(source), runOn(saver)];
    await original({ answers: [] });
    await copyThreads(source, saver);
    for (const reply of ["one", "two"]) await original(new Command({ resume: reply }));
    await copyThreads(source, saver); // and they are equal
    expect(await questionsIn(saver)).toEqual(["q3"]);
    expect(await copy(new Command({ resume: "three" }))).toEqual({ answers: ["one", "two", "three"] });
  });

  it.each(Object.entries(thrice))("that have other answers to %s are left as they are", async (_name, runOn) => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    const [original, copy] = [runOn(source), runOn(saver)];
    await original({ answers: [] });
    await copyThreads(source, saver);
    await copy(new Command({ resume: "one" }));
    const before = await all(saver.list(asking));
    for (const reply of [undefined, "another one", "two"]) {
      if (reply !== undefined) await original(new Command({ resume: reply }));
      for (const verify of [true, false]) {
        await expect(copyThreads(source, saver, { verify })).rejects.toMatchObject({
          code: "CONFLICT",
          message: expect.stringContaining('the thread "asking" has gone on in the target'),
        });
      }
      expect(await all(saver.list(asking))).toEqual(before);
    }
    await saver.deleteThread("asking");
    await copyThreads(source, saver);
    expect(await questionsIn(saver)).toEqual(["q3"]);
  });

  it("have gone on if they ran a step before which the original has stopped", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    await thriceOn(source).invoke({ answers: [] }, { ...asking, interruptBefore: ["ask"] });
    await copyThreads(source, saver);
    await thriceOn(saver).invoke(null, asking);
    await expect(copyThreads(source, saver, { verify: false })).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringContaining("has gone on in the target"),
    });
    expect(await questionsIn(saver)).toEqual(["q1"]);
  });

  it("are left as they are if both have gone on from their latest checkpoint", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    const config = { configurable: { thread_id: "thread 1" } };
    const turn = async (checkpointer: BaseCheckpointSaver, content: string) =>
      await graphOn(checkpointer).invoke({ messages: [new HumanMessage({ id: content, content })] }, config);
    await turn(source, "one");
    await copyThreads(source, saver);
    await turn(saver, "two, of the copy");
    const before = await all(saver.list(config));
    expect(await copyThreads(source, saver)).toMatchObject({ conflicts: 0, checkpoints: 0 });
    await turn(source, "two, of the original");
    await expect(copyThreads(source, saver, { verify: false })).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await all(saver.list(config))).toEqual(before);
  });

  it("follow an original that keeps its latest checkpoints only", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    const config = { configurable: { thread_id: "thread 1" } };
    await graphOn(source).invoke({ messages: [] }, config);
    await copyThreads(source, saver);
    await graphOn(source).invoke({ messages: [new HumanMessage({ id: "two", content: "two" })] }, config);
    const kept = (await all(source.list(config))).slice(0, 2);
    vi.spyOn(source, "list").mockImplementation(async function* () {
      yield* kept;
    });
    expect(await copyThreads(source, saver)).toMatchObject({ checkpoints: 2, conflicts: 0 });
  });

  it("that have gone on do not keep others from being copied", async () => {
    const [source, { saver }] = [new MemorySaver(), await empty()];
    const ask = async (thread: number) =>
      await thriceOn(source).invoke({ answers: [] }, { configurable: { thread_id: `thread ${thread}` } });
    const goneOn = Array.from({ length: 12 }, (_, at) => `thread ${at + 1}`);
    for (let thread = 1; thread <= goneOn.length; thread++) await ask(thread);
    await copyThreads(source, saver);
    for (const thread_id of goneOn)
      await thriceOn(saver).invoke(new Command({ resume: "yes" }), { configurable: { thread_id } });
    for (let thread = 20; thread < 25; thread++) await ask(thread);
    const progress: CopyProgress[] = [];
    await expect(
      copyThreads(source, saver, { concurrency: 1, onProgress: (one) => void progress.push(one) }),
    ).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringMatching(
        /^copy threads: the thread "thread 1" has gone on .* Also: "thread 2", .*"thread 10" and 2 more threads$/,
      ),
    });
    expect(progress).toHaveLength(17);
    expect(progress.at(-1)).toMatchObject({ threads: 5, conflicts: 12 });
    const added = (await listed(saver)).map(({ threadId }) => threadId).filter((id) => !goneOn.includes(id));
    expect(added).toEqual([20, 21, 22, 23, 24].map((thread) => `thread ${thread}`));
  });

  it("are compared with the originals", async () => {
    const { saver } = await empty();
    const put = saver.put.bind(saver);
    saver.put = async (config, checkpoint, ...rest) =>
      await put(config, { ...checkpoint, channel_values: { ...checkpoint.channel_values, messages: [] } }, ...rest);
    await expect(copyThreads(old, saver, { threadIds: ["thread 1"] })).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringMatching(/^copy threads: checkpoint .{36} of the thread "thread 1" reads back differently/),
    });
  });

  it("that wait are listed with what they wait for", async () => {
    const { saver } = await empty();
    await copyThreads(old, saver, { verify: false });
    const waiting = await listed(saver);
    expect(waiting.map(({ threadId }) => threadId)).toEqual([...ASKING.slice(0, 1), ...FAILING, ...ASKING.slice(1)]);
    expect(waiting[0]?.interrupts).toEqual([{ id: expect.any(String), value: { question: "go on?" } }]);
    expect(waiting[1]?.interrupts).toEqual([]);
    expect(waiting[1]?.errors).toContainEqual(expect.objectContaining({ message: "no network" })); // and tasks it ended
    const [latest] = await all(saver.list({ configurable: { thread_id: "thread 2" } }, { limit: 1 }));
    expect(waiting[0]?.checkpointId).toBe(latest?.checkpoint.id);
    expect((await listed(saver, "thread 5")).map(({ threadId }) => threadId)).toEqual(["thread 7"]);
  });

  it("with dates are equal to the originals if both savers have the same serializer", async () => {
    const serde: SerializerProtocol = {
      dumpsTyped: async (value) => ["v8", new Uint8Array(serialize(value))],
      loadsTyped: async (_type, bytes) => deserialize(bytes as Uint8Array) as unknown,
    };
    const source = new MemorySaver(serde);
    await new StateGraph(Annotation.Root({ at: Annotation<Date> }))
      .addNode("now", () => ({ at: new Date(0) }))
      .addEdge(START, "now")
      .compile({ checkpointer: source })
      .invoke({ at: new Date(1) }, asking);
    const { storage, saver } = await empty();
    await expect(copyThreads(source, saver)).rejects.toMatchObject({
      code: "CONFLICT",
      message: expect.stringMatching(
        /the serializer of the source keeps .* a Date \(then use the same serde, or verify: false/,
      ),
    });
    expect(await copyThreads(source, saver, { verify: false })).toMatchObject({ threads: 1 });
    await saver.deleteThread("asking");
    const same = new WaymarkSaver(storage, { serde });
    await copyThreads(source, same);
    expect((await same.getTuple(asking))?.checkpoint.channel_values["at"]).toEqual(new Date(0));
  });
});

describe("ids of threads to copy", () => {
  /** Counts from 0; tells whether it was closed. */
  function counting(before: (at: number) => Promise<void> | void = () => {}) {
    const state = { isClosed: false };
    async function* ids() {
      try {
        for (let at = 0; at < THREADS; at++) {
          await before(at);
          yield `thread ${at}`;
        }
      } finally {
        state.isClosed = true;
      }
    }
    return { ids: ids(), state };
  }

  it("are closed if the copying is stopped or fails", async () => {
    const { saver } = await empty();
    const controller = new AbortController();
    const stopped = counting();
    await expect(
      copyThreads(old, saver, {
        threadIds: stopped.ids,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      }),
    ).rejects.toMatchObject({ code: "ABORTED" });
    expect(stopped.state.isClosed).toBe(true);
    const failed = counting();
    const fail = () => {
      throw new Error("from onProgress");
    };
    await expect(copyThreads(old, saver, { threadIds: failed.ids, concurrency: 2, onProgress: fail })).rejects.toThrow(
      "from onProgress",
    );
    expect(failed.state.isClosed).toBe(true);
  });

  it.each(["a failure", "an abort"])("begin no thread after %s", async (cause) => {
    const { saver } = await empty();
    const controller = new AbortController();
    let open = () => {};
    const isOpen = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { ids } = counting((at) => (at === 0 ? undefined : isOpen));
    const list = vi.spyOn(old, "list");
    onTestFinished(() => list.mockRestore());
    const onProgress = () => {
      open();
      if (cause === "an abort") controller.abort();
      else throw new Error("from onProgress");
    };
    await expect(
      copyThreads(old, saver, { threadIds: ids, concurrency: 2, signal: controller.signal, onProgress }),
    ).rejects.toThrow(cause === "an abort" ? "was aborted" : "from onProgress");
    expect(list).toHaveBeenCalledTimes(1);
  });
});

describe("arguments of copyThreads", () => {
  it.each<[string, unknown, string]>([
    ["one id", { threadIds: "thread 1" }, "expected options.threadIds to be an iterable of ids, such as an array"],
    ["a number", { threadIds: 1 }, "expected options.threadIds to be an iterable"],
    ["undefined ids", { threadIds: undefined }, "expected options.threadIds to be given, or left out, got undefined"],
    ["an undefined id", { threadIds: [undefined] }, "expected each thread_id to be a string"],
    [
      "a misspelt name",
      { threadId: ["thread 1"] },
      'the members threadIds, .*, got "threadId": did you mean threadIds\\?$',
    ],
    ["no concurrency", { concurrency: 0 }, "expected options.concurrency to be a whole number from 1 to 256"],
    ["a word", { verify: "no" }, "expected options.verify to be a boolean"],
    ["no function", { onProgress: true }, "expected options.onProgress to be a function"],
    ["a controller", { signal: new AbortController() }, "expected options.signal to be an AbortSignal"],
    ["a list", [], "expected options to be an object, got an array"],
  ])("refuse %s, and nothing is copied", async (_name, options, message) => {
    const { storage, saver } = await empty();
    await expect(copyThreads(old, saver, options as CopyThreadsOptions)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(new RegExp(message)),
    });
    expect((await storage.stats()).checkpoints).toBe(0);
  });

  it("refuse savers in the wrong order", async () => {
    const { saver } = await empty();
    await expect(copyThreads(saver, old as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(copyThreads({} as never, saver)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
