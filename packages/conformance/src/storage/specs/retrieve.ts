import type { StoredAgentCheckpoint } from "@waymark/core";
import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent } from "../bench.ts";
import { idAt } from "../ids.ts";

export function describeRetrieve(bench: Bench): void {
  describe("retrieveCheckpoint", () => {
    it("returns the checkpoint as it was stored, with its id", async () => {
      const checkpoint = checkpointOf(newAgent(), {
        namespace: "sub",
        parentId: idAt(Date.now()),
        metadata: { model: "m", step: 3, done: false, tag: null },
        state: { messages: [{ role: "user", content: "Grüße 🚀" }] },
      });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("omits members that were not given", async () => {
      const checkpoint = checkpointOf(newAgent());
      const id = await bench.storage.storeCheckpoint({ ...checkpoint, namespace: "" });
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("returns null for an id that is not stored", async () => {
      expect(await bench.storage.retrieveCheckpoint(idAt(Date.now()))).toBeNull();
    });

    it("returns values that the caller owns: changing them changes no checkpoint", async () => {
      const checkpoint = checkpointOf(newAgent(), { state: { list: [1] }, metadata: { a: 1 } });
      const id = await bench.storage.storeCheckpoint(checkpoint);
      const first = (await bench.storage.retrieveCheckpoint(id)) as StoredAgentCheckpoint;
      (first.state as { list: number[] }).list.push(2);
      (first.metadata as Record<string, number>)["a"] = 2;
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });

    it("finds a checkpoint that another storage on the same store has stored", async () => {
      const checkpoint = checkpointOf(newAgent());
      const id = await bench.open().storeCheckpoint(checkpoint);
      expect(await bench.storage.retrieveCheckpoint(id)).toStrictEqual({ ...checkpoint, id });
    });
  });
}
