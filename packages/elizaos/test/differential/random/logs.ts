import { idOfLog, timeOfLog } from "../calls.ts";
import type { Dice } from "../dice.ts";
import { type Ids, jsonObject, ownRooms } from "../material.ts";
import type { Maker } from "./makers.ts";

/** Random calls about logs and runs. */

/** Types of logs, some of which run summaries count. */
const LOG_TYPES = [
  "run_event",
  "run_event",
  "run_event",
  "action",
  "evaluator",
  "useModel:TEXT",
  "embedding_event",
  "other",
];

export function logMakers(ids: Ids): Maker[] {
  const { rooms, entities, runs, memories } = ids;
  let logs = 0;
  const someLog = (dice: Dice) => 1 + dice.below(Math.max(logs, 1));
  return [
    {
      weight: 12,
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
