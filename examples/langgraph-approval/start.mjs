// The first process: gives the agent a task, and exits when the agent has to ask.
//
//   node start.mjs INV-17

import { HumanMessage } from "@langchain/core/messages";
import { WaymarkSaver } from "@waymark/langgraph";
import { openCheckpointStorage } from "@waymark/sqlite";
import { createAgent } from "./agent.mjs";

const [invoice = "INV-17"] = process.argv.slice(2);
const storage = await openCheckpointStorage();
const agent = createAgent(new WaymarkSaver(storage));

const thread = { configurable: { thread_id: invoice } };
const message = new HumanMessage(`Please deal with invoice ${invoice}.`);
const { __interrupt__: questions = [] } = await agent.invoke({ messages: [message] }, thread);

for (const { value } of questions)
  console.log(`${invoice} asks for approval: ${value.tool} ${JSON.stringify(value.args)}`);
await storage.close();
