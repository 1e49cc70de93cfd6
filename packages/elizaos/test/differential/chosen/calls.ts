import type { Call } from "../calls.ts";
import { AGENTS } from "../material.ts";
import { ALONE_E, call, E, OTHER_E, OTHER_R, R, W } from "./ids.ts";
import { logCalls } from "./logs.ts";
import { memoryCalls } from "./memories.ts";
import { refusedCalls } from "./refused.ts";
import { rowCalls } from "./rows.ts";

/** Chosen calls: what random ones do not make, and what plugin-sql answers in another way from then on. */

const [A, B] = AGENTS;

/** The first calls: before them nothing has opened the database. */
export function openingCalls(): Call[] {
  return [
    call(0, "isReady"),
    call(0, "initialize", {}),
    call(1, "init"),
    call(2, "init"),
    call(0, "isReady"),
    call(1, "runPluginMigrations", []),
    call(1, "runPluginMigrations", [{ name: "a-plugin-without-tables" }], { verbose: false }),
    call(0, "db"),
    call(0, "getDatabase"),
    call(1, "getConnection"),
    call(0, "getAgent", A),
    call(0, "countAgents"),
  ];
}

/** Calls for the end: the last ones close adapters. */
export function chosenCalls(): Call[] {
  return [
    ...start(),
    ...rowCalls(),
    ...refusedCalls(),
    ...memoryCalls(),
    ...logCalls(),
    ...removals(),
    call(1, "cleanupAgents"),
    call(1, "countAgents"),
    call(2, "close"),
    call(0, "countAgents"),
    call(0, "isReady"),
  ];
}

function start(): Call[] {
  const room = { source: "test", type: "GROUP", worldId: W };
  return [
    ...AGENTS.map((id, agent) => call(agent, "createAgent", { id, name: `agent ${agent}`, bio: "b" })),
    call(0, "createEntities", [
      { id: E, agentId: A, names: ["Ann", "ÄÖ"], metadata: { a: 1 } },
      { id: OTHER_E, agentId: A, names: ["100%"] },
      { id: ALONE_E, agentId: B, names: [] },
    ]),
    call(0, "createWorld", { id: W, agentId: A, name: "w" }),
    call(0, "createRooms", [{ ...room, id: R }]),
    call(1, "createRooms", [{ ...room, id: OTHER_R }]),
  ];
}

/** Removals that take other rows along. */
function removals(): Call[] {
  const everything = [
    ...AGENTS.slice(0, 2).map((_, agent) => call(agent, "getRoomsByIds", [R, OTHER_R])),
    call(0, "getMemories", { tableName: "unique", agentId: A }),
    call(0, "getLogs", { count: 1_000 }),
    call(0, "getParticipantsForRoom", R),
    call(0, "getComponents", E),
    call(0, "getEntitiesByIds", [E, OTHER_E]),
    call(0, "getRelationships", { entityId: OTHER_E }),
    call(0, "getWorld", W),
    call(0, "getTasks", {}),
  ];
  return [
    ...everything,
    call(1, "deleteRoomsByWorldId", W),
    ...everything,
    call(0, "removeWorld", W),
    ...everything,
    call(0, "deleteRoom", R),
    ...everything,
    call(0, "deleteEntity", E),
    ...everything,
    call(1, "deleteAgent", A),
    ...everything,
    call(1, "countAgents"),
  ];
}
