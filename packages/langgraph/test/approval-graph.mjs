// A graph that interrupts for a person, and counts the runs of its first node: `node approval-graph.mjs <task> <file>`.
import { Annotation, Command, END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { createSQLiteStorage } from "@waymark/sqlite";
import { WaymarkSaver } from "../dist/index.js";

const [task, databasePath] = process.argv.slice(2);
const storage = createSQLiteStorage({ databasePath });
let drafts = 0;

const State = Annotation.Root({
  text: Annotation(),
  approvals: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }),
});
const graph = new StateGraph(State)
  .addNode("draft", ({ text }) => {
    drafts += 1;
    return { text: `${text}, drafted` };
  })
  .addNode("approve", () => {
    const first = interrupt("is it good?");
    const second = interrupt("is it really?");
    return { approvals: [first, second] };
  })
  .addNode("send", ({ text }) => ({ text: `${text}, sent` }))
  .addEdge(START, "draft")
  .addEdge("draft", "approve")
  .addEdge("approve", "send")
  .addEdge("send", END)
  .compile({ checkpointer: new WaymarkSaver(storage) });

const config = { configurable: { thread_id: "letter" } };
const answers = (result) => result.__interrupt__?.map(({ value }) => value) ?? result;

const tasks = {
  start: async () => answers(await graph.invoke({ text: "letter" }, config)),
  first: async () => answers(await graph.invoke(new Command({ resume: "yes" }), config)),
  second: async () => answers(await graph.invoke(new Command({ resume: "really" }), config)),
  travel: async () => {
    for await (const { next, config: earlier } of graph.getStateHistory(config)) {
      if (next[0] !== "send") continue;
      return await graph.invoke(null, await graph.updateState(earlier, { text: "another letter" }));
    }
  },
  history: async () => {
    const texts = [];
    for await (const { values } of graph.getStateHistory(config)) texts.push(values.text);
    return texts;
  },
};
const result = await tasks[task]();
process.send({ result, drafts });
// Acknowledged checkpoints are durable even if the storage is not closed.
process.exit();
