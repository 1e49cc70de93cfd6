import { describe, expect, test } from "vitest";
import { rankOf } from "../../src/checkpoints/dialect.ts";
import { dropRepeated } from "../../src/checkpoints/task-writes.ts";
import type { CheckpointWrite } from "../../src/contract/checkpoints.ts";
import { firstIdAt } from "../../src/database/ids.ts";
import { checkpoint, scriptedStorage } from "../scripted-storage.ts";

describe("a write of a machine whose clock is ahead", () => {
  const FUTURE = Date.now() + 3_600_000;
  const idAt = (time: number) => `${firstIdAt(time).slice(0, -1)}1`;
  const stored = async () => {
    const { storage, dialect } = scriptedStorage();
    const id = await storage.storeCheckpoint(checkpoint());
    await storage.appendWrites(id, [
      { taskId: "t", index: 0, channel: "c", value: "first" },
      { taskId: "t", index: -1, channel: "c", value: "first" },
    ]);
    // As if a machine whose clock is ahead had written them.
    for (const [key, write] of dialect.writes) {
      dialect.writes.set(key, { ...write, rank: rankOf(idAt(FUTURE), write.index) });
    }
    return { storage, id };
  };

  test("stays if its index is 0 or above, and is overwritten if it is below", async () => {
    const { storage, id } = await stored();
    await storage.appendWrites(id, [
      { taskId: "t", index: 0, channel: "c", value: "second" },
      { taskId: "t", index: -1, channel: "c", value: "second" },
    ]);
    expect((await storage.listWrites(id)).map(({ index, value }) => [index, value])).toEqual([
      [-1, "second"],
      [0, "first"],
    ]);
  });

  test("may be appended again, and is refused once its checkpoint is gone", async () => {
    const { storage, id } = await stored();
    const again = [{ taskId: "t", index: 0, channel: "c", value: "again" }];
    await storage.appendWrites(id, again);
    await storage.deleteCheckpoint(id);
    await expect(storage.appendWrites(id, again)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("repeated writes of the same task and index", () => {
  const some = (index: number, ...values: string[]): CheckpointWrite[] =>
    values.map((value) => ({ taskId: "task", index, channel: "channel", value }));

  test("are dropped after the first, for an index of 0 or more", () => {
    expect(dropRepeated(some(0, "first", "second"))).toEqual(some(0, "first"));
  });

  test("are dropped before the last, for a negative index", () => {
    expect(dropRepeated(some(-3, "first", "second"))).toEqual(some(-3, "second"));
  });
});
