import { isSame } from "../answers.ts";
import { FOREIGN_ROOM } from "../chosen/logs.ts";
import {
  type Difference,
  hasRun,
  haveSameLength,
  isOfEntity,
  optionsOf,
  totalOf,
  withoutDurations,
} from "./difference.ts";

/** Differences about logs and runs. */
export const OF_LOGS: readonly Difference[] = [
  {
    what: "`getLogs({ entityId })`",
    theirs: "returns logs of all entities",
    ours: "returns those of the entity",
    applies: (call, theirs, ours) => call.method === "getLogs" && isOfEntity(call, theirs, ours),
  },
  {
    what: "`log` with a room or an entity that is not there",
    theirs: "is rejected, which ends the process, since ElizaOS does not await it",
    ours: "resolves; the log is dropped and counted",
    applies: ({ method }, theirs, ours) => method === "log" && theirs.error !== null && ours.error === null,
  },
  {
    what: "Bodies of logs",
    theirs: "are changed: backslashes doubled, NUL left out, dates `{}`, an object that is there twice `null`",
    ours: "are as JSON has them; of an object within itself: `[Circular]`",
    applies: (call, theirs, ours) =>
      call.method === "getLogs" &&
      ["texts", "circles"].includes(String(optionsOf(call)["type"])) &&
      haveSameLength(theirs, ours),
  },
  {
    what: "`durationMs` of a run that has ended, in `getAgentRunSummaries`",
    theirs: "`null`",
    ours: "its duration",
    applies: (call, theirs, ours) =>
      call.method === "getAgentRunSummaries" && isSame(call, withoutDurations(theirs), withoutDurations(ours)),
  },
  {
    what: "`getAgentRunSummaries({ entityId })`",
    theirs: "returns runs of all entities",
    ours: "returns those of the entity",
    applies: (call, theirs, ours) =>
      call.method === "getAgentRunSummaries" && "entityId" in optionsOf(call) && totalOf(ours) < totalOf(theirs),
  },
  {
    what: "Runs that an agent has logged in another agent's room",
    theirs: "are summarized for the room's agent",
    ours: "are summarized for the agent that has logged them",
    applies: (call, theirs, ours) =>
      call.method === "getAgentRunSummaries" &&
      optionsOf(call)["roomId"] === FOREIGN_ROOM &&
      totalOf(theirs) === (call.agent === 0 ? 0 : 1) &&
      totalOf(ours) === (call.agent === 0 ? 1 : 0),
  },
  {
    what: "A run whose `runId` is a number",
    theirs: "has a summary, with a text as its id",
    ours: "has none",
    applies: ({ method }, theirs, ours) =>
      method === "getAgentRunSummaries" && hasRun(theirs, "5") && totalOf(ours) === totalOf(theirs) - 1,
  },
  {
    what: "`getAgentRunSummaries` of a run with a log whose `promptCount` is no number",
    theirs: "is rejected",
    ours: "counts none for it",
    applies: ({ method }, theirs, ours) =>
      method === "getAgentRunSummaries" && theirs.error !== null && totalOf(ours) > 0,
  },
];
