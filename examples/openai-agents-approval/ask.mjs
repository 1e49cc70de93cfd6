// The first process: takes the customer's message, runs the agent until it needs a person, saves the run, and ends.
//
//   node ask.mjs <ticket>

import { run } from "@openai/agents-core";
import { WaymarkRunStates, WaymarkSession } from "@waymark/openai-agents";
import { openCheckpointStorage } from "@waymark/sqlite";
import { agent } from "./agent.mjs";

const ticket = process.argv[2] ?? "ticket-1";
const storage = await openCheckpointStorage(); // agent_state.db, or the database in WAYMARK_URL
const session = new WaymarkSession({ storage, sessionId: ticket });
const runs = new WaymarkRunStates({ storage, agentId: ticket });

const result = await run(agent, "The lamp of order 1017 came broken. I want my money back.", { session });
if (result.interruptions.length > 0) {
  await runs.save(result.state, { name: "waits for approval" });
  for (const { name, arguments: given } of result.interruptions) console.log(`  waits for     ${name} ${given}`);
} else {
  console.log(`  answer        ${result.finalOutput}`);
}
await storage.close();
console.log(`  process ${process.pid} ends`);
