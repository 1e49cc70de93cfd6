import { describe, expect, it } from "vitest";
import { type Bench, checkpointOf, newAgent, storeMany } from "../bench.ts";
import { refusal } from "../errors.ts";
import { idAt } from "../ids.ts";

export function describeDelete(bench: Bench): void {
  describe("deleteCheckpoint", () => {
    it("deletes one checkpoint and its row, and leaves the others", async () => {
      const { agentId, ids } = await storeMany(bench.storage, newAgent(), 3);
      const [first, second = "", third] = ids;
      const before = await bench.store.countRows();
      expect(await bench.storage.deleteCheckpoint(second)).toBe(true);
      expect(await bench.store.countRows()).toBe(before - 1);
      expect(await bench.store.readRow(second)).toBeNull();
      expect(await bench.storage.retrieveCheckpoint(second)).toBeNull();
      const left = await bench.storage.listCheckpoints({ agentId });
      expect(left.map(({ id }) => id)).toStrictEqual([third, first]);
    });

    it("returns false for an id that was deleted, was never stored, or is not a checkpoint's", async () => {
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent()));
      await bench.storage.deleteCheckpoint(id.toUpperCase());
      expect(await bench.storage.deleteCheckpoint(id)).toBe(false);
      expect(await bench.storage.deleteCheckpoint(idAt(Date.now()))).toBe(false);
      expect(await bench.storage.deleteCheckpoint("no id")).toBe(false);
    });

    it("deletes a parent and leaves its children, which keep its id as parentId", async () => {
      const agentId = newAgent();
      const parentId = await bench.storage.storeCheckpoint(checkpointOf(agentId));
      const child = await bench.storage.storeCheckpoint(checkpointOf(agentId, { parentId }));
      expect(await bench.storage.deleteCheckpoint(parentId)).toBe(true);
      expect(await bench.storage.retrieveCheckpoint(child)).toMatchObject({ parentId, state: { turn: 1 } });
    });

    const storedAgain = bench.target.keepsTombstones
      ? "keeps the id taken: it cannot be stored again"
      : "frees the id: it can be stored again";
    it(storedAgain, async () => {
      const id = await bench.storage.storeCheckpoint(checkpointOf(newAgent()));
      await bench.storage.deleteCheckpoint(id);
      const call = bench.storage.storeCheckpoint(checkpointOf(newAgent(), { id, state: "another" }));
      if (bench.target.keepsTombstones) {
        expect((await refusal(call, "CONFLICT")).message).toContain("was deleted");
        expect(await bench.storage.retrieveCheckpoint(id)).toBeNull();
        return;
      }
      await call;
      expect(await bench.storage.retrieveCheckpoint(id)).toMatchObject({ state: "another" });
    });
  });
}
