import { idOfRelationship } from "../calls.ts";
import type { Dice } from "../dice.ts";
import { AGENTS, type Ids, jsonObject, NAMES, TAGS } from "../material.ts";
import type { Maker } from "./makers.ts";

/** Random calls about agents, entities, components and relationships. */

export function entityMakers(ids: Ids): Maker[] {
  return [...ofAgents(), ...ofEntities(ids), ...ofComponents(ids), ...ofRelationships(ids)];
}

function ofAgents(): Maker[] {
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

const SEARCHED = ["ann", "N", "b", '"', "ä", "joe", "", "  ", "k\n", "SLASH", "h\\", "\n", "%", "o%a", "_"];

function ofEntities({ entities, rooms }: Ids): Maker[] {
  const names = (dice: Dice) =>
    dice.chance(0.2) ? dice.pick<unknown>([null, "single", 5, new Set(["s1", "s2"])]) : dice.some(NAMES, 3);
  const agent = (dice: Dice) => dice.pick(AGENTS.slice(0, 2));
  return [
    {
      weight: 3,
      method: "createEntities",
      args: (dice) => {
        // The third agent may be away. MySQL takes none of the rows then, also where that one is to be ignored.
        const isOne = dice.chance(0.2);
        return [
          Array.from({ length: isOne ? 1 : 1 + dice.below(3) }, () => ({
            id: dice.pick(entities),
            agentId: isOne ? AGENTS[2] : agent(dice),
            names: names(dice),
            metadata: dice.maybe(0.8, () => jsonObject(dice)),
          })),
        ];
      },
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
    {
      weight: 2,
      method: "getEntitiesForRoom",
      args: (dice) => [dice.pick(rooms), dice.pick([true, false, undefined])],
    },
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

function ofComponents({ entities: all, rooms, worlds, components }: Ids): Maker[] {
  const [entities, types] = [all.slice(0, 3), NAMES.slice(0, 3)];
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
          type: dice.pick(types),
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
          type: dice.maybe(0.5, () => dice.pick(types)),
          worldId: dice.maybe(0.2, () => dice.pick([...worlds, null])),
          data: jsonObject(dice),
        },
      ],
    },
    { weight: 3, method: "getComponent", args: (dice) => [dice.pick(entities), dice.pick(types), ...filter(dice)] },
    { weight: 3, method: "getComponents", args: (dice) => [dice.pick(entities), ...filter(dice)] },
    { weight: 0.3, method: "deleteComponent", args: (dice) => [dice.pick(components)] },
  ];
}

function ofRelationships({ entities }: Ids): Maker[] {
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
