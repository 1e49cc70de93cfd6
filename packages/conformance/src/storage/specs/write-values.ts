import type { CheckpointWrite } from "@waymark/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { firstDifference } from "../first-difference.ts";
import { anyState, SPECIAL_STATES, UNSUPPORTED_STATES } from "../values.ts";

export function describeWriteValues(bench: Bench): void {
  const store = () => bench.storage.storeCheckpoint(checkpointOf(newAgent()));
  const write = (value: unknown, index = 0): CheckpointWrite => ({ taskId: "task", index, channel: "channel", value });

  describe("the value of a write", () => {
    it.each(Object.entries(SPECIAL_STATES))("comes back as it was appended: %s", async (_, value) => {
      const id = await store();
      await bench.storage.appendWrites(id, [write(value)]);
      const [listed] = await bench.storage.listWrites(id);
      expect(firstDifference(listed, write(value))).toBeNull();
    });

    it("comes back as it was appended, for random values of any size", async () => {
      const id = await store();
      let index = 0;
      const property = fc.asyncProperty(anyState, fc.nat(20_000), async (value, size) => {
        index += 1;
        const large = [value, "x".repeat(size)];
        await bench.storage.appendWrites(id, [write(large, index)]);
        const listed = (await bench.storage.listWrites(id)).find((one) => one.index === index);
        expect(firstDifference(listed?.value, large)).toBeNull();
      });
      await fc.assert(property, { numRuns: 30 });
    });

    it("is stored as it is at the call, whatever happens to it afterwards", async () => {
      const id = await store();
      const value = { messages: ["one"] };
      const call = bench.storage.appendWrites(id, [write(value)]);
      value.messages.push("two");
      await call;
      expect(await bench.storage.listWrites(id)).toStrictEqual([write({ messages: ["one"] })]);
    });

    it.each(Object.entries(UNSUPPORTED_STATES))(
      "is rejected with UNSUPPORTED_VALUE, and no write is appended, if it contains %s",
      async (_, value) => {
        const id = await store();
        const error = await refusal(bench.storage.appendWrites(id, [write(1), write(value, 1)]), "UNSUPPORTED_VALUE");
        expect(error.message).toContain("writes[1].value");
        expect(await bench.storage.listWrites(id)).toStrictEqual([]);
      },
    );
  });
}
