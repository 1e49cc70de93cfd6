import { describe, expect, it } from "vitest";
import { type Bench, expectRefusal, newId, newRoom, ODD_TEXT } from "./bench.ts";

export function describeRooms(bench: Bench): void {
  describe("rooms", () => {
    it("come back as they are stored, and the message server under its old name too", async () => {
      const { adapter, agentId, worldId } = await bench.newHome();
      const [id, messageServerId] = [newId(), newId()];
      const room = { id, name: "Room", source: "test", type: "DM", channelId: "c1", messageServerId, worldId };
      const metadata = { deep: { list: [1] } };
      expect(await adapter.createRooms([{ ...room, metadata }])).toEqual([id]);
      const stored = { ...room, metadata, agentId, serverId: messageServerId };
      expect(await adapter.getRoomsByIds([id])).toEqual([stored]);
      expect(await adapter.getRoomsByIds([id.toUpperCase() as typeof id])).toEqual([stored]);
      expect(await adapter.getRoomsByWorld(worldId)).toContainEqual({ ...stored, createdAt: expect.any(Date) });
    });

    it("are null where nothing is given", async () => {
      const { adapter, agentId } = await bench.newHome();
      const [id] = await adapter.createRooms([{ source: "test", type: "DM" } as never]);
      expect(await adapter.getRoomsByIds([id as typeof id & string])).toEqual([
        {
          ...{
            id,
            source: "test",
            type: "DM",
            agentId,
            name: undefined,
            channelId: null,
            worldId: null,
            metadata: null,
          },
          ...{ messageServerId: null, serverId: null },
        },
      ]);
    });

    it("that are there already stay as they are, and their ids are returned all the same", async () => {
      const home = await bench.newHome();
      const id = newId();
      const rooms = [home.roomId, id, id].map((room) => ({ id: room, source: "new", type: "DM" }));
      expect(await home.adapter.createRooms(rooms)).toEqual([home.roomId, id, id]);
      expect(await home.adapter.getRoomsByIds([home.roomId])).toMatchObject([{ source: "test", type: "GROUP" }]);
      expect(await home.adapter.createRooms([])).toEqual([]);
    });

    it("are found by their ids for their own agent alone", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const more = await newRoom(one);
      const found = await one.adapter.getRoomsByIds([more, other.roomId, newId(), one.roomId, more]);
      expect(found.map(({ id }) => id)).toEqual([one.roomId, more]);
      expect(await one.adapter.getRoomsByIds([])).toEqual([]);
    });

    it("of a world are found whichever agent's they are, and whether it exists or not", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      const worldId = newId();
      const ids = [await newRoom(one, { worldId }), await newRoom(other, { worldId })];
      expect((await one.adapter.getRoomsByWorld(worldId)).map(({ id }) => id)).toEqual(ids);
      expect(await one.adapter.getRoomsByWorld(newId())).toEqual([]);
    });

    it("keep the members that an update does not give", async () => {
      const { adapter, roomId, worldId } = await bench.newHome();
      await adapter.updateRoom({ id: roomId, name: "New", metadata: { a: 1 } } as never);
      await adapter.updateRoom({ id: roomId, channelId: "c" } as never);
      const room = { source: "test", type: "GROUP", worldId, name: "New", channelId: "c", metadata: { a: 1 } };
      expect(await adapter.getRoomsByIds([roomId])).toMatchObject([room]);
      await adapter.updateRoom({ id: newId(), source: "x", type: "y" }); // nothing is created
      expect(await adapter.getRoomsByWorld(worldId)).toHaveLength(1);
    });

    it("are the agent's that updates them", async () => {
      const [one, other] = [await bench.newHome(), await bench.newHome()];
      await other.adapter.updateRoom({ id: one.roomId, source: "test", type: "GROUP" });
      expect(await one.adapter.getRoomsByIds([one.roomId])).toEqual([]);
      expect(await other.adapter.getRoomsByIds([one.roomId])).toMatchObject([{ agentId: other.agentId }]);
    });

    it("have texts of any characters", async () => {
      const home = await bench.newHome();
      const texts = { name: ODD_TEXT, source: ODD_TEXT, type: ODD_TEXT, channelId: ODD_TEXT };
      const room = { ...texts, metadata: { [ODD_TEXT]: ODD_TEXT } };
      const id = await newRoom(home, room);
      expect(await home.adapter.getRoomsByIds([id])).toMatchObject([room]);
      await home.adapter.updateRoom({ id: home.roomId, ...room });
      expect(await home.adapter.getRoomsByIds([home.roomId])).toMatchObject([room]);
    });

    it("are refused without a source or a type, and for an agent that is not there", async () => {
      const { adapter } = await bench.newHome();
      await expectRefusal(
        adapter.createRooms([{ id: newId(), type: "DM" } as never]),
        "INVALID_ARGUMENT",
        "rooms[0].source",
      );
      await expectRefusal(
        adapter.createRooms([{ id: newId(), source: "x" } as never]),
        "INVALID_ARGUMENT",
        "rooms[0].type",
      );
      const orphan = bench.adapterOf(newId()).createRooms([{ id: newId(), source: "x", type: "DM" }]);
      await expectRefusal(orphan, "NOT_FOUND", "create rooms: there is no such agent");
    });
  });
}
