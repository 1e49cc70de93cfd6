import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId } from "./bench.ts";
import { atAngle } from "./vectors.ts";

export function describeTransaction(bench: Bench): void {
  describe("a transaction", () => {
    it("stores all changes at once, and returns what its work returns", async () => {
      const { adapter, agentId, worldId, entityId } = await bench.newHome();
      const [roomId, id] = [newId(), newId()];
      const result = await adapter.transaction(async (one) => {
        await one.createRooms([{ id: roomId, source: "x", type: "DM", worldId }]);
        await one.addParticipant(entityId, roomId);
        await one.createMemory({ id, entityId, roomId, content: { a: 1 }, embedding: atAngle(0) }, "facts");
        await one.updateEntity({ id: entityId, agentId, names: ["Rob"], metadata: {} });
        await one.setCache("key", "value");
        expect(await adapter.getMemoryById(id)).toBeNull();
        expect(await one.getMemoryById(id)).toBeNull(); // reads see what was stored before
        return "done";
      });
      expect(result).toBe("done");
      expect(await adapter.getMemoryById(id)).toMatchObject({
        content: { a: 1 },
        roomId,
        embedding: expect.any(Array),
      });
      expect(await adapter.getParticipantsForRoom(roomId)).toEqual([entityId]);
      expect(await adapter.getEntitiesByIds([entityId])).toMatchObject([{ names: ["Rob"] }]);
      expect(await adapter.getCache("key")).toBe("value");
    });

    it("stores nothing if its work throws", async () => {
      const { adapter, worldId } = await bench.newHome();
      const error = new TypeError("no");
      const call = adapter.transaction(async (one) => {
        await one.createTask({ name: "t", worldId, description: "", tags: [] });
        await one.setCache("key", 1);
        throw error;
      });
      await expect(call).rejects.toBe(error);
      expect(await adapter.getTasks({})).toEqual([]);
      expect(await adapter.getCache("key")).toBeUndefined();
    });

    it("stores nothing if one of its changes is refused", async () => {
      const { adapter, agentId, roomId, entityId } = await bench.newHome();
      const taken = adapter.transaction(async (one) => {
        await one.setCache("key", 1);
        await one.createAgent({ id: agentId, name: "Eva" });
      });
      await expectRefusal(taken, "CONFLICT");
      const orphan = adapter.transaction(async (one) => {
        await one.setCache("key", 1);
        await one.createMemory({ entityId, roomId: newId(), content: {} }, "facts");
      });
      await expectRefusal(orphan, "NOT_FOUND", "transaction: ");
      const wrong = adapter.transaction(async (one) => {
        await one.setCache("key", 1);
        await one.createMemory({ entityId, roomId, content: {} }, "");
      });
      await expectRefusal(wrong, "INVALID_ARGUMENT", "tableName");
      expect(await adapter.getCache("key")).toBeUndefined();
      expect(await adapter.getAgent(agentId)).toMatchObject({ name: "Ada" });
    });

    it("stores the changes of calls in their order, of those too that are not awaited, and refuses later ones", async () => {
      const { adapter, worldId } = await bench.newHome();
      const begun = await adapter.transaction(async (one) => {
        void one.setCache("key", 1);
        await one.setCache("key", 2);
        void one.createTask({ name: "t", description: "", worldId, tags: [] });
        void one.setCache("key", 3);
        return one;
      });
      expect(await adapter.getCache("key")).toBe(3);
      expect(await adapter.getTasks({})).toHaveLength(1);
      await expectRefusal(begun.setCache("key", 4), "CLOSED");
      expect(await adapter.getCache("key")).toBe(3);
    });

    it("has no methods that take several commits, or change a row by what it is", async () => {
      const { adapter } = await bench.newHome();
      const absent = ["deleteAgent", "cleanupAgents", "deleteEntity", "deleteRoom", "deleteRoomsByWorldId"];
      absent.push("deleteManyMemories", "deleteAllMemories", "updateAgent", "updateMemory", "ensureEmbeddingDimension");
      const found = await adapter.transaction(async (one) => absent.filter((name) => name in one));
      expect(found).toEqual([]);
    });

    it("may have nothing to change", async () => {
      const { adapter, agentId } = await bench.newHome();
      expect(await adapter.transaction(async (one) => (await one.getAgent(agentId))?.name)).toBe("Ada");
      expect(await adapter.transaction(async () => undefined)).toBeUndefined();
    });
  });
}
