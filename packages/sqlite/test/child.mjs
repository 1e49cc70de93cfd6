// A process with a storage, as an application is: `node child.mjs <task> <file>`.
import { once } from "node:events";
import Database from "better-sqlite3";
import {
  CheckpointService,
  closeOnExit,
  createReplicatedStorage,
  createSQLiteStorage,
  groupAgents,
  startRetention,
} from "../dist/index.js";

const [task, databasePath, backupPath] = process.argv.slice(2);
const storage = createSQLiteStorage({ databasePath });
const checkpoint = (state) => ({ agentId: "agent", name: "turn", state, createdAt: 1 });

switch (task) {
  case "open": // when it is told to, so that many open at the same moment
    process.send("ready");
    process.once("message", async () => {
      const result = await storage.stats().then(
        () => "opened",
        (error) => error.message,
      );
      await storage.close();
      process.send(result, () => process.disconnect());
    });
    break;
  case "store for ever": // and send what was acknowledged, until it is killed
    for (let turn = 1; ; turn++) {
      const id = await storage.storeCheckpoint(checkpoint({ turn, text: "x".repeat(5_000) }));
      process.send({ turn, id });
    }
  case "store in a loop": // with a backup, and without a pause, until a timer of its own or a signal ends it
  case "store in a loop, and die": {
    const backup = createSQLiteStorage({ databasePath: backupPath });
    const pair = createReplicatedStorage({ main: storage, backup, reconcile: false });
    closeOnExit(pair);
    let turn = 1;
    if (task.endsWith("die")) setInterval(() => turn > 400 && process.kill(process.pid, "SIGKILL"), 5);
    for (; ; turn++) {
      await pair.storeCheckpoint(checkpoint({ turn })).catch(() => {});
      if (turn === 200) process.send("storing");
    }
  }
  case "collect garbage": // while no JavaScript runs, as an idle process does
    for (let round = 0; round < 20; round++) {
      await storage.storeCheckpoint(checkpoint({ round }), {
        ifLatest: (await storage.retrieveLatestCheckpoint("agent"))?.id ?? null,
      });
      await storage.listCheckpoints({ agentId: "agent", metadata: { round } });
      await storage.pruneCheckpoints({ keepLast: 5 });
      const other = createSQLiteStorage({ databasePath: ":memory:" });
      await other.storeCheckpoint(checkpoint(round));
      await other.close();
      await globalThis.gc({ type: "major", execution: "async" });
    }
    await storage.close();
    process.send("collected", () => process.disconnect());
    break;
  case "prune by itself": {
    // and tell of each look at the lease; each prune waits until it is told to go on
    const verbose = (statement) => /^select .* 'retention'/i.test(statement) && process.send("looked");
    const pruned = createSQLiteStorage({ database: new Database(databasePath, { verbose }) });
    const prune = pruned.pruneCheckpoints.bind(pruned);
    pruned.pruneCheckpoints = async (policy) => {
      process.send("pruning");
      await once(process, "message");
      return await prune(policy);
    };
    pruned.on("pruned", ({ removed }) => process.send({ removed }));
    startRetention(pruned, { keepLast: 1, everyMs: 1_000 });
    process.on("message", () => {}); // stays
    break;
  }
  case "work until the signal": {
    // two agents and an application, which go on where the last process has stopped
    const counter = (agentId) => {
      const agent = {
        turn: 0,
        generateCheckpoint: () => ({ agentId, state: agent.turn }),
        restoreCheckpoint: ({ state }) => {
          agent.turn = state;
        },
      };
      return agent;
    };
    const agents = { researcher: counter("researcher"), writer: counter("writer") };
    let starts = 0;
    const application = {
      save: () => starts,
      restore: (state) => {
        starts = state;
      },
    };
    const group = groupAgents({ agentId: "desk", agents, application });
    const service = new CheckpointService();
    service.registerProvider("main", storage);
    await service.restoreLatestAgentCheckpoint("desk", group);
    closeOnExit([() => service.saveAgentCheckpoint("stop", group), storage]);
    starts += 1;
    agents.researcher.turn += 10;
    agents.writer.turn += 100;
    process.send({ starts, researcher: agents.researcher.turn, writer: agents.writer.turn });
    process.on("message", () => {}); // stays
    break;
  }
  case "store and close": // and then do nothing: the process must end by itself
    await storage.storeCheckpoint(checkpoint("last words"));
    await storage.close();
    process.send("closed", () => process.disconnect());
    break;
}
