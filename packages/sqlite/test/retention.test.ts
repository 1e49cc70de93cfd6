import { once } from "node:events";
import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { checkpoint, childProcess, newFile } from "./fixtures.ts";

const DAY_MS = 86_400_000;
/** More rows of an idle agent than one commit removes. */
const ROWS = 1_500;

/** Stores rows of an agent, whose ids are of the year 1970. */
async function fill(databasePath: string, agentId: string, turns = ROWS): Promise<void> {
  const storage = createSQLiteStorage({ databasePath });
  await storage.storeCheckpoint({ ...checkpoint("a state", agentId), id: "00000000-0001-7000-8000-000000000000" });
  await storage.close();
  const database = new Database(databasePath);
  database
    .prepare(
      `insert into agent_checkpoints (id, agent_id, namespace, name, created_at, encoding, state_bytes, digest, state)
       with recursive turn (number) as (select 1 union all select number + 1 from turn where number < ?)
       select unhex(printf('00000000000170008000%012x', number)), agent_id, namespace, name, 1, encoding,
         state_bytes, digest, state from turn cross join agent_checkpoints where agent_id = ?`,
    )
    .run(turns - 1, agentId);
  database.close();
}

it("removes an idle agent with more checkpoints than one commit takes, and leaves it its latest if it comes back meanwhile", async () => {
  const databasePath = newFile();
  await fill(databasePath, "agent");
  const [storage, agent] = [createSQLiteStorage({ databasePath }), createSQLiteStorage({ databasePath })];
  onTestFinished(async () => {
    await storage.close();
    await agent.close();
  });
  const latest = await agent.retrieveLatestCheckpoint("agent");
  const stores: Promise<string>[] = [];
  const returning = await storage.pruneCheckpoints({
    dropAgentsIdleForMs: 30 * DAY_MS,
    batchSize: 50,
    onProgress: ({ removed }) => {
      if (removed === 500)
        stores.push(agent.storeCheckpoint(checkpoint("back", "agent"), { ifLatest: latest?.id ?? null }));
    },
  });
  const [stored] = await Promise.all(stores);
  expect(returning.droppedAgents).toBe(0);
  expect(returning.removed).toBeGreaterThanOrEqual(500);
  expect(returning.removed).toBeLessThan(ROWS - 1);
  const [newest, before] = await agent.listCheckpoints({ agentId: "agent", limit: 2 });
  expect([newest?.id, before?.id]).toEqual([stored, latest?.id]);
  expect(await agent.retrieveCheckpoint(latest?.id as string)).toEqual(latest);
});

/** Starts a process that prunes by itself. Every prune of it waits for a message. */
function startPruner(databasePath: string) {
  const child = childProcess("prune by itself", databasePath);
  onTestFinished(() => void child.kill("SIGKILL"));
  const messages: unknown[] = [];
  child.on("message", (message) => messages.push(message));
  const until = async (isIt: () => boolean) => {
    while (!isIt()) await once(child, "message");
  };
  const isPruning = () => messages.includes("pruning");
  const looks = () => messages.filter((message) => message === "looked").length;
  return { child, messages, until, isPruning, looks };
}

it("prunes by itself in one of two processes at a time, and in the other one after the first was killed", async () => {
  const databasePath = newFile();
  await fill(databasePath, "agent", 10);
  const pruners = [startPruner(databasePath), startPruner(databasePath)];
  const begun = pruners.map(async (pruner) => {
    await pruner.until(pruner.isPruning);
    return pruner;
  });
  const first = await Promise.race(begun);
  const other = pruners.find((pruner) => pruner !== first) as typeof first;
  // The message of one look may be older than the prune, and the outcome of the last one is not known yet.
  const seen = other.looks();
  await other.until(() => other.looks() >= seen + 3);
  expect(other.isPruning()).toBe(false);
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  const database = new Database(databasePath);
  onTestFinished(() => void database.close());
  const lease = database.prepare("select value from agent_checkpoint_settings where name = 'retention'").pluck();
  const { holder } = JSON.parse(lease.get() as string) as { holder: string };
  expect(holder).not.toBeNull();
  // As if its minute was over.
  const end = "update agent_checkpoint_settings set value = json_set(value, '$.until', 0) where name = 'retention'";
  expect(database.prepare(end).run().changes).toBe(1);
  await other.until(other.isPruning);
  expect(JSON.parse(lease.get() as string)).toMatchObject({ holder: expect.not.stringMatching(holder), doneAt: 0 });
  other.child.send("go on");
  await other.until(() => other.messages.some((message) => typeof message === "object"));
  expect(other.messages).toContainEqual({ removed: 9 });
  const rows = database.prepare("select count(*) from agent_checkpoints where agent_id = 'agent'").pluck();
  expect(rows.get()).toBe(1);
});
