import type { Ids } from "../material.ts";
import { jsonObject, jsonValue, NAMES, TAGS } from "../material.ts";
import type { Maker } from "./makers.ts";

/** Random calls about tasks and the cache. */

/** Keys of the cache. */
export const CACHED = ["key", 'b "x"', "line\nbreak", "ÄÖ 😀", ""];

export function taskMakers({ tasks, rooms, worlds, entities }: Ids): Maker[] {
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

export function cacheMakers(): Maker[] {
  return [
    { weight: 2, method: "setCache", args: (dice) => [dice.pick(CACHED), jsonValue(dice) ?? 0] },
    { weight: 2, method: "getCache", args: (dice) => [dice.pick(CACHED)] },
    { weight: 1, method: "deleteCache", args: (dice) => [dice.pick(CACHED)] },
  ];
}
