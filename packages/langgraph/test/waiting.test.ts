import { Annotation, Command, entrypoint, interrupt, START, StateGraph, task } from "@langchain/langgraph";
import { ERROR, emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { type WaitingQuery, WaymarkSaver } from "@waymark/langgraph";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { sqlite } from "./databases.ts";

async function empty() {
  const database = await sqlite.create();
  onTestFinished(() => database.drop());
  const storage = database.open();
  return { storage, saver: new WaymarkSaver(storage) };
}

async function listed(saver: WaymarkSaver, query?: WaitingQuery) {
  const waiting = [];
  for await (const thread of saver.listWaiting(query)) waiting.push(thread);
  return waiting;
}

/** Two tasks side by side. */
function graphOn(checkpointer: WaymarkSaver, a: () => string, b: () => string) {
  const State = Annotation.Root({ found: Annotation<string[]>({ reducer: (x, y) => x.concat(y), default: () => [] }) });
  return new StateGraph(State)
    .addNode("a", () => ({ found: [a()] }))
    .addNode("b", () => ({ found: [b()] }))
    .addEdge(START, "a")
    .addEdge(START, "b")
    .compile({ checkpointer });
}

const thread = { configurable: { thread_id: "thread" } };

describe("a thread that waits", () => {
  it("is listed with the questions that are not answered, as the graph has them", async () => {
    const { saver } = await empty();
    const graph = graphOn(
      saver,
      () => interrupt("a?"),
      () => interrupt("b?"),
    );
    for (const expected of [["a?", "b?"], ["b?"], []]) {
      const state = await graph.invoke(
        expected.length === 2 ? { found: [] } : new Command({ resume: { [await nextId()]: "yes" } }),
        thread,
      );
      const interrupts = (state as { __interrupt__?: { value?: unknown }[] }).__interrupt__ ?? [];
      expect(interrupts.map(({ value }) => value).toSorted()).toEqual(expected);
      const waiting = await listed(saver);
      expect(waiting.flatMap((one) => one.interrupts)).toHaveLength(expected.length);
      expect(waiting.flatMap((one) => one.interrupts)).toEqual(expect.arrayContaining(interrupts));
      expect(waiting.map(({ errors }) => errors)).toEqual(expected.length > 0 ? [[]] : []);
    }

    /** The question of the first task that waits. */
    async function nextId(): Promise<string> {
      const { tasks } = await graph.getState(thread);
      return tasks.find(({ result }) => result === undefined)?.interrupts[0]?.id as string;
    }
  });

  it("is listed without the error of a task that has succeeded since", async () => {
    const { saver } = await empty();
    let fails = true;
    const graph = graphOn(
      saver,
      () => {
        if (fails) throw new Error("no network");
        return "a";
      },
      () => interrupt("b?"),
    );
    await expect(graph.invoke({ found: [] }, thread)).rejects.toThrow("no network");
    expect((await listed(saver))[0]?.errors).toMatchObject([{ message: "no network" }]);
    fails = false;
    await graph.invoke(null, thread);
    expect(await listed(saver)).toMatchObject([{ interrupts: [{ value: "b?" }], errors: [] }]);
  });

  it("is listed once with a question that a task of a function asks", async () => {
    const { saver } = await empty();
    const ask = task("ask", async (of: string) => interrupt(`${of}?`));
    const workflow = entrypoint({ name: "workflow", checkpointer: saver }, async (of: string[]) => {
      return await Promise.all(of.map(async (one) => await ask(one)));
    });
    await workflow.invoke(["a", "b"], thread);
    const [waiting] = await listed(saver);
    expect(waiting?.interrupts.map((one) => (one as { value?: unknown }).value).toSorted()).toEqual(["a?", "b?"]);
  });

  it("is listed with an error for which LangGraph has noted the node", async () => {
    const { saver } = await empty();
    const config = await saver.put(thread, { ...emptyCheckpoint(), id: uuid6(1) }, {} as never, {});
    const failed: [string, unknown][] = [
      [ERROR, { message: "no network" }],
      ["__error_source_node__", "a"],
    ];
    await saver.putWrites(config, failed, "task");
    expect(await listed(saver)).toMatchObject([{ errors: [{ message: "no network" }] }]);
  });
});

describe("the list of threads that wait", () => {
  it("reads one head of each agent, and no state", async () => {
    const { storage, saver } = await empty();
    for (let turn = 0; turn < 3; turn++) {
      await storage.storeCheckpoint({ agentId: "no thread", name: "turn", state: { turn }, createdAt: turn });
    }
    await graphOn(
      saver,
      () => "a",
      () => interrupt("b?"),
    ).invoke({ found: [] }, thread);
    const list = vi.spyOn(storage, "listCheckpoints");
    const reads = [vi.spyOn(storage, "retrieveLatestCheckpoint"), vi.spyOn(storage, "retrieveCheckpoint")];
    expect((await listed(saver)).map(({ threadId }) => threadId)).toEqual(["thread"]);
    expect(await Promise.all(list.mock.results.map(({ value }) => value as Promise<unknown[]>))).toEqual([
      [expect.objectContaining({ agentId: "no thread" })],
      [expect.objectContaining({ agentId: "thread" })],
    ]);
    for (const read of reads) expect(read).not.toHaveBeenCalled();
  });

  it("finds the writes of a checkpoint that was put twice", async () => {
    const { saver } = await empty();
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(1) };
    const config = await saver.put(thread, checkpoint, {} as never, {});
    await saver.putWrites(config, [[ERROR, "first"]], "task");
    await saver.put(thread, { ...checkpoint, channel_values: { a: 1 } }, {} as never, { a: 1 });
    expect(await listed(saver)).toEqual([
      { threadId: "thread", checkpointId: checkpoint.id, interrupts: [], errors: ["first"] },
    ]);
  });

  it("refuses a misspelt query", async () => {
    const { saver } = await empty();
    const misspelt: object = { afterThread: "a" };
    await expect(listed(saver, misspelt)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
