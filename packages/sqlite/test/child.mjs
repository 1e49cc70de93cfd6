// A process of its own, as an application is: `node child.mjs <task> <file>`.
import { createSQLiteStorage } from "../dist/index.js";

const [task, databasePath] = process.argv.slice(2);
const storage = createSQLiteStorage({ databasePath });
const checkpoint = (state) => ({ agentId: "agent", name: "turn", state, createdAt: 1 });

switch (task) {
  case "open": // when told, so that many do it at the same moment
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
  case "store for ever": // says what was acknowledged, until it is killed
    for (let turn = 1; ; turn++) {
      const id = await storage.storeCheckpoint(checkpoint({ turn, text: "x".repeat(5_000) }));
      process.send({ turn, id });
    }
  case "store and close": // and then nothing: the process has to end by itself
    await storage.storeCheckpoint(checkpoint("last words"));
    await storage.close();
    process.send("closed", () => process.disconnect());
    break;
}
