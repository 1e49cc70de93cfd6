// The second process, maybe days later and on another machine: a person decides, and the run continues to its end.
//
//   node decide.mjs <ticket> [approve | reject]

import { run } from "@openai/agents-core";
import { WaymarkRunStates, WaymarkSession } from "@waymark/openai-agents";
import { openCheckpointStorage } from "@waymark/sqlite";
import { agent } from "./agent.mjs";

const [ticket = "ticket-1", decision = "approve"] = process.argv.slice(2);
const storage = await openCheckpointStorage();
const session = new WaymarkSession({ storage, sessionId: ticket });
const runs = new WaymarkRunStates({ storage, agentId: ticket });

try {
  console.log(`  outcome       ${await decide()}`);
} catch (error) {
  if (error.code !== "CONFLICT") throw error;
  console.log("  outcome       another process decided first");
} finally {
  await storage.close();
  console.log(`  process ${process.pid} ends`);
}

async function decide() {
  const saved = await runs.load(agent);
  if (saved === null) return "unknown ticket";
  if (saved.name !== "waits for approval") return `already ${saved.name}`;

  for (const interruption of saved.state.getInterruptions()) {
    if (decision === "approve") saved.state.approve(interruption);
    else saved.state.reject(interruption);
  }
  // Of several concurrent deciders exactly one gets past this line, so nothing is paid back twice.
  await runs.save(saved.state, { name: "decided", ifLatest: saved.id });

  const result = await run(agent, saved.state, { session });
  await runs.save(result.state, { name: "answered" });
  return result.finalOutput;
}
