// One conversation: a message of a user, and the answer. Each run is a process and a thread of its own.
//
//   node chat.mjs ada "I am allergic to peanuts."
//   node chat.mjs ada "Can I eat peanuts?"

import { randomUUID } from "node:crypto";
import { HumanMessage } from "@langchain/core/messages";
import { createAgent } from "./agent.mjs";
import { open } from "./open.mjs";

const [user = "ada", text = "Can I eat peanuts?"] = process.argv.slice(2);
const { checkpointer, store, close } = await open();
const agent = createAgent(checkpointer, store);

const thread = { configurable: { thread_id: randomUUID(), user_id: user } };
const { messages } = await agent.invoke({ messages: [new HumanMessage(text)] }, thread);
console.log(messages.at(-1).content);
await close();
