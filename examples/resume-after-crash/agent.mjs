// An agent that outlives its process: its state is stored after every turn, and when it starts it continues after the latest
// stored turn.
//
//   node agent.mjs ./agent_state.db

import { createSQLiteStorage } from "@waymark/sqlite";
import { report } from "./replay.mjs";
import { newState, takeTurn } from "./turn.mjs";

const agentId = "papagena-ops";
const storage = createSQLiteStorage({ type: "sqlite", databasePath: process.argv[2] ?? "./agent_state.db" });

const latest = await storage.retrieveLatestCheckpoint(agentId);
const state = latest?.state ?? newState();
let parentId = latest?.id;
await report({ turn: state.turn, step: latest ? "resumed" : "started" });

while (await takeTurn(state)) {
  parentId = await storage.storeCheckpoint({
    agentId,
    name: `turn ${state.turn}`,
    state,
    createdAt: Date.now(),
    parentId,
    metadata: { turn: state.turn, pid: process.pid },
  });
  await report({ turn: state.turn, step: "stored" });
}

await report({ turn: state.turn, step: "finished", state });
await storage.close();
