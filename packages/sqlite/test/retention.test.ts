import { createSQLiteStorage } from "@waymark/sqlite";
import Database from "better-sqlite3";
import { expect, it, onTestFinished } from "vitest";
import { checkpoint, newFile } from "./fixtures.ts";

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
