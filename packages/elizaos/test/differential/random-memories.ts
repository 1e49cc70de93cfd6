import { idOfLog, timeOfLog } from "./calls.ts";
import type { Dice } from "./dice.ts";
import { AGENTS, DIMENSIONS, type Ids, jsonObject, ownRooms, TABLES, TEXTS, TIMES, vectorsOf } from "./material.ts";
import type { Maker } from "./random-rows.ts";

/** Random calls about memories, their vectors, and logs. */

export function memoryMakers(ids: Ids): Maker[] {
  const { memories, rooms, worlds } = ids;
  const active = new Map<number, number>();
  const vector = (dice: Dice, agent: number) => dice.pick(vectorsOf(active.get(agent) ?? 384));
  return [
    {
      weight: 0.3,
      method: "ensureEmbeddingDimension",
      args: (dice, agent) => {
        const dimensions = dice.chance(0.5) ? 384 : dice.pick(DIMENSIONS);
        active.set(agent, dimensions);
        return [dimensions];
      },
    },
    ...listMakers(ids),
    {
      weight: 9,
      method: "createMemory",
      args: (dice, agent) => [newMemory(dice, ids, agent, vector(dice, agent)), dice.pick(TABLES)],
    },
    {
      weight: 3,
      method: "updateMemory",
      args: (dice, agent) => [
        {
          id: dice.pick(memories),
          content: dice.maybe(0.5, () => content(dice)),
          metadata: dice.maybe(0.5, () => metadata(dice, ids)),
          embedding: dice.maybe(0.4, () => vector(dice, agent)),
        },
      ],
    },
    { weight: 1, method: "deleteMemory", args: (dice) => [dice.pick(memories)] },
    { weight: 0.3, method: "deleteManyMemories", args: (dice) => [dice.some(memories, 4)] },
    { weight: 0.2, method: "deleteAllMemories", args: (dice) => [dice.pick(rooms), dice.pick(TABLES)] },
    {
      weight: 5,
      method: "searchMemories",
      args: (dice, agent) => [{ embedding: vector(dice, agent), ...searchOptions(dice, ids) }],
    },
    {
      weight: 2,
      method: "searchMemoriesByEmbedding",
      args: (dice, agent) => [vector(dice, agent), searchOptions(dice, ids)],
    },
    {
      weight: 3,
      method: "getCachedEmbeddings",
      args: (dice) => [
        {
          query_table_name: dice.pick(TABLES),
          query_threshold: dice.below(6),
          query_input: dice.pick(TEXTS),
          query_field_name: "content",
          query_field_sub_name: dice.pick(["text", "text", "text", "number", "none"]),
          query_match_count: dice.pick([1, 3, 1_000]),
        },
      ],
    },
    {
      weight: 2,
      method: "getMemoriesByWorldId",
      args: (dice) => [
        {
          worldId: dice.pick(worlds),
          count: dice.maybe(0.4, () => dice.below(4)),
          tableName: dice.maybe(0.7, () => dice.pick(TABLES)),
        },
      ],
    },
  ];
}

function newMemory(dice: Dice, ids: Ids, agent: number, embedding: readonly number[]): object {
  const isForAnother = dice.chance(0.1);
  return {
    id: dice.maybe(0.9, () => dice.pick(ids.memories)),
    entityId: dice.pick(ids.entities),
    agentId: isForAnother ? AGENTS[1 - (agent % 2)] : dice.maybe(0.5, () => AGENTS[agent]),
    roomId: dice.pick(ids.rooms.slice(0, 5)),
    worldId: dice.maybe(0.7, () => dice.pick(ids.worlds)),
    createdAt: dice.maybe(0.7, () => dice.pick(TIMES)),
    content: content(dice),
    metadata: dice.maybe(0.7, () => metadata(dice, ids)),
    embedding: dice.maybe(0.8, () => embedding),
    unique: isForAnother ? true : dice.pick([undefined, undefined, undefined, true, false]),
  };
}

function content(dice: Dice): object {
  return { ...jsonObject(dice), text: dice.pick(TEXTS), number: dice.maybe(0.3, () => dice.pick([5, true, { a: 1 }, null])) };
}

function metadata(dice: Dice, { memories }: Ids): object {
  const kind = dice.below(5);
  // Some of these lack what their type must have.
  if (kind === 0) return { type: "document", timestamp: dice.maybe(0.9, () => 5) };
  if (kind > 2) return jsonObject(dice);
  return { type: "fragment", documentId: dice.pick(memories), position: dice.maybe(0.95, () => dice.below(3)) };
}

function searchOptions(dice: Dice, { rooms, worlds, entities }: Ids): object {
  return {
    match_threshold: dice.pick([undefined, 0, 0.3, 0.9, 0.97]),
    count: dice.pick([undefined, 1, 3, 1_000, 1_000]),
    unique: dice.pick([undefined, undefined, true, false]),
    tableName: dice.pick(TABLES),
    roomId: dice.maybe(0.3, () => dice.pick(rooms)),
    worldId: dice.maybe(0.2, () => dice.pick(worlds)),
    entityId: dice.maybe(0.2, () => dice.pick(entities)),
  };
}

function listMakers({ memories, rooms, worlds, entities }: Ids): Maker[] {
  return [
    {
      weight: 5,
      method: "getMemories",
      args: (dice) => [
        {
          tableName: dice.pick(TABLES),
          agentId: dice.maybe(0.3, () => dice.pick(AGENTS)),
          roomId: dice.maybe(0.5, () => dice.pick(rooms)),
          worldId: dice.maybe(0.2, () => dice.pick(worlds)),
          unique: dice.pick([undefined, undefined, true, false]),
          start: dice.maybe(0.3, () => dice.pick([0, ...TIMES])),
          end: dice.maybe(0.3, () => dice.pick([0, ...TIMES])),
          ...(dice.chance(0.2)
            ? { entityId: dice.pick(entities) }
            : { count: dice.maybe(0.5, () => dice.below(5)), offset: dice.maybe(0.3, () => dice.below(4)) }),
        },
      ],
    },
    { weight: 3, method: "getMemoryById", args: (dice) => [dice.pick(memories)] },
    {
      weight: 2,
      method: "getMemoriesByIds",
      args: (dice) => [dice.some(memories, 6), dice.maybe(0.5, () => dice.pick(TABLES))],
    },
    {
      weight: 2,
      method: "getMemoriesByRoomIds",
      args: (dice) => [
        { roomIds: dice.some(rooms, 3), tableName: dice.pick(TABLES), limit: dice.maybe(0.4, () => dice.below(4)) },
      ],
    },
    {
      weight: 2,
      method: "countMemories",
      args: (dice) => [dice.pick(rooms), dice.pick([undefined, true, false]), dice.pick([...TABLES, ...TABLES, undefined])],
    },
  ];
}

/** Types of logs, some of which run summaries count. */
const LOG_TYPES = ["run_event", "run_event", "run_event", "action", "evaluator", "useModel:TEXT", "embedding_event", "other"];

export function logMakers(ids: Ids): Maker[] {
  const { rooms, entities, runs, memories } = ids;
  let logs = 0;
  const someLog = (dice: Dice) => 1 + dice.below(Math.max(logs, 1));
  return [
    {
      weight: 6,
      method: "log",
      args: (dice, agent) => {
        logs += 1;
        const own = ownRooms(ids, agent);
        const body = {
          ...{ n: logs, text: dice.pick(["", "ÄÖ 😀", "line\nbreak"]), state: jsonObject(dice) },
          runId: dice.maybe(0.9, () => dice.pick(runs)),
          status: dice.maybe(0.9, () => dice.pick(["started", "started", "completed", "timeout", "error", "failed"])),
          messageId: dice.maybe(0.3, () => dice.pick(memories)),
          metadata: dice.maybe(0.3, () => jsonObject(dice)),
          promptCount: dice.maybe(0.5, () => dice.below(4)),
          result: dice.maybe(0.5, () => ({ success: dice.chance(0.5) })),
        };
        const type = dice.pick(LOG_TYPES);
        return [{ body: withoutBackslashes(body), entityId: dice.pick(entities), roomId: dice.pick(own), type }];
      },
    },
    {
      weight: 2,
      method: "getLogs",
      args: (dice) => [
        {
          roomId: dice.maybe(0.4, () => dice.pick(rooms)),
          type: dice.maybe(0.4, () => dice.pick(LOG_TYPES)),
          ...(dice.chance(0.2)
            ? { entityId: dice.pick(entities), count: 1_000 }
            : { count: dice.maybe(0.5, () => dice.below(30)), offset: dice.maybe(0.3, () => dice.below(4)) }),
        },
      ],
    },
    { weight: 0.5, method: "deleteLog", args: (dice) => [idOfLog(someLog(dice))] },
    {
      weight: 3,
      method: "getAgentRunSummaries",
      args: (dice) => [
        {
          limit: dice.maybe(0.5, () => dice.pick([0, 1, 2, 50, 1_000])),
          roomId: dice.maybe(0.3, () => dice.pick(rooms)),
          status: dice.maybe(0.4, () => dice.pick(["all", "started", "completed", "timeout", "error"])),
          from: dice.maybe(0.2, () => timeOfLog(someLog(dice))),
          to: dice.maybe(0.2, () => timeOfLog(someLog(dice), -1)),
        },
      ],
    },
  ];
}

/** plugin-sql has its own way with them in logs. */
function withoutBackslashes(body: object): unknown {
  return JSON.parse(JSON.stringify(body).replaceAll("\\\\", "/"));
}
