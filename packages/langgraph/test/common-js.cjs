// An application in CommonJS, with LangGraph's CommonJS build: `node common-js.cjs <file>`.
const { AIMessage, BaseMessage } = require("@langchain/core/messages");
const { MessagesAnnotation, StateGraph, START } = require("@langchain/langgraph");
const { createSQLiteStorage } = require("@waymark/sqlite");
const { WaymarkSaver } = require("@waymark/langgraph");

async function main() {
  const storage = createSQLiteStorage({ databasePath: process.argv[2] });
  const graph = new StateGraph(MessagesAnnotation)
    .addNode("answer", ({ messages }) => ({ messages: [new AIMessage(`${messages.length}`)] }))
    .addEdge(START, "answer")
    .compile({ checkpointer: new WaymarkSaver(storage) });
  const config = { configurable: { thread_id: "1" } };
  await graph.invoke({ messages: [{ role: "user", content: "one" }] }, config);
  const { messages } = await graph.invoke({ messages: [{ role: "user", content: "two" }] }, config);
  await storage.close();
  // Messages that were read have this application's classes, not those of the ES modules.
  process.send(messages.map((message) => [message.getType(), message.content, message instanceof BaseMessage]));
}

main();
