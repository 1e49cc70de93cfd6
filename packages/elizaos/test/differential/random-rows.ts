import { type Call, idOfRelationship } from "./calls.ts";
import type { Dice } from "./dice.ts";
import { AGENTS, type Ids, jsonObject, jsonValue, NAMES, roomsOf, TAGS } from "./material.ts";

/** Random calls about agents, entities, worlds, rooms, participants, relationships, tasks and the cache. */

/** Makes the arguments of a method's call, with its weight among all. `agent`: whose adapter is called. */
export interface Maker {
  readonly weight: number;
  readonly method: string;
  readonly args: (dice: Dice, agent: number) => readonly unknown[];
}

const SEARCHED = ["ann", "N", "b", '"', "ä", "joe", "", "  ", "k\n", "SLASH", "h\\", "\n", "%", "o%a", "_"];

export function rowMakers(ids: Ids): Maker[] {
  return [
    ...agentMakers(),
    ...entityMakers(ids),
    ...componentMakers(ids),
    ...worldMakers(ids),
    ...roomMakers(ids),
    ...participantMakers(ids),
    ...relationshipMakers(ids),
    ...taskMakers(ids),
    ...cacheMakers(),
  ];
}

function agentMakers(): Maker[] {
  return [
    { weight: 1, method: "createAgent", args: (dice) => [newAgent(dice, dice.pick(AGENTS))] },
    {
      weight: 3,
      method: "updateAgent",
      args: (dice) => [
        dice.pick(AGENTS),
        {
          settings: dice.maybe(0.8, () => jsonObject(dice)),
          bio: dice.maybe(0.3, () => dice.pick(["x", ["y"], ""])),
          system: dice.maybe(0.3, () => dice.pick(["s", "", null])),
          username: dice.maybe(0.3, () => dice.pick(["u", "", null])),
          topics: dice.maybe(0.2, () => dice.some(NAMES, 3)),
          style: dice.maybe(0.2, () => jsonObject(dice)),
          enabled: dice.maybe(0.2, () => dice.chance(0.5)),
          createdAt: dice.maybe(0.2, () => dice.pick([5, "x", new Date(3)])),
          updatedAt: dice.maybe(0.3, () => 7),
          status: "active", // a member that is not stored
        },
      ],
    },
    { weight: 3, method: "getAgent", args: (dice) => [dice.pick(AGENTS)] },
    { weight: 1, method: "getAgents", args: () => [] },
    { weight: 1, method: "countAgents", args: () => [] },
    { weight: 0.15, method: "deleteAgent", args: () => [AGENTS[2]] },
  ];
}

export function newAgent(dice: Dice, id: string): object {
  return {
    id,
    name: dice.pick(NAMES),
    bio: dice.maybe(0.5, () => dice.pick([["b"], "text"])),
    settings: dice.maybe(0.5, () => jsonObject(dice)),
    style: dice.maybe(0.3, () => jsonObject(dice)),
    messageExamples: dice.maybe(0.3, () => [[{ name: dice.pick(NAMES), content: jsonObject(dice) }]]),
    createdAt: dice.maybe(0.5, () => 1_000),
    updatedAt: dice.maybe(0.5, () => 0),
  };
}

function entityMakers({ entities, rooms }: Ids): Maker[] {
  const names = (dice: Dice) =>
    dice.chance(0.2) ? dice.pick<unknown>([null, "single", 5, new Set(["s1", "s2"])]) : dice.some(NAMES, 3);
  const agent = (dice: Dice) => dice.pick(AGENTS.slice(0, 2));
  return [
    {
      weight: 3,
      method: "createEntities",
      args: (dice) => [
        Array.from({ length: 1 + dice.below(3) }, () => ({
          id: dice.pick(entities),
          agentId: dice.chance(0.1) ? AGENTS[2] : agent(dice),
          names: names(dice),
          metadata: dice.maybe(0.8, () => jsonObject(dice)),
        })),
      ],
    },
    {
      weight: 2,
      method: "updateEntity",
      args: (dice) => [
        {
          id: dice.pick(entities),
          agentId: dice.maybe(0.7, () => agent(dice)),
          names: dice.maybe(0.8, () => names(dice)),
          metadata: dice.maybe(0.8, () => jsonObject(dice)),
        },
      ],
    },
    { weight: 0.3, method: "deleteEntity", args: (dice) => [dice.pick(entities)] },
    { weight: 3, method: "getEntitiesByIds", args: (dice) => [dice.some(entities, 5)] },
    { weight: 2, method: "getEntitiesForRoom", args: (dice) => [dice.pick(rooms), dice.pick([true, false, undefined])] },
    {
      weight: 2,
      method: "getEntitiesByNames",
      args: (dice) => [{ names: [dice.pick(NAMES), ...dice.some(NAMES, 2)], agentId: agent(dice) }],
    },
    {
      weight: 4,
      method: "searchEntitiesByName",
      args: (dice) => [{ query: dice.pick(SEARCHED), agentId: agent(dice), limit: dice.pick([100, 2, undefined]) }],
    },
  ];
}

function componentMakers({ entities, rooms, worlds, components }: Ids): Maker[] {
  const filter = (dice: Dice) => [dice.maybe(0.3, () => dice.pick(worlds)), dice.maybe(0.3, () => dice.pick(entities))];
  return [
    {
      weight: 4,
      method: "createComponent",
      args: (dice) => [
        {
          id: dice.pick(components),
          entityId: dice.pick(entities),
          agentId: dice.pick(AGENTS),
          roomId: dice.pick(rooms),
          worldId: dice.maybe(0.6, () => dice.pick(worlds)),
          sourceEntityId: dice.maybe(0.6, () => dice.pick(entities)),
          type: dice.pick(NAMES),
          data: dice.maybe(0.9, () => jsonObject(dice)),
          createdAt: 5,
        },
      ],
    },
    {
      weight: 1,
      method: "updateComponent",
      args: (dice) => [
        {
          id: dice.pick(components),
          type: dice.maybe(0.5, () => dice.pick(NAMES)),
          worldId: dice.maybe(0.2, () => dice.pick([...worlds, null])),
          data: jsonObject(dice),
        },
      ],
    },
    { weight: 3, method: "getComponent", args: (dice) => [dice.pick(entities), dice.pick(NAMES), ...filter(dice)] },
    { weight: 3, method: "getComponents", args: (dice) => [dice.pick(entities), ...filter(dice)] },
    { weight: 0.3, method: "deleteComponent", args: (dice) => [dice.pick(components)] },
  ];
}

function worldMakers({ worlds }: Ids): Maker[] {
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

function roomMakers(ids: Ids): Maker[] {
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
    { weight: 0.1, method: "deleteRoomsByWorldId", args: (dice) => [dice.pick(worlds)] },
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
function participantMakers({ entities, rooms }: Ids): Maker[] {
  const added = new Map<string, number>();
  const add = (agent: number, entity: string, room: string) => {
    const key = `${agent} ${entity} ${room}`;
    added.set(key, (added.get(key) ?? 0) + 1);
  };
  const single = (dice: Dice, agent: number): [room: string, entity: string] => {
    const pairs = rooms.flatMap((room) => entities.map((entity) => [room, entity] as [string, string]));
    const once = pairs.filter(([room, entity]) => added.get(`${agent} ${entity} ${room}`) === 1);
    return dice.pick(once.length === 0 ? pairs.filter(([room, entity]) => !added.has(`${agent} ${entity} ${room}`)) : once);
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
      weight: 2,
      method: "setParticipantUserState",
      args: (dice, agent) => [...single(dice, agent), dice.pick(["FOLLOWED", "MUTED", null])],
    },
    { weight: 3, method: "getParticipantUserState", args: (dice, agent) => single(dice, agent) },
  ];
}

function relationshipMakers({ entities }: Ids): Maker[] {
  const pair = (dice: Dice) => ({ sourceEntityId: dice.pick(entities), targetEntityId: dice.pick(entities) });
  const content = (dice: Dice) => ({
    tags: dice.maybe(0.8, () => dice.some(TAGS, 3)),
    metadata: dice.maybe(0.7, () => jsonObject(dice)),
  });
  return [
    { weight: 4, method: "createRelationship", args: (dice) => [{ ...pair(dice), ...content(dice) }] },
    {
      weight: 1,
      method: "updateRelationship",
      args: (dice, agent) => {
        const ends = pair(dice);
        const id = idOfRelationship(AGENTS[agent] as string, ends.sourceEntityId, ends.targetEntityId);
        return [{ id, ...ends, agentId: AGENTS[agent], ...content(dice) }];
      },
    },
    { weight: 2, method: "getRelationship", args: (dice) => [pair(dice)] },
    {
      weight: 2,
      method: "getRelationships",
      args: (dice) => [{ entityId: dice.pick(entities), tags: dice.maybe(0.5, () => dice.some(TAGS, 2)) }],
    },
  ];
}

function taskMakers({ tasks, rooms, worlds, entities }: Ids): Maker[] {
  return [
    {
      weight: 3,
      method: "createTask",
      args: (dice) => [
        {
          id: dice.maybe(0.95, () => dice.pick(tasks)),
          name: dice.pick(["t1", "t2"]),
          description: dice.maybe(0.8, () => dice.pick(NAMES)),
          roomId: dice.maybe(0.6, () => dice.pick(rooms)),
          worldId: dice.maybe(0.95, () => dice.pick(worlds)),
          entityId: dice.pick(entities),
          tags: dice.maybe(0.9, () => dice.some(TAGS, 3)),
          metadata: dice.maybe(0.8, () => jsonObject(dice)),
        },
      ],
    },
    {
      weight: 2,
      method: "updateTask",
      args: (dice) => [
        dice.pick(tasks),
        {
          name: dice.maybe(0.3, () => "t2"),
          description: dice.maybe(0.3, () => dice.pick(["d", null])),
          roomId: dice.maybe(0.3, () => dice.pick([...rooms, null])),
          worldId: dice.maybe(0.3, () => dice.pick(worlds)),
          tags: dice.maybe(0.4, () => dice.some(TAGS, 3)),
          metadata: dice.maybe(0.4, () => jsonObject(dice)),
        },
      ],
    },
    {
      weight: 3,
      method: "getTasks",
      args: (dice) => [
        {
          roomId: dice.maybe(0.3, () => dice.pick(rooms)),
          tags: dice.maybe(0.7, () => dice.some(TAGS, 2)),
          entityId: dice.maybe(0.5, () => dice.pick(entities)),
        },
      ],
    },
    { weight: 1, method: "getTasksByName", args: (dice) => [dice.pick(["t1", "t2", "t3"])] },
    { weight: 2, method: "getTask", args: (dice) => [dice.pick(tasks)] },
    { weight: 0.5, method: "deleteTask", args: (dice) => [dice.pick(tasks)] },
  ];
}

function cacheMakers(): Maker[] {
  return [
    { weight: 2, method: "setCache", args: (dice) => [dice.pick(NAMES), jsonValue(dice) ?? 0] },
    { weight: 2, method: "getCache", args: (dice) => [dice.pick(NAMES)] },
    { weight: 1, method: "deleteCache", args: (dice) => [dice.pick(NAMES)] },
  ];
}

/** Chooses the next call. */
export function randomCall(dice: Dice, agent: number, makers: readonly Maker[]): Call {
  let left = dice.next() * makers.reduce((sum, { weight }) => sum + weight, 0);
  for (const { weight, method, args } of makers) {
    left -= weight;
    if (left < 0) return { agent, method, args: args(dice, agent) };
  }
  return randomCall(dice, agent, makers); // by a rounding
}
