// An application in CommonJS, with LangGraph's CommonJS build: `node common-js.cjs <file>`.
const { AIMessage, BaseMessage } = require("@langchain/core/messages");
const { MessagesAnnotation, StateGraph, START } = require("@langchain/langgraph");
const { BaseStore } = require("@langchain/langgraph-checkpoint");
const { createSQLiteStorage } = require("@waymark/sqlite");
const { createSQLiteMemory } = require("@waymark/sqlite/memory");
const { WaymarkSaver, WaymarkStore } = require("@waymark/langgraph");

async function main() {
  const storage = createSQLiteStorage({ databasePath: process.argv[2] });
  const memory = createSQLiteMemory({ databasePath: process.argv[2] });
  const store = new WaymarkStore({ memory });
  if (!(store instanceof BaseStore)) throw new Error("expected a store of this application's classes");
  const graph = new StateGraph(MessagesAnnotation)
    .addNode("answer", async ({ messages }, config) => {
      await config.store.put(["counts"], `${messages.length}`, {});
      return { messages: [new AIMessage(`${messages.length} of ${(await config.store.search(["counts"])).length}`)] };
    })
    .addEdge(START, "answer")
    .compile({ checkpointer: new WaymarkSaver(storage), store });
  const config = { configurable: { thread_id: "1" } };
  await graph.invoke({ messages: [{ role: "user", content: "one" }] }, config);
  const { messages } = await graph.invoke({ messages: [{ role: "user", content: "two" }] }, config);
  await memory.close();
  await storage.close();
  // Messages that were read have this application's classes, not those of the ES modules.
  process.send(messages.map((message) => [message.getType(), message.content, message instanceof BaseMessage]));
}

main();
