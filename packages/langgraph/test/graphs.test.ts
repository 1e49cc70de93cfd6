import { AIMessage, HumanMessage } from "@langchain/core/messages";
import {
  Annotation,
  type BaseCheckpointSaver,
  Command,
  DeltaChannel,
  END,
  interrupt,
  isInterrupted,
  MemorySaver,
  MessagesAnnotation,
  Send,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { WaymarkSaver } from "@waymark/langgraph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { databases, pairs, sqlite, type TestDatabase } from "./databases.ts";

const log = () => Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] });

/** Three steps, each of which logs the topic that it has read. */
function steps(checkpointer: BaseCheckpointSaver) {
  const State = Annotation.Root({ log: log(), topic: Annotation<string>() });
  const node = (name: string) => (state: typeof State.State) => ({ log: [`${name} of ${state.topic}`] });
  return new StateGraph(State)
    .addNode("plan", node("plan"))
    .addNode("write", node("write"))
    .addNode("check", node("check"))
    .addEdge(START, "plan")
    .addEdge("plan", "write")
    .addEdge("write", "check")
    .addEdge("check", END)
    .compile({ checkpointer });
}

/** A subgraph that interrupts for a person, between two nodes of the outer graph. */
function withSubgraph(checkpointer: BaseCheckpointSaver) {
  const Inner = Annotation.Root({ answer: Annotation<string>(), log: log() });
  const inner = new StateGraph(Inner)
    .addNode("prepare", () => ({ log: ["prepared"] }))
    .addNode("ask", () => ({ answer: interrupt<string, string>("may I?") }))
    .addNode("note", ({ answer }) => ({ log: [`noted ${answer}`] }))
    .addEdge(START, "prepare")
    .addEdge("prepare", "ask")
    .addEdge("ask", "note")
    .addEdge("note", END)
    .compile();
  const Outer = Annotation.Root({ answer: Annotation<string>(), log: log() });
  return new StateGraph(Outer)
    .addNode("before", () => ({ log: ["before"] }))
    .addNode("inner", inner)
    .addNode("after", ({ answer }) => ({ log: [`after ${answer}`] }))
    .addEdge(START, "before")
    .addEdge("before", "inner")
    .addEdge("inner", "after")
    .addEdge("after", END)
    .compile({ checkpointer });
}

/** A loop of `left` turns, with a growing history. */
function conversation(checkpointer: BaseCheckpointSaver) {
  const State = Annotation.Root({
    ...MessagesAnnotation.spec,
    turns: Annotation<number>({ reducer: (_, turns) => turns, default: () => 0 }),
    left: Annotation<number>(),
  });
  return new StateGraph(State)
    .addNode("turn", ({ turns, left }) => ({
      turns: turns + 1,
      left: left - 1,
      messages: [new AIMessage({ id: `answer ${turns}`, content: `what there is to say in turn ${turns}` })],
    }))
    .addEdge(START, "turn")
    .addConditionalEdges("turn", ({ left }) => (left > 0 ? "turn" : END))
    .compile({ checkpointer });
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const thread = (thread_id: string) => ({ configurable: { thread_id } });

describe.each([...databases, ...pairs].map(({ name, create }) => [name, create] as const))(
  "a graph whose checkpoints are on %s",
  (name, create) => {
    let database: TestDatabase;
    let saver: WaymarkSaver;
    /** A saver without memory, as another process has. */
    const elsewhere = () => new WaymarkSaver(database.open());

    beforeAll(async () => {
      database = await create();
      saver = elsewhere();
    });
    afterAll(() => database.drop());

    it("continues from the edited branch after the state at an earlier checkpoint was edited", async () => {
      // https://github.com/langchain-ai/langgraphjs/issues/1812: other savers find values by thread and channel version, and both
      // branches have the same versions.
      const graph = steps(saver);
      const config = thread("edited");
      await graph.invoke({ topic: "cats" }, config);
      const history = await all(graph.getStateHistory(config));
      const beforeWriting = history.find(({ next }) => next[0] === "write");
      const edited = await graph.updateState(beforeWriting?.config ?? {}, { topic: "dogs", log: ["edited"] });

      const result = await steps(elsewhere()).invoke(null, edited);
      const branch = { topic: "dogs", log: ["plan of cats", "edited", "write of dogs", "check of dogs"] };
      expect(result).toEqual(branch);
      expect((await steps(elsewhere()).getState(config)).values).toEqual(branch);
      // The first branch is unchanged.
      const old = await graph.getState(history[0]?.config ?? {});
      expect(old.values).toEqual({ topic: "cats", log: ["plan of cats", "write of cats", "check of cats"] });
    });

    it("keeps two branches with the same channel versions apart", async () => {
      const graph = steps(saver);
      const config = thread("branches");
      await graph.invoke({ topic: "root" }, config);
      const fork = (await all(graph.getStateHistory(config))).find(({ next }) => next[0] === "plan");
      const ends: Record<string, unknown> = {};
      for (const topic of ["left", "right"]) {
        const branch = await graph.updateState(fork?.config ?? {}, { topic });
        await graph.invoke(null, branch);
        ends[topic] = (await graph.getState(config)).config;
      }
      for (const [topic, end] of Object.entries(ends)) {
        const { values } = await steps(elsewhere()).getState(end as object);
        expect(values).toEqual({ topic, log: [`plan of ${topic}`, `write of ${topic}`, `check of ${topic}`] });
      }
    });

    it("copies a root checkpoint unchanged", async () => {
      const graph = steps(saver);
      const config = thread("copied");
      await graph.invoke({ topic: "cats" }, config);
      const root = (await all(graph.getStateHistory(config))).at(-1);
      const copied = await graph.updateState(root?.config ?? {}, null, "__copy__");
      expect(await graph.invoke(null, copied)).toEqual({
        topic: "cats",
        log: ["plan of cats", "write of cats", "check of cats"],
      });
    });

    it("replays from an earlier checkpoint", async () => {
      const graph = steps(saver);
      const config = thread("replayed");
      await graph.invoke({ topic: "cats" }, config);
      const before = await all(graph.getStateHistory(config));
      const earlier = before.find(({ next }) => next[0] === "check");
      const result = await steps(elsewhere()).invoke(null, earlier?.config ?? {});
      expect(result).toEqual(before[0]?.values);
      expect((await all(graph.getStateHistory(config))).length).toBeGreaterThan(before.length);
    });

    it("interrupts in a subgraph, and resumes in another process", async () => {
      const config = thread("subgraph");
      const asked = await withSubgraph(saver).invoke({ log: ["input"] }, config);
      expect(isInterrupted(asked) && asked["__interrupt__"].map(({ value }) => value)).toEqual(["may I?"]);

      const waiting = await withSubgraph(elsewhere()).getState(config, { subgraphs: true });
      expect(waiting.next).toEqual(["inner"]);
      const inner = waiting.tasks[0]?.state;
      expect(inner && "values" in inner && inner.values).toMatchObject({ log: ["input", "before", "prepared"] });

      const namespaces = (await all(saver.list(config))).map(({ config }) => config.configurable?.["checkpoint_ns"]);
      expect(new Set(namespaces.map((namespace) => namespace.split(":")[0]))).toEqual(new Set(["", "inner"]));

      const result = await withSubgraph(elsewhere()).invoke(new Command({ resume: "yes" }), config);
      expect(result["log"]).toEqual(["input", "before", "input", "before", "prepared", "noted yes", "after yes"]);
    });

    it("does not repeat a task that succeeded beside a failed one", async () => {
      const ran: string[] = [];
      let broken = true;
      const State = Annotation.Root({ log: log() });
      const graph = (checkpointer: BaseCheckpointSaver) =>
        new StateGraph(State)
          .addNode("good", () => {
            ran.push("good");
            return { log: ["good"] };
          })
          .addNode("bad", async () => {
            ran.push("bad");
            await new Promise((resolve) => setImmediate(resolve));
            if (broken) throw new Error("out of order");
            return { log: ["bad"] };
          })
          .addEdge(START, "good")
          .addEdge(START, "bad")
          .compile({ checkpointer });
      const config = thread("failed");
      await expect(graph(saver).invoke({ log: ["input"] }, config)).rejects.toThrow("out of order");
      broken = false;
      const result = await graph(elsewhere()).invoke(null, config);
      expect(result.log.toSorted()).toEqual(["bad", "good", "input"]);
      expect(ran.toSorted()).toEqual(["bad", "bad", "good"]);
    });

    it("sends tasks that interrupt concurrently", async () => {
      const State = Annotation.Root({ log: log() });
      const graph = (checkpointer: BaseCheckpointSaver) =>
        new StateGraph(State)
          .addNode("plan", () => ({ log: ["plan"] }))
          .addNode("work", ({ item }: { item?: number } & typeof State.State) => ({
            log: [`${item} ${interrupt<string, string>(`do ${item}?`)}`],
          }))
          .addEdge(START, "plan")
          .addConditionalEdges("plan", () => [1, 2, 3].map((item) => new Send("work", { item })))
          .addEdge("work", END)
          .compile({ checkpointer });
      const config = thread("sent");
      await graph(saver).invoke({ log: [] }, config);
      const { tasks } = await graph(elsewhere()).getState(config);
      const asked = tasks.flatMap(({ interrupts }) => interrupts);
      expect(asked.map(({ value }) => value)).toEqual(["do 1?", "do 2?", "do 3?"]);
      const answers = asked.map(({ id, value }) => [id as string, `answered: ${value}`]);
      const result = await graph(elsewhere()).invoke(new Command({ resume: Object.fromEntries(answers) }), config);
      expect(result.log).toEqual(["plan", "1 answered: do 1?", "2 answered: do 2?", "3 answered: do 3?"]);
    });

    it.each(["sync", "async", "exit"] as const)("has the same state with durability %s", async (durability) => {
      const config = { ...thread(`durability ${durability}`), durability };
      await conversation(saver).invoke({ left: 5 }, config);
      const { values, metadata } = await conversation(elsewhere()).getState(config);
      expect(values.turns).toBe(5);
      expect(values.messages).toHaveLength(5);
      expect(values.messages[4]).toBeInstanceOf(AIMessage);
      expect(metadata?.source).toBe("loop");
    });

    it.each(["sync", "exit"] as const)(
      "rebuilds delta channels from their writes, with durability %s",
      async (durability) => {
        const graph = (checkpointer: BaseCheckpointSaver) => {
          const State = Annotation.Root({
            items: () =>
              new DeltaChannel<string[], string[]>((value: string[], writes: string[][]) => value.concat(...writes)),
            left: Annotation<number>(),
          });
          return new StateGraph(State)
            .addNode("turn", ({ left }) => ({ left: left - 1, items: [`item ${left}`] }))
            .addEdge(START, "turn")
            .addConditionalEdges("turn", ({ left }) => (left > 0 ? "turn" : END))
            .compile({ checkpointer });
        };
        const [ours, memory] = [saver, new MemorySaver()];
        const config = { ...thread(`delta ${durability}`), durability, recursionLimit: 100 };
        for (const left of [30, 5]) {
          await graph(ours).invoke({ left, items: ["input"] }, config);
          await graph(memory).invoke({ left, items: ["input"] }, config);
        }
        const { values } = await graph(elsewhere()).getState(config);
        expect(values).toEqual((await graph(memory).getState(config)).values);
        expect(values.items).toHaveLength(37);
      },
    );

    it("handles a Command on an empty thread as a MemorySaver does", async () => {
      const outcome = async (checkpointer: BaseCheckpointSaver) => {
        const graph = steps(checkpointer);
        const config = thread("empty");
        const command = new Command<unknown, { topic: string }, "plan">({ update: { topic: "from nowhere" } });
        const result = await graph.invoke(command, config).catch((error: Error) => error.name);
        const { values, next } = await graph.getState(config);
        return { result, values, next };
      };
      expect(await outcome(saver)).toEqual(await outcome(new MemorySaver()));
    });

    it("runs many threads concurrently", async () => {
      const graph = conversation(saver);
      const threads = Array.from({ length: 20 }, (_, index) => ({
        config: thread(`one of many ${index}`),
        left: (index % 5) + 1,
      }));
      await Promise.all(
        threads.map(({ config, left }) => graph.invoke({ left, messages: [new HumanMessage("go")] }, config)),
      );
      for (const { config, left } of threads) {
        const { values } = await conversation(elsewhere()).getState(config);
        expect(values.turns).toBe(left);
        expect(values.messages).toHaveLength(left + 1);
      }
    });

    it("keeps all of fifty steps", async () => {
      await expectSteps(50);
    });

    if (name === sqlite.name) {
      it("keeps all of a thousand steps", { timeout: 300_000 }, async () => {
        await expectSteps(1_000);
      });
    }

    async function expectSteps(count: number): Promise<void> {
      const State = Annotation.Root({ log: log() });
      const graph = (checkpointer: BaseCheckpointSaver) =>
        new StateGraph(State)
          .addNode("turn", (state) => ({ log: [`step ${state.log.length}`] }))
          .addEdge(START, "turn")
          .addConditionalEdges("turn", (state) => (state.log.length > count ? END : "turn"))
          .compile({ checkpointer });
      const config = { ...thread(`${count} steps`), recursionLimit: count + 10 };
      await graph(saver).invoke({ log: ["input"] }, config);
      const lengths: unknown[] = [];
      for await (const { values, metadata } of graph(elsewhere()).getStateHistory(config)) {
        lengths.push([metadata?.source, metadata?.step, values["log"]?.length]);
      }
      const loops = Array.from({ length: count + 1 }, (_, step) => ["loop", step, step + 1]);
      expect(lengths).toEqual([...loops.reverse(), ["input", -1, 0]]);
    }
  },
);
