import { type Call, idOfLog } from "../calls.ts";
import { call, dice, E, NOBODY, OTHER_E, OTHER_R, R } from "./ids.ts";

/** Calls about logs and runs. */
export function logCalls(): Call[] {
  return [...logs(), ...runs()];
}

function logs(): Call[] {
  const base = { entityId: E, roomId: R };
  const twice = { a: 1 };
  const circle: Record<string, unknown> = { n: 2 };
  circle["self"] = circle;
  return [
    call(0, "log", {
      ...base,
      type: "texts",
      body: { n: 1, text: "C:\\files\0", twice, again: twice, date: new Date(5) },
    }),
    call(0, "getLogs", { type: "texts" }),
    call(0, "log", { ...base, type: "circles", body: circle }),
    call(0, "getLogs", { type: "circles" }),
    call(0, "log", { ...base, roomId: NOBODY, type: "texts", body: { n: 3 } }),
    call(0, "deleteLog", idOfLog(1)),
    call(0, "deleteLog", idOfLog(2)),
    call(0, "deleteLog", NOBODY),
    call(0, "getLogs", { type: "texts" }),
    ...Array.from({ length: 12 }, (_, at) => call(0, "log", { ...base, type: "many", body: { n: 10 + at } })),
    call(0, "getLogs", { type: "many" }),
    call(0, "getLogs", { type: "many", count: 3, offset: 10 }),
    call(0, "getLogs", { type: "many", count: 0 }),
    call(1, "getLogs", { entityId: OTHER_E, count: 100 }),
  ];
}

/** The room of runs which an agent logs in another's room. */
export const FOREIGN_ROOM = OTHER_R;

function runs(): Call[] {
  const [ended, failed, foreign, broken] = dice.uuids(4);
  const event = (n: number, runId: unknown, status: string, more: object = {}) =>
    call(0, "log", { entityId: E, roomId: R, type: "run_event", body: { n, runId, status, ...more } });
  const about = (n: number, type: string, more: object) =>
    call(0, "log", { entityId: E, roomId: R, type, body: { n, runId: ended, ...more } });
  return [
    event(101, ended, "started", { messageId: NOBODY, metadata: { a: 1 } }),
    about(102, "action", { result: { success: false }, promptCount: 2 }),
    about(103, "action", { result: { success: "false" }, promptCount: "3" }),
    about(104, "evaluator", {}),
    about(105, "useModel:TEXT_LARGE", {}),
    about(106, "embedding_event", { status: "failed" }),
    event(107, ended, "completed"),
    event(108, failed, "error"),
    event(109, "", "started"),
    event(200, 5, "started"),
    call(0, "getAgentRunSummaries"),
    call(0, "deleteLog", idOfLog(200)),
    call(0, "getAgentRunSummaries"),
    call(0, "getAgentRunSummaries", { entityId: OTHER_E }),
    call(0, "getAgentRunSummaries", { status: "error", limit: 1 }),
    call(0, "getAgentRunSummaries", { from: 0, to: Date.UTC(2100, 0) }),
    call(0, "getAgentRunSummaries", { to: 5 }),
    call(0, "log", {
      entityId: E,
      roomId: OTHER_R,
      type: "run_event",
      body: { n: 110, runId: foreign, status: "started" },
    }),
    call(0, "getAgentRunSummaries", { roomId: FOREIGN_ROOM }),
    call(1, "getAgentRunSummaries", { roomId: FOREIGN_ROOM }),
    event(111, broken, "started"),
    call(0, "log", { entityId: E, roomId: R, type: "action", body: { n: 112, runId: broken, promptCount: "many" } }),
    call(0, "getAgentRunSummaries", { limit: 2 }),
  ];
}
