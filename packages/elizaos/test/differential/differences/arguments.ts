import { isSame, type Row } from "../answers.ts";
import { JSON_TEXT } from "../chosen/refused.ts";
import { type Difference, hasNoSense, hasOddText, isEmptyList, optionsOf } from "./difference.ts";

/** Differences about arguments. */
export const OF_ARGUMENTS: readonly Difference[] = [
  {
    what: "An empty list",
    theirs:
      "`createEntities` and `addParticipantsRoom` return `false`; `createRooms` and `getEntitiesByNames` are rejected",
    ours: "there is nothing to do: `true`, `[]`",
    applies: (call, theirs, ours) =>
      (isEmptyList(call.args[0]) || isEmptyList(optionsOf(call)["names"])) &&
      (theirs.error !== null || theirs.value === false) &&
      ours.error === null,
  },
  {
    what: "An entity, a world or a component without `agentId`",
    theirs: "is refused",
    ours: "is this agent's",
    applies: ({ method, args }, theirs, ours) =>
      ["createEntities", "createWorld", "createComponent"].includes(method) &&
      [args[0]].flat().every((row) => (row as Row)["agentId"] === undefined) &&
      (theirs.error !== null || theirs.value === false) &&
      ours.error === null,
  },
  {
    what: "`setCache` with `null` or `undefined`",
    theirs: "returns `false`, and stores nothing",
    ours: "stores `null`; `undefined` deletes the value",
    applies: ({ method, args }, theirs, ours) =>
      method === "setCache"
        ? args[1] == null && theirs.value === false && ours.value === true
        : method === "getCache" && args[0] === "null" && ours.value === null,
  },
  {
    what: "NUL and lone surrogates in texts",
    theirs: "are refused",
    ours: "are kept as they are",
    applies: ({ args }, theirs, ours) =>
      (hasOddText(args) || hasOddText(ours.value)) && (theirs.error !== null || !theirs.value) && ours.error === null,
  },
  {
    what: "A text in the cache that is JSON",
    theirs: "is parsed: `getCache` returns what it says",
    ours: "is returned as it is",
    applies: ({ method, args }, theirs, ours) =>
      method === "getCache" &&
      args[0] === JSON_TEXT &&
      typeof theirs.value === "object" &&
      typeof ours.value === "string",
  },
  {
    what: "A long key of the cache",
    theirs: "is refused: `false`",
    ours: "is stored, whatever its length",
    applies: ({ method, args }, theirs, ours) =>
      ["setCache", "getCache"].includes(method) &&
      String(args[0]).length > 2_000 &&
      !theirs.value &&
      ours.value !== undefined,
  },
  {
    what: "`createEntities`, `createRelationship` and `setCache`, where the agent or an entity is not there",
    theirs: "return `false`, as for a failure of the database",
    ours: "are rejected with `NOT_FOUND`",
    applies: ({ method }, theirs, ours) =>
      ["createEntities", "createRelationship", "setCache"].includes(method) &&
      theirs.value === false &&
      ours.error?.code === "NOT_FOUND",
  },
  {
    what: "A new entity, world, room or memory whose id is taken, of an agent, a room or an entity that is not there",
    theirs: "is ignored",
    ours: "is ignored; MySQL 9.6 and later: is rejected with `NOT_FOUND`",
    maybeOn: "MySQL",
    applies: ({ method }, theirs, ours) =>
      ["createEntities", "createWorld", "createRooms", "createMemory"].includes(method) &&
      theirs.error === null &&
      theirs.value !== false &&
      ours.error?.code === "NOT_FOUND",
  },
  {
    what: "Arguments that are not as declared",
    theirs:
      "some methods return `false`, as for a failure of the database, some are rejected with its error, some go on",
    ours: "are refused with `INVALID_ARGUMENT`, which names the argument",
    // A memory that is not there has no metadata to check.
    applies: (call, theirs, ours) =>
      ours.error?.code === "INVALID_ARGUMENT" &&
      (theirs.value === false || (call.method === "updateMemory" && theirs.value === true) || hasNoSense(call)),
  },
  {
    what: "Texts that are keys: names of tasks (1 to 1,024 bytes), of tables and types of logs (1 to 255 bytes), states of participants",
    theirs: "any text is stored",
    ours: "others are refused with `INVALID_ARGUMENT`",
    applies: ({ method }, theirs, ours) =>
      ["createTask", "createMemory", "setParticipantUserState"].includes(method) &&
      theirs.error === null &&
      ours.error?.code === "INVALID_ARGUMENT",
  },
  {
    what: "Ids in capitals, which `createWorld`, `createRooms` and `createMemory` return",
    theirs: "as given",
    ours: "in small letters, as every other method returns them",
    applies: (call, theirs, ours) =>
      call.method.startsWith("create") &&
      isSame(call, { ...theirs, value: JSON.parse(JSON.stringify(theirs.value ?? null).toLowerCase()) }, ours),
  },
];
