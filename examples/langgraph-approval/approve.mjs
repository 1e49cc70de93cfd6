// Another process, maybe another day on another machine: lists the interrupted threads, and decides.
//
//   node approve.mjs                                lists
//   node approve.mjs INV-17                         approves
//   node approve.mjs INV-17 --euros 1000            approves, with another argument
//   node approve.mjs INV-17 --reject "not ours"     rejects

import { parseArgs } from "node:util";
import { Command } from "@langchain/langgraph";
import { WaymarkSaver } from "@waymark/langgraph";
import { openCheckpointStorage } from "@waymark/sqlite";
import { createAgent } from "./agent.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { euros: { type: "string" }, reject: { type: "string" } },
});
const storage = await openCheckpointStorage();
const agent = createAgent(new WaymarkSaver(storage));

// Each thread is an agent of the storage. Its question is with its latest checkpoint.
const waiting = new Map();
for (const threadId of await storage.listAgents()) {
  const { tasks } = await agent.getState({ configurable: { thread_id: threadId } });
  const [question] = tasks.flatMap(({ interrupts }) => interrupts);
  if (question) waiting.set(threadId, question.value);
}

const [chosen] = positionals;
if (chosen === undefined) {
  for (const [threadId, { tool, args }] of waiting) {
    console.log(`${threadId} waits: ${tool} ${JSON.stringify(args)}`);
  }
  if (waiting.size === 0) console.log("nothing waits");
} else if (waiting.has(chosen)) {
  const decision =
    options.reject === undefined
      ? { approved: true, ...(options.euros === undefined ? {} : { args: { euros: Number(options.euros) } }) }
      : { approved: false, reason: options.reject };
  const { messages } = await agent.invoke(new Command({ resume: decision }), { configurable: { thread_id: chosen } });
  console.log(`${chosen} ends: ${messages.at(-1).content}`);
} else {
  console.error(`Expected an invoice that waits for approval, got \`${chosen}\`.`);
  process.exitCode = 1;
}
await storage.close();
