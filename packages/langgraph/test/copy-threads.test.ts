import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { Annotation, interrupt, MemorySaver, MessagesAnnotation, Send, START, StateGraph } from "@langchain/langgraph";
import type { BaseCheckpointSaver, CheckpointTuple } from "@langchain/langgraph-checkpoint";
import { type CopyProgress, copyThreads, WaymarkSaver } from "@waymark/langgraph";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
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
  return { saver: new WaymarkSaver(database.open()), elsewhere: () => new WaymarkSaver(database.open()) };
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
    const { saver } = await empty();
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
    expect(await copyThreads(old, saver)).toMatchObject({ checkpoints: 0, skipped: checkpoints });
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
    const waiting = [];
    for await (const thread of saver.listWaiting()) waiting.push(thread);
    expect(waiting.map(({ threadId }) => threadId)).toEqual([...ASKING.slice(0, 1), ...FAILING, ...ASKING.slice(1)]);
    expect(waiting[0]?.interrupts).toEqual([{ id: expect.any(String), value: { question: "go on?" } }]);
    expect(waiting[1]?.interrupts).toEqual([]);
    expect(waiting[1]?.errors).toContainEqual(expect.objectContaining({ message: "no network" })); // and tasks it ended
    const [latest] = await all(saver.list({ configurable: { thread_id: "thread 2" } }, { limit: 1 }));
    expect(waiting[0]?.checkpointId).toBe(latest?.checkpoint.id);
    for await (const { threadId } of saver.listWaiting({ after: "thread 5" })) expect(threadId).toBe("thread 7");
  });
});
