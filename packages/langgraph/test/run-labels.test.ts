import { Annotation, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { copyThreads, WaymarkSaver } from "@waymark/langgraph";
import { createSQLiteStorage } from "@waymark/sqlite";
import { describe, expect, it, onTestFinished } from "vitest";

const State = Annotation.Root({ n: Annotation<number>() });

function builder() {
  const inner = new StateGraph(State)
    .addNode("double", ({ n }) => ({ n: n * 2 }))
    .addEdge(START, "double")
    .compile({ checkpointer: true });
  return new StateGraph(State)
    .addNode("add", ({ n }) => ({ n: n + 1 }))
    .addNode("inner", inner)
    .addEdge(START, "add")
    .addEdge("add", "inner");
}

function open() {
  const storage = createSQLiteStorage({ databasePath: ":memory:", indexedLabels: ["user"] });
  onTestFinished(async () => void (await storage.close()));
  const saver = new WaymarkSaver(storage);
  return { storage, saver, graph: builder().compile({ checkpointer: saver }) };
}

const thread = (thread_id: string) => ({ configurable: { thread_id } });
const ofUser = (thread_id: string, user: unknown) => ({ ...thread(thread_id), metadata: { user } });

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("the metadata of a run's config", () => {
  it("labels the checkpoints of invoke, stream, withConfig, updateState and subgraphs, so that a user is erased", async () => {
    const { storage, graph } = open();
    await graph.invoke({ n: 1 }, ofUser("invoked", "42"));
    await all(await graph.stream({ n: 1 }, ofUser("streamed", "42")));
    await graph.withConfig({ metadata: { user: "42" } }).invoke({ n: 1 }, thread("bound"));
    await graph.updateState(ofUser("updated", "42"), { n: 1 }, "add");
    await graph.invoke({ n: 1 }, ofUser("another", "43"));
    await graph.invoke({ n: 1 }, thread("nobody's"));

    const metadata = { user: "42" };
    expect(await storage.listAgents({ metadata })).toEqual(["bound", "invoked", "streamed", "updated"]);
    const labelled = await storage.listCheckpoints({ agentId: "invoked", metadata });
    expect(labelled).toEqual(await storage.listCheckpoints({ agentId: "invoked" }));
    expect([...new Set(labelled.map(({ namespace }) => namespace))]).toEqual([undefined, "inner"]);
    for (const { metadata: labels = {} } of labelled) {
      const keys = Object.keys(labels).filter((key) => !["source", "step"].includes(key));
      expect(keys).toEqual(["langgraph_checkpoint_id", "user"]);
    }

    expect((await storage.deleteAgents({ metadata })).agents).toBe(4);
    expect(await storage.listAgents()).toEqual(["another", "nobody's"]);
  });

  it("is not in the metadata of checkpoints, and list filters by that alone, as MemorySaver does", async () => {
    const { saver, graph } = open();
    const reference = new MemorySaver();
    await graph.invoke({ n: 1 }, ofUser("1", "42"));
    await builder().compile({ checkpointer: reference }).invoke({ n: 1 }, ofUser("1", "42"));
    for (const filter of [{}, { user: "42" }, { user: "43" }, { source: "loop" }, { source: "loop", user: "42" }]) {
      for (const config of [thread("1"), { configurable: {} }]) {
        const metadataIn = async (from: MemorySaver | WaymarkSaver) =>
          (await all(from.list(config, { filter }))).map(({ metadata }) => JSON.stringify(metadata)).sort();
        const found = await metadataIn(saver);
        expect(found.map((text) => text.replaceAll(/[0-9a-f-]{36}/g, "id"))).toEqual(
          (await metadataIn(reference)).map((text) => text.replaceAll(/[0-9a-f-]{36}/g, "id")),
        );
      }
    }
  });

  it("gives way to the checkpoint's own metadata, and loses what cannot be a label or does not fit", async () => {
    const { storage, saver } = open();
    const metadata = {
      source: "mine",
      parents: "mine",
      list: ["a"],
      nothing: undefined,
      text: "x".repeat(257),
      langgraph_checkpoint_id: "mine",
      langgraph_labels_partial: true,
      ...Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key ${at}`, "x".repeat(250)])),
      user: "42",
    };
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(1) };
    const own = { source: "loop", step: 1, parents: {} } as const;
    await saver.put({ ...thread("1"), metadata }, checkpoint, own, {});
    const [row] = await storage.listCheckpoints({ agentId: "1", metadata: { user: "42" } });
    expect(row?.metadata).toMatchObject({
      langgraph_checkpoint_id: checkpoint.id,
      source: "loop",
      step: 1,
      "key 0": expect.any(String),
    });
    for (const key of ["parents", "list", "nothing", "text", "langgraph_labels_partial", "key 99"]) {
      expect(row?.metadata).not.toHaveProperty([key]);
    }
    expect((await saver.getTuple(thread("1")))?.metadata).toEqual(own);
  });

  it("is not known of threads that are copied: their checkpoints have the labels of their own metadata", async () => {
    const { storage, saver } = open();
    const from = new MemorySaver();
    await builder().compile({ checkpointer: from }).invoke({ n: 1 }, ofUser("1", "42"));
    const checkpoint = { ...emptyCheckpoint(), id: uuid6(1) };
    await from.put(thread("2"), checkpoint, { source: "loop", step: 1, parents: {}, user: "42" } as never);
    expect(await copyThreads(from, saver)).toMatchObject({ threads: 2 });
    expect(await storage.listAgents({ metadata: { user: "42" } })).toEqual(["2"]);
  });
});
