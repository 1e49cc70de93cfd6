import type { StoredAgentCheckpoint } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

export function describeRetrieve(bench: Bench): void {
  describe("retrieveCheckpoint", () => {
    it("gives back exactly what was stored, with its id", async () => {
      const checkpoint = checkpointOf(newAgent(), {
        namespace: "sub",
        parentId: idAt(Date.now()),
        metadata: { model: "m", step: 3, done: false, tag: null },
        state: { messages: [{ role: "user", content: "Grüße 🚀" }] },
      });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("leaves out the members that were not given", async () => {
      const checkpoint = checkpointOf(newAgent());
      const id = await bench.storage.storeCheckpoint({ ...checkpoint, namespace: "" });
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("gives null for an id that is not stored", async () => {
      expect(await bench.storage.retrieveCheckpoint(idAt(Date.now()))).toBeNull();
    });

    it.each([
      "",
      "7",
      "no such id",
      "not-a-uuid-at-all-but-thirty-six-cha",
      "00000000-0000-0000-0000-000000000000",
      "\0",
      "\ud800",
    ])("gives null for %j, which is no id of ours", async (id) => {
      expect(await bench.storage.retrieveCheckpoint(id)).toBeNull();
    });

    it.each([undefined, null, 7, {}, ["id"], true])("refuses %j as an id", async (id) => {
      await refusal(bench.storage.retrieveCheckpoint(id as never), "INVALID_ARGUMENT");
    });

    it("refuses an option that is not known", async () => {
      await refusal(bench.storage.retrieveCheckpoint(idAt(0), { timeout: 1 } as object), "INVALID_ARGUMENT");
    });

    it("gives each caller values of its own: what is done to them changes no checkpoint", async () => {
      const checkpoint = checkpointOf(newAgent(), { state: { list: [1] }, metadata: { a: 1 } });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const first = (await bench.storage.retrieveCheckpoint(id)) as StoredAgentCheckpoint;
      (first.state as { list: number[] }).list.push(2);
      (first.metadata as Record<string, number>)["a"] = 2;
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("finds what another storage on the same store has stored", async () => {
      const checkpoint = checkpointOf(newAgent());
      const id = await bench.open().storeCheckpoint(checkpoint);
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });
  });
}
