// A process that works on an encrypted file: `node encryption-child.mjs <task> <file> <file of keys> <agent>`. It sends
// "working" until it is told to stop, and then what it has done.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSQLiteStorage } from "../dist/index.js";

const [task, databasePath, keyFile, agentId] = process.argv.slice(2);
const keys = () => JSON.parse(readFileSync(keyFile, "utf8")); // read each time, as a key service is asked
const storage = createSQLiteStorage({
  databasePath,
  encryption: { keys, migrate: task.includes("migrate") },
  cacheBytes: 0,
});
const hashOf = (text) => createHash("sha256").update(text).digest("hex");

let stopped = false;
process.once("message", () => {
  stopped = true;
});

const acknowledged = [];
const turns = [];
let rounds = 0;
try {
  for (; !stopped; rounds++) {
    if (task.startsWith("store")) {
      const before = await storage.retrieveLatestCheckpoint(agentId);
      turns.push({
        turn: rounds,
        text: Array.from({ length: 12 }, (_, at) => hashOf(`${agentId} ${rounds} ${at}`)).join(" "),
      });
      if (turns.length > 60) turns.splice(0, 20);
      const state = { agentId, turns };
      const name = hashOf(JSON.stringify(state)); // whoever reads the state can check it by this
      const parentId = before === null ? {} : { parentId: before.id };
      const id = await storage.storeCheckpoint({ agentId, name, state, createdAt: rounds, ...parentId });
      acknowledged.push(id);
    } else {
      await storage.pruneCheckpoints({ keepLast: 10 });
    }
    if (rounds % 10 === 9) process.send("working");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await storage.close();
  process.send({ acknowledged }, () => process.disconnect());
} catch (error) {
  process.send({ acknowledged, error: `${error.code}: ${error.message}` }, () => process.exit(1));
}
