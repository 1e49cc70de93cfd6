import type { CheckpointWrite } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeLine } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";
import { difference } from "../sameness.ts";
import { anyState, SPECIAL_STATES, UNSUPPORTED_STATES } from "../values.ts";

export function describeWrites(bench: Bench): void {
  const store = (agentId = newAgent()) => bench.storage.storeCheckpoint(checkpointOf(agentId));
  const write = (value: unknown, more: Partial<CheckpointWrite> = {}): CheckpointWrite => {
    return { taskId: "task", index: 0, channel: "channel", value, ...more };
  };

  describe("appendWrites and listWrites", () => {
    it("keep what a step has produced with its checkpoint, which stays as it was", async () => {
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

    it("give them by task, in the order of its bytes, then by index", async () => {
      const id = await store();
      const tasks = ["é", "Z", "a", "\u{1f600}", "\uffff", "aa", "A", "a "];
      const writes = tasks.flatMap((taskId) => [7, -2, 0].map((index) => write(index, { taskId, index })));
      await bench.storage.appendWrites(id, writes);
      const sorted = [...tasks].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
      expect(await bench.storage.listWrites(id)).toStrictEqual(
        sorted.flatMap((taskId) => [-2, 0, 7].map((index) => write(index, { taskId, index }))),
      );
    });

    it("keep of the same task and index the first one from 0 on, and the last one below", async () => {
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

    it("keep what several append at once", async () => {
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

    it("keep thousands at once, and none if none is given", async () => {
      const id = await store();
      await bench.storage.appendWrites(id, []);
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
      const writes = Array.from({ length: 2_500 }, (_, index) => write({ index }, { index }));
      await bench.storage.appendWrites(id, writes);
      expect(await bench.storage.listWrites(id)).toStrictEqual(writes);
    });

    it.each(Object.entries(SPECIAL_STATES))("give a value back as it came: %s", async (_, value) => {
      const id = await store();
      await bench.storage.appendWrites(id, [write(value)]);
      const [listed] = await bench.storage.listWrites(id);
      expect(difference(listed, write(value))).toBeNull();
    });

    it("give values back as they came: whatever is put together of these, of any size", async () => {
      const id = await store();
      let index = 0;
      const property = fc.asyncProperty(anyState, fc.nat(20_000), async (value, size) => {
        index += 1;
        const large = [value, "x".repeat(size)];
        await bench.storage.appendWrites(id, [write(large, { index })]);
        const listed = (await bench.storage.listWrites(id)).find((one) => one.index === index);
        expect(difference(listed?.value, large)).toBeNull();
      });
      await fc.assert(property, { numRuns: 30 });
    });

    it("take a value as it is at the call", async () => {
      const id = await store();
      const value = { messages: ["one"] };
      const call = bench.storage.appendWrites(id, [write(value)]);
      value.messages.push("two");
      await call;
      expect(await bench.storage.listWrites(id)).toStrictEqual([write({ messages: ["one"] })]);
    });

    it("tell tasks, channels and paths apart byte for byte, and take any text in them", async () => {
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

    it.each(Object.entries(UNSUPPORTED_STATES))("refuse %s, and append nothing", async (_, value) => {
      const id = await store();
      const error = await refusal(
        bench.storage.appendWrites(id, [write(1), write(value, { index: 1 })]),
        "UNSUPPORTED_VALUE",
      );
      expect(error.message).toContain("writes[1].value");
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
    });

    it.each([
      ["writes", { length: 1 }],
      ["writes[0]", [null]],
      ["writes[0]", [{ ...write(1), task: "x" }]],
      ["writes[0].taskId", [write(1, { taskId: "" })]],
      ["writes[0].taskId", [write(1, { taskId: "x".repeat(256) })]],
      ["writes[0].taskId", [write(1, { taskId: ["x"] as never })]],
      ["writes[1].taskId", [write(1), write(1, { taskId: "a\0" })]],
      ["writes[0].channel", [write(1, { channel: "" })]],
      ["writes[0].channel", [write(1, { channel: "\ud800" })]],
      ["writes[0].channel", [write(1, { channel: "x".repeat(1_025) })]],
      ["writes[0].taskPath", [write(1, { taskPath: "x".repeat(16_385) })]],
      ["writes[0].index", [write(1, { index: 1.5 })]],
      ["writes[0].index", [write(1, { index: 2 ** 31 })]],
      ["writes[0].index", [write(1, { index: "0" as never })]],
      ["writes[0].value", [{ taskId: "t", index: 0, channel: "c" }]],
    ])("refuse what is wrong with %s, by name", async (field, writes) => {
      const id = await store();
      const error = await refusal(bench.storage.appendWrites(id, writes as never), "INVALID_ARGUMENT");
      expect(error.message).toContain(field);
      expect(await bench.storage.listWrites(id)).toStrictEqual([]);
    });

    it("refuse an id that is no string, and a signal that is none", async () => {
      await refusal(bench.storage.appendWrites(7 as never, []), "INVALID_ARGUMENT");
      await refusal(bench.storage.listWrites({} as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.listWrites(await store(), { limit: 1 } as never), "INVALID_ARGUMENT");
      await refusal(bench.storage.appendWrites(await store(), [], { signal: 1 } as never), "INVALID_ARGUMENT");
    });

    it("say NOT_FOUND where there is no such checkpoint, and list nothing", async () => {
      const deleted = await store();
      await bench.storage.deleteCheckpoint(deleted);
      const before = await bench.store.countWrites();
      for (const id of [deleted, idAt(Date.now()), "no id"]) {
        await refusal(bench.storage.appendWrites(id, [write(1)]), "NOT_FOUND");
        expect(await bench.storage.listWrites(id)).toStrictEqual([]);
      }
      expect(await bench.store.countWrites()).toBe(before);
    });

    it("end with the caller's signal", async () => {
      const id = await store();
      const signal = AbortSignal.abort();
      await refusal(bench.storage.appendWrites(id, [write(1)], { signal }), "ABORTED");
      await refusal(bench.storage.listWrites(id, { signal }), "ABORTED");
    });
  });

  describe("writes", () => {
    const appended = async (count: number) => {
      const { agentId, ids } = await storeLine(bench.storage, newAgent(), count);
      for (const id of ids) await bench.storage.appendWrites(id, [write(id), write(id, { index: -1 })]);
      return { agentId, ids };
    };

    it("are gone with a checkpoint that is deleted", async () => {
      const before = await bench.store.countWrites();
      const { ids } = await appended(3);
      await bench.storage.deleteCheckpoint(ids[1] as string);
      expect(await bench.store.countWrites()).toBe(before + 4);
      expect(await bench.storage.listWrites(ids[1] as string)).toStrictEqual([]);
      expect(await bench.storage.listWrites(ids[0] as string)).toHaveLength(2);
    });

    it("are gone with an agent that is deleted", async () => {
      const before = await bench.store.countWrites();
      const { agentId } = await appended(3);
      await bench.storage.deleteAgent(agentId);
      expect(await bench.store.countWrites()).toBe(before);
    });

    it("are gone with the checkpoints that are pruned, and stay with the others", async () => {
      const before = await bench.store.countWrites();
      const { agentId, ids } = await appended(5);
      await bench.storage.pruneCheckpoints({ agentId, keepLast: 2 });
      expect(await bench.store.countWrites()).toBe(before + 4);
      expect(await bench.storage.listWrites(ids[4] as string)).toHaveLength(2);
    });

    it("that are damaged are told by a typed error, and break nothing else", async () => {
      const { agentId, ids } = await appended(2);
      await bench.store.damageWrites(ids[0] as string, { state: Buffer.from('"other"') });
      const error = await refusal(bench.storage.listWrites(ids[0] as string), "CORRUPT_CHECKPOINT");
      expect(error.message).toContain(ids[0]);
      expect(await bench.storage.listWrites(ids[1] as string)).toHaveLength(2);
      expect(await bench.storage.retrieveCheckpoint(ids[0] as string)).toMatchObject({ agentId });
      expect(await bench.storage.deleteAgent(agentId)).toBe(2);
    });
  });
}
