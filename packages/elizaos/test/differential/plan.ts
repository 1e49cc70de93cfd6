import type { Call } from "./calls.ts";
import { chosenCalls, openingCalls } from "./chosen/calls.ts";
import { Dice } from "./dice.ts";
import { AGENTS, type Ids, makeIds, NAMES, ownRooms, TABLES } from "./material.ts";
import { entityMakers, newAgent } from "./random/entities.ts";
import { logMakers } from "./random/logs.ts";
import { type Maker, randomCall } from "./random/makers.ts";
import { memoryMakers } from "./random/memories.ts";
import { newRoom, roomMakers } from "./random/rooms.ts";
import { CACHED, cacheMakers, taskMakers } from "./random/tasks.ts";

/** Calls that belong together. Each round begins and ends with an empty database. */
export interface Round {
  readonly name: string;
  readonly calls: readonly Call[];
}

/** Random calls of a round, beside those that begin and end it. */
const CALLS = 450;

/** Returns the calls to compare: random rounds with these seeds, between chosen calls. */
export function makePlan(seeds: readonly number[]): Round[] {
  return [
    { name: "opening calls", calls: openingCalls() },
    ...seeds.map((seed) => ({ name: `random calls with the seed ${seed}`, calls: randomRound(seed) })),
    { name: "chosen calls", calls: chosenCalls() },
  ];
}

function randomRound(seed: number): Call[] {
  const dice = new Dice(seed);
  const ids = makeIds(dice);
  const makers: readonly Maker[] = [
    ...entityMakers(ids),
    ...roomMakers(ids),
    ...taskMakers(ids),
    ...cacheMakers(),
    ...memoryMakers(ids),
  ];
  // The third agent has no rooms to write logs in.
  const withLogs = [...makers, ...logMakers(ids)];
  const random = Array.from({ length: CALLS }, () => {
    const agent = dice.pick([0, 0, 0, 1, 1, 1, 2]);
    return randomCall(dice, agent, agent === 2 ? makers : withLogs);
  });
  return [
    ...beginning(dice, ids),
    ...random,
    ...everything(ids),
    { agent: 1, method: "deleteAgent", args: [AGENTS[0]] },
    ...everything(ids),
    { agent: 0, method: "cleanupAgents", args: [] },
    { agent: 0, method: "countAgents", args: [] },
  ];
}

/** Calls that make most of what random ones name. */
function beginning(dice: Dice, ids: Ids): Call[] {
  return [0, 1, 2].flatMap((agent) => {
    const agentId = AGENTS[agent] as string;
    const call = (method: string, ...args: readonly unknown[]): Call => ({ agent, method, args });
    const entities = ids.entities.slice(2 * agent, 2 * agent + 2);
    const rooms = agent === 2 ? ids.rooms.slice(4, 6) : ownRooms(ids, agent);
    return [
      call("createAgent", newAgent(dice, agentId)),
      call("ensureEmbeddingDimension", 384),
      call(
        "createEntities",
        entities.map((id) => ({ id, agentId: AGENTS[agent % 2], names: dice.some(NAMES, 2) })),
      ),
      call("createWorld", { id: ids.worlds[agent], agentId: AGENTS[agent % 2], name: dice.pick(NAMES) }),
      call(
        "createRooms",
        rooms.map((id) => newRoom(dice, ids, agent, id)),
      ),
      call("addParticipantsRoom", entities, rooms[0]),
    ];
  });
}

/** Calls that read all that is stored. */
function everything(ids: Ids): Call[] {
  const { entities, rooms, worlds, memories } = ids;
  const call = (method: string, ...args: readonly unknown[]): Call => ({ agent: 1, method, args });
  return [
    call("getAgents"),
    ...AGENTS.map((id) => call("getAgent", id)),
    call("getEntitiesByIds", entities),
    ...worlds.map((world) => call("getRoomsByWorld", world)),
    ...rooms.map((room) => call("getEntitiesForRoom", room, true)),
    ...entities.map((entity) => call("getRelationships", { entityId: entity })),
    ...TABLES.map((tableName) => call("getMemories", { tableName })),
    call("getMemoriesByIds", memories),
    call("getLogs", { count: 10_000 }),
    ...[0, 1].flatMap((agent) => ownOf(ids, agent)),
  ];
}

/** Calls that read what an adapter has of its agent alone. */
function ownOf({ rooms, tasks }: Ids, agent: number): Call[] {
  const call = (method: string, ...args: readonly unknown[]): Call => ({ agent, method, args });
  return [
    call("getAllWorlds"),
    call("getRoomsByIds", rooms),
    call("getTasks", {}),
    call("getTask", tasks[0]),
    ...CACHED.map((name) => call("getCache", name)),
    call("getAgentRunSummaries"),
  ];
}
