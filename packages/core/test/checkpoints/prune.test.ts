import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { OutboxChange, Row } from "../../src/checkpoints/dialect.ts";
import type { CheckpointStorage } from "../../src/contract/checkpoints.ts";
import { type ScriptedDialect, scriptedDialect } from "../scripted-dialect.ts";
import { checkpoint, scriptedStorage } from "../scripted-storage.ts";

const DAY_MS = 86_400_000;
const POLICY = { dropAgentsIdleForMs: 30 * DAY_MS };
/** The most rows of an idle agent that one commit removes. */
const MAX_WHOLE = 1_000;

let storage: CheckpointStorage;
let dialect: ScriptedDialect;
let changes: OutboxChange[];
let now = Date.now();
/** Called before each removal. */
let beforeRemoval: () => unknown;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now });
  beforeRemoval = () => {};
  const tables = scriptedDialect();
  const commit = async (change: OutboxChange, signal: AbortSignal) => {
    if (change.remove !== undefined) await beforeRemoval();
    return await tables.commit(change, signal);
  };
  ({ storage, dialect, changes } = scriptedStorage({ tables, script: { commit } }));
});
afterEach(async () => {
  vi.useRealTimers();
  await storage.close();
});

/** Lets an agent be idle for a day longer than the policy allows. Time goes on from test to test, as the ids of a process do. */
function passDays(): void {
  now += 31 * DAY_MS;
  vi.setSystemTime(now);
}

const write = (value: string, index = 0) => [{ taskId: "task", index, channel: "channel", value }];
const removals = () => changes.flatMap(({ remove }) => (remove === undefined ? [] : [remove.length]));

/** Inserts copies of a stored row, in several namespaces. `isDamaged`: as a chain in each, none of whose states can be read. */
async function insertRows(namespaces: readonly string[], turns: number, isDamaged = false): Promise<void> {
  const id = await storage.storeCheckpoint(checkpoint());
  const row = dialect.rows.get(id) as Row;
  const idOf = (number: number) => `${id.slice(0, -12)}${number.toString(16).padStart(12, "0")}`;
  dialect.rows.clear();
  for (let number = 0; number < turns * namespaces.length; number++) {
    const namespace = namespaces[number % namespaces.length] as string;
    const before = number - namespaces.length;
    const chain = { baseId: before < 0 ? null : idOf(before), state: Buffer.from("damaged") };
    dialect.rows.set(idOf(number), { ...row, id: idOf(number), namespace, ...(isDamaged ? chain : {}) });
  }
}

describe("an agent whose checkpoints are old", () => {
  test.each([0, -1])("goes with its writes if they are as old, and stays if one is new: index %i", async (index) => {
    const id = await storage.storeCheckpoint(checkpoint());
    await storage.appendWrites(id, write("of an interrupted run", index));
    passDays();
    expect(await storage.pruneCheckpoints({ ...POLICY, dryRun: true })).toMatchObject({ droppedAgents: 1 });
    await storage.appendWrites(id, [...write("of an interrupted run", index), ...write("resumed", index - 10)]);
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ droppedAgents: 0, removed: 0 });
    passDays();
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ droppedAgents: 1, removed: 1 });
    expect([dialect.rows.size, dialect.writes.size]).toEqual([0, 0]);
  });

  test("stays if a write arrives just before the commit that would remove it", async () => {
    const id = await storage.storeCheckpoint(checkpoint());
    passDays();
    beforeRemoval = () => storage.appendWrites(id, write("resumed"));
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ droppedAgents: 0, removed: 0 });
    expect(removals()).toEqual([1]);
    expect(await storage.listWrites(id)).toEqual(write("resumed"));
  });
});

describe("an idle agent with many checkpoints", () => {
  test("goes in one commit, up to a thousand of them", async () => {
    await insertRows(["", "sub"], MAX_WHOLE / 2);
    passDays();
    expect(await storage.pruneCheckpoints({ ...POLICY, batchSize: 10 })).toMatchObject({ removed: MAX_WHOLE });
    expect(removals()).toEqual([MAX_WHOLE]);
  });

  test("goes in batches if it has more, the latest of each namespace last, and together", async () => {
    await insertRows(["", "sub", "third"], 400);
    passDays();
    const counted = await storage.pruneCheckpoints(POLICY);
    expect(counted).toMatchObject({ examined: 1_200, removed: 1_200, droppedAgents: 1 });
    expect(removals()).toEqual([500, 500, 197, 3]);
  });

  test("keeps what is left if it appends a write between two batches", async () => {
    await insertRows(["", "sub", "third"], 400);
    passDays();
    const latest = (await storage.listCheckpoints({ limit: 1 }))[0]?.id as string;
    beforeRemoval = () => storage.appendWrites(latest, write("resumed"));
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ droppedAgents: 0, removed: 500 });
    expect(dialect.rows.size).toBe(700);
  });

  test("keeps a write that is appended to an old checkpoint just before its batch is removed, and what is left", async () => {
    await insertRows(["", "sub", "third"], 400);
    passDays();
    const [oldest] = [...dialect.rows.keys()].sort();
    let batch = 0;
    beforeRemoval = async () => {
      batch += 1;
      if (batch === 3) await storage.appendWrites(oldest as string, write("resumed"));
    };
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ droppedAgents: 0, removed: 1_000 });
    expect(await storage.listWrites(oldest as string)).toHaveLength(1);
    expect(dialect.rows.size).toBe(200);
  });

  test("is never removed in a larger commit, even if its checkpoints cannot be read, which hold their bases", async () => {
    await insertRows(["", "a", "b", "c", "d"], 250, true);
    passDays();
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ removed: 1_250, droppedAgents: 1 });
    expect(Math.max(...removals())).toBeLessThanOrEqual(MAX_WHOLE);
    expect(dialect.rows.size).toBe(0);
  });

  test("keeps the latest of at most a thousand namespaces until the last commit, the newest ones", async () => {
    await insertRows(
      Array.from({ length: 1_300 }, (_, at) => `n${at}`),
      1,
    );
    passDays();
    expect(await storage.pruneCheckpoints(POLICY)).toMatchObject({ removed: 1_300, droppedAgents: 1 });
    expect(removals()).toEqual([300, MAX_WHOLE]);
  });
});
