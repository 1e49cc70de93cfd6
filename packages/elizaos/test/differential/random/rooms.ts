import type { Dice } from "../dice.ts";
import { AGENTS, type Ids, jsonObject, NAMES, roomsOf } from "../material.ts";
import type { Maker } from "./makers.ts";

/** Random calls about worlds, rooms and participants. */

export function roomMakers(ids: Ids): Maker[] {
  return [...ofWorlds(ids), ...ofRooms(ids), ...ofParticipants(ids)];
}

function ofWorlds({ worlds }: Ids): Maker[] {
  return [
    {
      weight: 2,
      method: "createWorld",
      args: (dice) => [
        {
          id: dice.maybe(0.9, () => dice.pick(worlds)),
          name: dice.maybe(0.8, () => dice.pick(NAMES)),
          agentId: dice.pick(AGENTS),
          messageServerId: dice.maybe(0.5, () => dice.uuid()),
          serverId: dice.maybe(0.3, () => "not stored"),
          metadata: dice.maybe(0.6, () => jsonObject(dice)),
        },
      ],
    },
    {
      weight: 1,
      method: "updateWorld",
      args: (dice) => [
        {
          id: dice.pick(worlds),
          name: dice.pick(NAMES), // of nothing to be set plugin-sql makes an error
          agentId: dice.maybe(0.5, () => dice.pick(AGENTS.slice(0, 2))),
          metadata: dice.maybe(0.5, () => jsonObject(dice)),
          messageServerId: dice.maybe(0.3, () => dice.uuid()),
        },
      ],
    },
    { weight: 0.2, method: "removeWorld", args: (dice) => [dice.pick(worlds)] },
    { weight: 2, method: "getWorld", args: (dice) => [dice.pick(worlds)] },
    { weight: 1, method: "getAllWorlds", args: () => [] },
  ];
}

function ofRooms(ids: Ids): Maker[] {
  const { rooms, worlds } = ids;
  return [
    {
      weight: 2,
      method: "createRooms",
      args: (dice, agent) => [Array.from({ length: 1 + dice.below(2) }, () => newRoom(dice, ids, agent))],
    },
    {
      weight: 1,
      method: "updateRoom",
      args: (dice, agent) => [
        {
          id: dice.pick(roomsOf(ids, agent)),
          name: dice.maybe(0.5, () => dice.pick([...NAMES, null])),
          source: dice.maybe(0.5, () => dice.pick(NAMES)),
          type: dice.maybe(0.5, () => "FEED"),
          worldId: dice.maybe(0.5, () => dice.pick(worlds)),
          channelId: dice.maybe(0.3, () => "c"),
          metadata: dice.maybe(0.4, () => jsonObject(dice)),
          serverId: dice.uuid(),
        },
      ],
    },
    { weight: 2, method: "getRoomsByIds", args: (dice) => [dice.some(rooms, 4)] },
    { weight: 2, method: "getRoomsByWorld", args: (dice) => [dice.pick(worlds)] },
    { weight: 0.2, method: "deleteRoom", args: (dice) => [dice.pick(rooms)] },
    { weight: 0.2, method: "deleteRoomsByWorldId", args: (dice) => [dice.pick(worlds)] },
  ];
}

export function newRoom(dice: Dice, ids: Ids, agent: number, id = dice.pick(roomsOf(ids, agent))): object {
  return {
    id,
    name: dice.maybe(0.7, () => dice.pick(NAMES)),
    source: dice.pick(NAMES),
    type: dice.pick(["DM", "GROUP"]),
    channelId: dice.maybe(0.5, () => dice.pick(NAMES)),
    messageServerId: dice.maybe(0.5, () => dice.uuid()),
    worldId: dice.maybe(0.8, () => dice.pick(ids.worlds)),
    metadata: dice.maybe(0.6, () => jsonObject(dice)),
  };
}

/** State of a participant is set and asked for only where it was added once at most: of several rows plugin-sql answers from any. */
function ofParticipants({ entities, rooms }: Ids): Maker[] {
  const added = new Map<string, number>();
  const add = (agent: number, entity: string, room: string) => {
    const key = `${agent} ${entity} ${room}`;
    added.set(key, (added.get(key) ?? 0) + 1);
  };
  const pairs = rooms.flatMap((room) => entities.map((entity) => [room, entity] as const));
  const single = (dice: Dice, agent: number) => {
    const counted = (count: number) =>
      pairs.filter(([room, entity]) => (added.get(`${agent} ${entity} ${room}`) ?? 0) === count);
    const once = counted(1);
    // Few of them, so that a state is set and asked for of the same.
    return dice.pick(once.length === 0 ? counted(0) : once.slice(0, 2));
  };
  return [
    {
      weight: 2,
      method: "addParticipantsRoom",
      args: (dice, agent) => {
        const room = dice.pick(rooms);
        const some = [dice.pick(entities), ...dice.some(entities, 2)];
        for (const entity of some) add(agent, entity, room);
        return [some, room];
      },
    },
    {
      weight: 2,
      method: "addParticipant",
      args: (dice, agent) => {
        const [entity, room] = [dice.pick(entities), dice.pick(rooms)];
        add(agent, entity, room);
        return [entity, room];
      },
    },
    { weight: 1, method: "removeParticipant", args: (dice) => [dice.pick(entities), dice.pick(rooms)] },
    { weight: 2, method: "getRoomsForParticipant", args: (dice) => [dice.pick(entities)] },
    { weight: 2, method: "getRoomsForParticipants", args: (dice) => [dice.some(entities, 4)] },
    { weight: 2, method: "getParticipantsForRoom", args: (dice) => [dice.pick(rooms)] },
    { weight: 2, method: "getParticipantsForEntity", args: (dice) => [dice.pick(entities)] },
    { weight: 2, method: "isRoomParticipant", args: (dice) => [dice.pick(rooms), dice.pick(entities)] },
    {
      weight: 3,
      method: "setParticipantUserState",
      args: (dice, agent) => [...single(dice, agent), dice.pick(["FOLLOWED", "MUTED", null])],
    },
    { weight: 4, method: "getParticipantUserState", args: (dice, agent) => single(dice, agent) },
  ];
}
