// A process with a storage, as an application is: `node child.mjs <task> <file>`.
import { closeOnExit, createReplicatedStorage, createSQLiteStorage } from "../dist/index.js";

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
  case "store in a loop for a second": {
    const backup = createSQLiteStorage({ databasePath: backupPath });
    const pair = createReplicatedStorage({ main: storage, backup, reconcile: false });
    closeOnExit(pair);
    if (task.endsWith("second")) setTimeout(() => process.kill(process.pid, "SIGKILL"), 1_000);
    for (let turn = 1; ; turn++) {
      await pair.storeCheckpoint(checkpoint({ turn })).catch(() => {});
      if (turn === 500) process.send("storing");
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
  case "store and close": // and then do nothing: the process must end by itself
    await storage.storeCheckpoint(checkpoint("last words"));
    await storage.close();
    process.send("closed", () => process.disconnect());
    break;
}
