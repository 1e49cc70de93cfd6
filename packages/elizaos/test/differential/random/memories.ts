import type { Dice } from "../dice.ts";
import { AGENTS, DIMENSIONS, type Ids, jsonObject, TABLES, TEXTS, TIMES, vectorsOf } from "../material.ts";
import type { Maker } from "./makers.ts";

/** Random calls about memories and their vectors. */

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
    ...textMakers(ids, active),
    {
      weight: 16,
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
    { weight: 3, method: "deleteMemory", args: (dice) => [dice.pick(dice.pick([memories, documentsOf(ids)]))] },
    { weight: 0.8, method: "deleteManyMemories", args: (dice) => [dice.some([...memories, ...documentsOf(ids)], 4)] },
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

/**
 * Texts with vectors, in a table of each agent. plugin-sql returns vectors of other agents and lengths too: they are asked for while the
 * length that they all have is active.
 */
function textMakers({ texts, entities, rooms }: Ids, active: ReadonlyMap<number, number>): Maker[] {
  const isActive = (agent: number) => (active.get(agent) ?? 384) === 384;
  return [
    {
      weight: 4,
      method: "createMemory",
      args: (dice, agent) => [
        {
          id: dice.pick(texts),
          entityId: dice.pick(entities.slice(0, 3)),
          roomId: dice.pick(rooms.slice(0, 3)),
          content: { text: dice.pick(TEXTS), number: dice.maybe(0.5, () => dice.pick([5, true, { a: 1 }, null])) },
          embedding: isActive(agent) ? dice.maybe(0.8, () => dice.pick(vectorsOf(384))) : undefined,
        },
        `texts of ${agent}`,
      ],
    },
    {
      weight: 4,
      method: "getCachedEmbeddings",
      args: (dice, agent) => [
        {
          query_table_name: isActive(agent) ? `texts of ${agent}` : "none",
          query_threshold: dice.below(6),
          query_input: dice.pick(TEXTS),
          query_field_name: "content",
          query_field_sub_name: dice.pick(["text", "text", "text", "number", "none"]),
          query_match_count: dice.pick([1, 3, 1_000]),
        },
      ],
    },
  ];
}

function newMemory(dice: Dice, ids: Ids, agent: number, embedding: readonly number[]): object {
  const isForAnother = dice.chance(0.1);
  const id = dice.maybe(0.9, () => dice.pick(ids.memories));
  return {
    id,
    // Few places, so that there are others like it.
    entityId: dice.pick(ids.entities.slice(0, dice.pick([1, 7]))),
    agentId: isForAnother ? AGENTS[1 - (agent % 2)] : dice.maybe(0.5, () => AGENTS[agent]),
    roomId: dice.pick(ids.rooms.slice(0, dice.pick([1, 5]))),
    worldId: dice.maybe(0.3, () => dice.pick(ids.worlds)),
    // Of the same time those with the greater id come first.
    createdAt: id && dice.maybe(0.7, () => dice.pick(TIMES)),
    content: content(dice),
    metadata: dice.maybe(0.7, () => metadata(dice, ids)),
    embedding: dice.maybe(0.8, () => embedding),
    unique: isForAnother ? true : dice.pick([undefined, undefined, undefined, true, false]),
  };
}

function content(dice: Dice): object {
  return { ...jsonObject(dice), text: dice.pick(TEXTS) };
}

/** Memories that fragments are of. */
function documentsOf({ memories }: Ids): readonly string[] {
  return memories.slice(0, 4);
}

function metadata(dice: Dice, ids: Ids): object {
  const kind = dice.below(5);
  // Some of these lack what their type must have.
  if (kind === 0) return { type: "document", timestamp: dice.maybe(0.9, () => 5) };
  if (kind > 2) return jsonObject(dice);
  return { type: "fragment", documentId: dice.pick(documentsOf(ids)), position: dice.maybe(0.95, () => dice.below(3)) };
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
      args: (dice) => [
        dice.pick(rooms),
        dice.pick([undefined, true, false]),
        dice.pick([...TABLES, ...TABLES, undefined]),
      ],
    },
  ];
}
