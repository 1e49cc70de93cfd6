import type { CheckpointWrite } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

export function describeWrites(bench: Bench): void {
  const store = (agentId = newAgent()) => bench.storage.storeCheckpoint(checkpointOf(agentId));
  const write = (value: unknown, more: Partial<CheckpointWrite> = {}): CheckpointWrite => {
    return { taskId: "task", index: 0, channel: "channel", value, ...more };
  };

  describe("appendWrites and listWrites", () => {
    it("keep a task's writes with their checkpoint, which does not change", async () => {
      const id = await store();
      const other = await store();
      const writes = [
        write({ text: "one" }, { taskId: "a", taskPath: "path/a" }),
        write({ text: "two" }, { taskId: "a", index: 1, channel: "other" }),
        write(new Date(5), { taskId: "b", index: -1 }),
      ];
      const before = await bench.store.countWrites();
      await bench.storage.appendWrites(id, writes.slice(1));
      await bench.storage.appendWrites(id.toUpperCase(), writes.slice(0, 1));
      await bench.storage.appendWrites(other, [write("another checkpoint's")]);
      expect(await bench.store.countWrites()).toBe(before + 4);
      expect(await bench.storage.listWrites(id)).toStrictEqual(writes);
      expect(await bench.open().listWrites(id.toUpperCase())).toStrictEqual(writes);
      expect(await bench.storage.retrieveCheckpoint(id)).toMatchObject({ id, state: { turn: 1 } });
    });

    it("list writes by the bytes of the task id, then by index", async () => {
      const id = await store();
      const tasks = ["é", "Z", "a", "\u{1f600}", "\uffff", "aa", "A", "a "];
      const writes = tasks.flatMap((taskId) => [7, -2, 0].map((index) => write(index, { taskId, index })));
      await bench.storage.appendWrites(id, writes);
      const sorted = [...tasks].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect(await bench.storage.listWrites(id)).toStrictEqual(
        sorted.flatMap((taskId) => [-2, 0, 7].map((index) => write(index, { taskId, index }))),
      );
    });

    it("keep the first write of the same task and index if the index is at least 0, else the last one", async () => {
      const id = await store();
      const [one, other] = [bench.storage, bench.open()];
      await one.appendWrites(id, [
        write("first"),
        write("first", { index: -1 }),
        write("again"),
        write("again", { index: -1 }),
      ]);
      expect(await other.listWrites(id)).toStrictEqual([write("again", { index: -1 }), write("first")]);
      await other.appendWrites(id, [write("second"), write("second", { index: -1, channel: "c", taskPath: "p" })]);
      await one.appendWrites(id, [write("third", { index: 1 }), write("third")]);
      const expected = [
        write("second", { index: -1, channel: "c", taskPath: "p" }),
        write("first"),
        write("third", { index: 1 }),
      ];
      expect(await one.listWrites(id)).toStrictEqual(expected);
      expect(await other.listWrites(id)).toStrictEqual(expected);
    });

    it("keep the writes of several storages that append at once", async () => {
      const id = await store();
      const storages = [bench.storage, bench.open(), bench.open()];
      const tasks = Array.from({ length: 30 }, (_, at) => `task ${String(at).padStart(2, "0")}`);
      await Promise.all(
        tasks.map((taskId, at) =>
          storages[at % 3]?.appendWrites(
            id,
            [0, 1].map((index) => write(at, { taskId, index })),
          ),
        ),
      );
      const listed = await bench.storage.listWrites(id);
      expect(listed.map(({ taskId, index }) => `${taskId} ${index}`)).toStrictEqual(
        tasks.flatMap((taskId) => [`${taskId} 0`, `${taskId} 1`]),
      );
    });

    it("accept thousands of writes at once, and none", async () => {
      const id = await store();
      await bench.storage.appendWrites(id, []);
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
      const writes = Array.from({ length: 2_500 }, (_, index) => write({ index }, { index }));
      await bench.storage.appendWrites(id, writes);
      expect(await bench.storage.listWrites(id)).toStrictEqual(writes);
    });

    it("compare tasks, channels and paths byte for byte, and accept any text in them", async () => {
      const id = await store();
      const texts = [
        "a",
        "A",
        "a ",
        "á",
        "a\u0301",
        "'; drop table x; --",
        "\\",
        "%_?$1",
        "\u{10ffff}",
        "x".repeat(255),
      ];
      const writes = texts.map((taskId) => write(taskId, { taskId, channel: taskId, taskPath: taskId.repeat(60) }));
      await bench.storage.appendWrites(id, writes);
      const listed = await bench.storage.listWrites(id);
      expect(new Map(listed.map((one) => [one.taskId, one]))).toStrictEqual(
        new Map(writes.map((one) => [one.taskId, one])),
      );
    });

    it("reject with NOT_FOUND if the checkpoint does not exist, and list nothing", async () => {
      const deleted = await store();
      await bench.storage.deleteCheckpoint(deleted);
      const before = await bench.store.countWrites();
      for (const id of [deleted, idAt(Date.now()), "no id"]) {
        await refusal(bench.storage.appendWrites(id, [write(1)]), "NOT_FOUND");
        expect(await bench.storage.listWrites(id)).toStrictEqual([]);
      }
      expect(await bench.store.countWrites()).toBe(before);
    });
  });

  describe("writes", () => {
    const appended = async (count: number) => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), count);
      for (const id of ids) await bench.storage.appendWrites(id, [write(id), write(id, { index: -1 })]);
      return { agentId, ids };
    };

    it("are deleted with their checkpoint", async () => {
      const before = await bench.store.countWrites();
      const { ids } = await appended(3);
      await bench.storage.deleteCheckpoint(ids[1] as string);
      expect(await bench.store.countWrites()).toBe(before + 4);
      expect(await bench.storage.listWrites(ids[1] as string)).toStrictEqual([]);
      expect(await bench.storage.listWrites(ids[0] as string)).toHaveLength(2);
    });

    it("are deleted with their agent", async () => {
      const before = await bench.store.countWrites();
      const { agentId } = await appended(3);
      await bench.storage.deleteAgent(agentId);
      expect(await bench.store.countWrites()).toBe(before);
    });

    it("are deleted with the checkpoints that are pruned, and stay with the others", async () => {
      const before = await bench.store.countWrites();
      const { agentId, ids } = await appended(5);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 2 });
      expect(await bench.store.countWrites()).toBe(before + 4);
      expect(await bench.storage.listWrites(ids[4] as string)).toHaveLength(2);
    });
  });
}
