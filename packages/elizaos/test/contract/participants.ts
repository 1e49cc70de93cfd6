import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newEntity, newId, newRoom } from "./bench.ts";

export function describeParticipants(bench: Bench): void {
  describe("participants", () => {
    it("are in a room once, however often they are added", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, roomId, entityId } = home;
      const eve = await newEntity(home);
      const adapters = [adapter, bench.adapterOf(agentId), bench.adapterOf(agentId)];
      const added = await Promise.all([
        ...adapters.map((one) => one.addParticipant(entityId, roomId)),
        ...adapters.map((one) => one.addParticipantsRoom([entityId, eve, entityId], roomId)),
      ]);
      expect(added).toEqual(added.map(() => true));
      expect((await adapter.getParticipantsForRoom(roomId)).sort()).toEqual([entityId, eve].sort());
      expect(await adapter.getParticipantsForEntity(entityId)).toHaveLength(1);
      expect((await adapter.getEntitiesForRoom(roomId)).map(({ id }) => id).sort()).toEqual([entityId, eve].sort());
      expect(await adapter.getRoomsForParticipant(entityId)).toEqual([roomId]);
    });

    it("are listed by when they joined the room", async () => {
      const home = await bench.newHome();
      const { adapter, roomId, entityId } = home;
      const others = [await newEntity(home), await newEntity(home), await newEntity(home)];
      await adapter.addParticipantsRoom(others, roomId);
      await adapter.addParticipant(entityId, roomId);
      await adapter.addParticipantsRoom([...others].reverse(), roomId);
      expect(await adapter.getParticipantsForRoom(roomId)).toEqual([...others, entityId]);
      expect(await adapter.getParticipantsForRoom(newId())).toEqual([]);
    });

    it("are added all, or none: false if the room or one of them is not there", async () => {
      const home = await bench.newHome();
      const { adapter, roomId, entityId } = home;
      expect(await adapter.addParticipant(entityId, newId())).toBe(false);
      expect(await adapter.addParticipantsRoom([entityId, newId()], roomId)).toBe(false);
      expect(await adapter.addParticipantsRoom([], roomId)).toBe(true);
      expect(await adapter.getParticipantsForRoom(roomId)).toEqual([]);
    });

    it("come with their entity and its components", async () => {
      const home = await bench.newHome();
      const { adapter, agentId, roomId, worldId, entityId } = home;
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
      const other = await newRoom(home);
      await adapter.addParticipant(entityId, roomId);
      await adapter.addParticipant(entityId, other);
      const participants = await adapter.getParticipantsForEntity(entityId);
      expect(new Set(participants.map(({ id }) => id)).size).toBe(2);
      for (const { entity } of participants) {
        expect(entity).toMatchObject({ id: entityId, names: ["Bob"], components: [{ id: component.id }] });
      }
      expect(await adapter.getParticipantsForEntity(newId())).toEqual([]);
    });

    it("are in the rooms of this agent that they were added to", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, roomId, entityId } = home;
      const [more, eve] = [await newRoom(home), await newEntity(home)];
      await newRoom(home);
      await adapter.addParticipant(entityId, roomId);
      await adapter.addParticipant(entityId, more);
      await adapter.addParticipant(eve, more);
      await other.adapter.addParticipant(entityId, other.roomId);
      expect(await adapter.getRoomsForParticipant(entityId)).toEqual([roomId, more]);
      expect(await adapter.getRoomsForParticipant(eve)).toEqual([more]);
      expect(await adapter.getRoomsForParticipants([eve, entityId, newId()])).toEqual([roomId, more]);
      expect(await adapter.getRoomsForParticipants([])).toEqual([]);
      expect(await adapter.getRoomsForParticipant(newId())).toEqual([]);
      expect(await other.adapter.getRoomsForParticipant(entityId)).toEqual([other.roomId]);
    });

    it("leave a room, and say whether they were in it", async () => {
      const { adapter, roomId, entityId } = await bench.newHome();
      await adapter.addParticipant(entityId, roomId);
      const upper = [roomId, entityId].map((id) => id.toUpperCase()) as [typeof roomId, typeof entityId];
      expect(await adapter.isRoomParticipant(...upper)).toBe(true);
      expect(await adapter.removeParticipant(entityId, roomId)).toBe(true);
      expect(await adapter.isRoomParticipant(roomId, entityId)).toBe(false);
      expect(await adapter.removeParticipant(entityId, roomId)).toBe(false);
      expect(await adapter.getParticipantsForRoom(roomId)).toEqual([]);
    });

    it("follow or mute a room, each for its agent", async () => {
      const [home, other] = [await bench.newHome(), await bench.newHome()];
      const { adapter, roomId, entityId } = home;
      await adapter.addParticipant(entityId, roomId);
      await other.adapter.addParticipant(entityId, roomId);
      expect(await adapter.getParticipantUserState(roomId, entityId)).toBeNull();
      await adapter.setParticipantUserState(roomId, entityId, "FOLLOWED");
      expect(await adapter.getParticipantUserState(roomId, entityId)).toBe("FOLLOWED");
      expect(await other.adapter.getParticipantUserState(roomId, entityId)).toBeNull();
      await adapter.addParticipant(entityId, roomId); // keeps the state
      await adapter.setParticipantUserState(roomId.toUpperCase() as typeof roomId, entityId, "MUTED");
      expect(await adapter.getParticipantUserState(roomId, entityId)).toBe("MUTED");
      await adapter.setParticipantUserState(roomId, entityId, null);
      expect(await adapter.getParticipantUserState(roomId, entityId)).toBeNull();
      expect(await adapter.getParticipantUserState(newId(), entityId)).toBeNull();
      const unknown = adapter.setParticipantUserState(roomId, entityId, "BLOCKED" as never);
      await expectRefusal(unknown, "INVALID_ARGUMENT", "state");
    });
  });
}
