import { isSame } from "../answers.ts";
import {
  areNamed,
  type Difference,
  hasMissed,
  isNameSearch,
  isOneOfSeveral,
  optionsOf,
  withoutAgents,
  withoutColumns,
  withoutRepeats,
} from "./difference.ts";

/** Differences about adapters, agents, entities, participants, relationships and components. */
export const OF_ROWS: readonly Difference[] = [
  {
    what: "`isReady()` before `init()`",
    theirs: "`true`, whether there are tables or not",
    ours: "`false`",
    applies: ({ method }, theirs, ours) => method === "isReady" && theirs.value === true && ours.value === false,
  },
  {
    what: "`runtime.db`, `getDatabase()`, `getConnection()`",
    theirs: "a Drizzle database or a connection, of PostgreSQL or PGlite",
    ours: "the same on PostgreSQL and PGlite; `null` on SQLite, MySQL and MariaDB",
    applies: ({ method }, theirs, ours) =>
      ["db", "getDatabase", "getConnection"].includes(method) && theirs.value === "<database>" && ours.value === null,
  },
  {
    what: "`close()` of one adapter of several",
    theirs: "closes the database for all of the process",
    ours: "the others go on; the last one closes it",
    applies: ({ method }, theirs, ours) =>
      (theirs.error?.message.includes("shutting down") ?? false) || (method === "isReady" && theirs.value === false)
        ? ours.error === null && ours.value !== false
        : false,
  },
  {
    what: "`createAgent` of an agent that `getAgent` has not found just before, since another process was faster",
    theirs: "`false`, which ElizaOS takes for a failure",
    ours: "`true`",
    applies: (call, theirs, ours, earlier) =>
      call.method === "createAgent" && theirs.value === false && ours.value === true && hasMissed(call, earlier),
  },
  {
    what: "An entity that is added to a room again",
    theirs: "is there twice, and in lists twice",
    ours: "is there once for each agent, and in lists once",
    applies: (call, theirs, ours) =>
      /^get(Rooms|Participants|Entities)For/.test(call.method) &&
      isSame(call, withoutRepeats(theirs), withoutRepeats(ours)),
  },
  {
    what: "`getEntitiesByNames`, `searchEntitiesByName`",
    theirs: "return entities without `agentId`",
    ours: "return them with it",
    applies: (call, theirs, ours) => isNameSearch(call) && isSame(call, theirs, withoutAgents(ours)),
  },
  {
    what: "`%`, `_` and `\\` in the query of `searchEntitiesByName`",
    theirs: "stand for other texts",
    ours: "stand for themselves",
    applies: (call, theirs, ours) =>
      call.method === "searchEntitiesByName" &&
      /[%_\\]/.test(String(optionsOf(call)["query"])) &&
      theirs.error === null &&
      areNamed(ours.value, String(optionsOf(call)["query"])),
  },
  {
    what: "`getRelationships`",
    theirs: "rows have the columns of the table too: `source_entity_id`, …",
    ours: "rows are as declared",
    applies: (call, theirs, ours) => call.method === "getRelationships" && isSame(call, withoutColumns(theirs), ours),
  },
  {
    what: "`getComponent`, `getRelationship`, where there are several",
    theirs: "return any of them",
    ours: "return the oldest",
    applies: (call, theirs, ours) => isOneOfSeveral(call, theirs.value) && isOneOfSeveral(call, ours.value),
  },
];
