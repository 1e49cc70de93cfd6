// An agent in the terminal: each line is a turn, and each turn is stored before the next one begins.
//
//   node dist/main.js ./agent_state.db

import { createInterface } from "node:readline";
import { CheckpointService, createSQLiteStorage } from "@waymark/sqlite";
import { PlainAgent } from "./agent.ts";
import { scriptedModel } from "./scripted-model.ts";

const storage = createSQLiteStorage({ type: "sqlite", databasePath: process.argv[2] ?? "./agent_state.db" });
const service = new CheckpointService();
service.registerProvider("main", storage);

const agent = new PlainAgent("plain-agent", scriptedModel);
const latest = await service.restoreLatestAgentCheckpoint(agent.agentId, agent);
console.log(latest ? `goes on after turn ${agent.turn}` : "begins");

const auto = service.autoCheckpoint(agent, {
  after: (turnDone) => {
    agent.on("turn", turnDone);
    return () => agent.off("turn", turnDone);
  },
  name: () => `turn ${agent.turn}`,
  keep: { keepLast: 100 },
});

for await (const line of createInterface({ input: process.stdin })) {
  console.log(await agent.takeTurn(line));
  await auto.flush(); // rejects if the turn could not be stored
  console.log(`stored turn ${agent.turn}`);
}

await auto.stop();
await storage.close();
