import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Row } from "../../src/checkpoints/dialect.ts";
import { ScriptedError } from "../scripted-dialect.ts";
import { closeAfterEach, type Database, database, live, open, pending, turn } from "./databases.ts";

closeAfterEach();
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const ROWS = 120;

/** Makes two processes on main and backup, and rows that are pending though the backup has them: they are delivered one by one. */
async function redelivered(): Promise<[main: Database, backup: Database]> {
  const [main, backup] = [database(), database()];
  const processes = [open(main, backup, { reconcile: false }), open(main, backup, { reconcile: false })];
  const stores = Array.from({ length: ROWS }, (_, number) =>
    processes[0]?.storeCheckpoint(turn(1, { agentId: `agent ${number}` })),
  );
  await vi.advanceTimersByTimeAsync(1_000);
  await Promise.all(stores);
  expect([live(backup).length, pending(main)]).toEqual([ROWS, 0]);
  for (const [id, row] of main.rows) main.rows.set(id, { ...row, pending: 0 });
  for (const storage of processes) await storage.health();
  for (const storage of processes) void storage.listAgents();
  return [main, backup];
}

/** Gives main two pending rows that the backup has too, the first of them with other content. Returns their ids. */
async function conflicting(): Promise<{ main: Database; backup: Database; first: string; second: string }> {
  const [main, backup] = [database(), database()];
  const storage = open(main, backup, { reconcile: false });
  const first = await storage.storeCheckpoint(turn(1));
  const second = await storage.storeCheckpoint(turn(1));
  await vi.advanceTimersByTimeAsync(1_000);
  await storage.close();
  for (const id of [first, second]) main.rows.set(id, { ...(main.rows.get(id) as Row), pending: 0 });
  backup.rows.set(first, { ...(backup.rows.get(first) as Row), name: "another one" });
  return { main, backup, first, second };
}

describe("a conflict", () => {
  test("is reported once, though a later row of the same delivery finds the backup unreachable", async () => {
    const { main, backup, first, second } = await conflicting();
    const seen = { conflict: [] as unknown[], replicated: [] as { rows: number }[] };
    const storage = open(main, backup, { reconcile: false }, seen);
    let failed = false;
    const { readRows } = backup.dialect;
    backup.dialect.readRows = async (ids, signal) => {
      if (!failed && ids.length === 1 && ids[0] === second) {
        failed = true;
        throw new ScriptedError("connection");
      }
      return await readRows(ids, signal);
    };
    await storage.health();
    void storage.listAgents();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([failed, pending(main)]).toEqual([true, 0]);
    expect(seen.conflict).toEqual([{ id: first }]);
    expect(seen.replicated.reduce((sum, { rows }) => sum + rows, 0)).toBe(2);
  });
});

describe("a backlog", () => {
  test("that takes longer than a lease to deliver drains, though two processes deliver it", async () => {
    const [main, backup] = await redelivered();
    backup.delayMs = 200;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(pending(main)).toBe(0);
  });

  test("drains though the backup leaves every tenth call without an answer", async () => {
    const [main, backup] = await redelivered();
    let calls = 0;
    backup.isSilent = () => {
      calls += 1;
      return calls % 10 === 0;
    };
    await vi.advanceTimersByTimeAsync(300_000);
    expect(pending(main)).toBe(0);
  });
});
