import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId, newRoom, ODD_TEXT, stopClock } from "./bench.ts";

export function describeWorlds(bench: Bench): void {
  describe("worlds", () => {
    it("come back as they are stored, whichever agent asks", async () => {
      const { adapter, agentId } = await bench.newHome();
      const [id, messageServerId] = [newId(), newId()];
      const world = { id, agentId, name: "World", messageServerId, metadata: { roles: { a: "OWNER" } } };
      expect(await adapter.createWorld(world)).toBe(id);
      const stored = { ...world, createdAt: expect.any(Date) };
      expect(await adapter.getWorld(id)).toEqual(stored);
      const other = await bench.newHome();
      expect(await other.adapter.getWorld(id.toUpperCase() as typeof id)).toEqual(stored);
      expect(await other.adapter.getWorld(newId())).toBeNull();
    });

    it("of an agent are listed, the oldest first", async () => {
      const [low, high] = [newId(), newId()];
      const { adapter, agentId, worldId } = await bench.newHome();
      await bench.newHome();
      const setTime = stopClock();
      setTime(1_000);
      await adapter.createWorld({ id: high, agentId });
      setTime(2_000);
      await adapter.createWorld({ id: low, agentId });
      const worlds = await adapter.getAllWorlds();
      expect(worlds.map(({ id }) => id)).toEqual([high, low, worldId]);
      const bare = { agentId, name: "", metadata: null, messageServerId: null };
      expect(worlds[0]).toEqual({ id: high, ...bare, createdAt: new Date(1_000) });
    });

    it("get an id, and this agent, where none is given", async () => {
      const { adapter, agentId } = await bench.newHome();
      const id = await adapter.createWorld({ name: "x" } as never);
      expect(await adapter.getWorld(id)).toMatchObject({ id, agentId, name: "x" });
    });

    it("that are there already stay as they are", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      expect(await other.adapter.createWorld({ id: one.worldId, agentId: other.agentId, name: "New" })).toBe(
        one.worldId,
      );
      expect(await one.adapter.getWorld(one.worldId)).toMatchObject({ name: "World", agentId: one.agentId });
    });

    it("keep the members that an update does not give", async () => {
      const { adapter, agentId, worldId } = await bench.newHome();
      const messageServerId = newId();
      await adapter.updateWorld({ id: worldId, agentId, messageServerId, metadata: { a: 1 } });
      await adapter.updateWorld({ id: worldId, agentId, name: "New" });
      expect(await adapter.getWorld(worldId)).toMatchObject({ name: "New", messageServerId, metadata: { a: 1 } });
      await adapter.updateWorld({ id: newId(), agentId, name: "x" }); // nothing is created
      expect(await adapter.getAllWorlds()).toHaveLength(1);
    });

    it("leave their rooms, memories and tasks behind, and take their components along", async () => {
      const { adapter, agentId, worldId, roomId, entityId } = await bench.newHome();
      const component = {
        id: newId(),
        entityId,
        agentId,
        roomId,
        worldId,
        sourceEntityId: entityId,
        type: "t",
        data: {},
      };
      await adapter.createComponent({ ...component, createdAt: 0 });
      const memoryId = await adapter.createMemory({ entityId, roomId, worldId, content: {} }, "messages");
      const taskId = await adapter.createTask({ name: "t", description: "", worldId, tags: [] });
      await adapter.removeWorld(worldId);
      await adapter.removeWorld(newId());
      expect(await adapter.getWorld(worldId)).toBeNull();
      expect(await adapter.getAllWorlds()).toEqual([]);
      expect(await adapter.getRoomsByIds([roomId])).toMatchObject([{ worldId }]);
      expect(await adapter.getMemoryById(memoryId)).toMatchObject({ id: memoryId });
      expect(await adapter.getTask(taskId)).toMatchObject({ worldId });
      expect(await adapter.getComponents(entityId)).toEqual([]);
    });

    it("are refused for an agent that is not there", async () => {
      const { adapter } = await bench.newHome();
      const call = adapter.createWorld({ id: newId(), agentId: newId(), name: "x" });
      await expectRefusal(call, "NOT_FOUND", "create world: there is no such agent");
    });

    it("have names and metadata of any characters", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, worldId } = home;
      await adapter.updateWorld({ id: worldId, agentId, name: ODD_TEXT, metadata: { [ODD_TEXT]: ODD_TEXT } });
      expect(await adapter.getWorld(worldId)).toMatchObject({ name: ODD_TEXT, metadata: { [ODD_TEXT]: ODD_TEXT } });
      expect(await newRoom(home)).toEqual(expect.any(String));
    });
  });
}
