import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
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
