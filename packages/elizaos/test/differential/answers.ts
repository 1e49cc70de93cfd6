import { isDeepStrictEqual } from "node:util";
import type { Answer, Call } from "./calls.ts";

/**
 * Answers as they are compared. What is not compared:
 * - Members that are `undefined`, and the order of members: JSON in PostgreSQL keeps neither.
 * - Ids and times that are made by the database: there is one, and it is of the same type.
 * - The order of lists for which plugin-sql asks for none, and which rows a limit leaves of them.
 * - The order of memories that are as similar, to four digits; similarities beyond these.
 * - Messages of errors.
 */

/** Answer of a call, without what differs in each database. */
export interface Normal {
  /** Lists and plain objects. */
  readonly value: unknown;
  /** `null`: the call was not rejected. Codes and messages are not compared. */
  readonly error: Answer["error"];
}

/** A call that was made before, and what ours answered. */
export interface Earlier {
  readonly call: Call;
  readonly ours: Normal;
}

/** Times that tests give are before. */
const NOW = Date.UTC(2020, 0);

const TIME_MEMBERS = ["createdAt", "updatedAt", "startedAt", "endedAt", "durationMs"];

const UUID_TEXT = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Methods whose lists have no order. */
const WITHOUT_ORDER = [
  ...["getAgents", "getEntitiesByIds", "getEntitiesForRoom", "getEntitiesByNames", "searchEntitiesByName"],
  ...["getComponents", "getAllWorlds", "getRoomsByIds", "getRoomsByWorld", "getRelationships"],
  ...["getRoomsForParticipant", "getRoomsForParticipants", "getParticipantsForRoom", "getParticipantsForEntity"],
  ...["getTasks", "getTasksByName"],
];

/** Methods and members that return what sends statements. */
const HANDLES = ["db", "getDatabase", "getConnection"];

/** @param known ids that calls have named */
export function normalize({ method, args }: Call, { value, error }: Answer, known: ReadonlySet<string>): Normal {
  if (error !== null) return { value: undefined, error };
  if (HANDLES.includes(method)) return { value: value === null ? null : "<database>", error };
  const plain = plainOf(value, known);
  if (!WITHOUT_ORDER.includes(method) || !Array.isArray(plain)) return { value: plain, error };
  const list = plain.map((row) => withSortedComponents(row as Row));
  const limit = method === "searchEntitiesByName" ? ((args[0] as Row)["limit"] ?? 10) : null;
  return { value: list.length === limit ? `${list.length} of them` : sorted(list), error };
}

export type Row = Readonly<Record<string, unknown>>;

function plainOf(value: unknown, known: ReadonlySet<string>, name = ""): unknown {
  if (TIME_MEMBERS.includes(name)) {
    const time = value instanceof Date ? value.getTime() : typeof value === "string" ? Date.parse(value) : value;
    const isMade = typeof time === "number" && (time > NOW || (name === "durationMs" && time >= 0));
    if (isMade) return `<${value instanceof Date ? "Date" : typeof value}>`;
  }
  if (value instanceof Date) return `<Date ${value.getTime()}>`;
  if (typeof value === "string") return UUID_TEXT.test(value) && !known.has(value.toLowerCase()) ? "<id>" : value;
  if (Array.isArray(value)) return value.map((item) => plainOf(item, known));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([key, member]) => [key, plainOf(member, known, key)]));
}

function withSortedComponents(row: Row): Row {
  if (typeof row !== "object" || row === null) return row;
  const entity = row["entity"] as Row | undefined;
  if (entity !== undefined) return { ...row, entity: withSortedComponents(entity) };
  const components = row["components"];
  return Array.isArray(components) ? { ...row, components: sorted(components) } : row;
}

/** Sorts by the text of items, with their members in order. */
export function sorted(list: readonly unknown[]): unknown[] {
  const keyed = list.map((item) => [textOf(item), item] as const);
  return keyed.sort(([one], [other]) => (one < other ? -1 : Number(one > other))).map(([, item]) => item);
}

function textOf(item: unknown): string {
  return JSON.stringify(item, (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );
}

/** Returns whether two answers to a call are the same. */
export function isSame(call: Call, theirs: Normal, ours: Normal): boolean {
  if (theirs.error !== null || ours.error !== null) return theirs.error !== null && ours.error !== null;
  const score = SCORES[call.method];
  if (score === undefined || !Array.isArray(theirs.value) || !Array.isArray(ours.value)) {
    return isDeepStrictEqual(theirs.value, ours.value);
  }
  return areSameHits(score, theirs.value, ours.value, isCut(call, theirs.value));
}

/** Members that lists are in the order of. */
const SCORES: Readonly<Record<string, string>> = {
  searchMemories: "similarity",
  searchMemoriesByEmbedding: "similarity",
  getCachedEmbeddings: "levenshtein_score",
};

/** Returns whether a search has found as many as it was to, and there may be more. */
export function isCut({ method, args }: Call, found: readonly unknown[]): boolean {
  const options = args.at(-1) as Row;
  return found.length === (options[method === "getCachedEmbeddings" ? "query_match_count" : "count"] ?? 10);
}

const TOLERANCE = 1e-4;

/**
 * Returns whether lists have the same rows with about the same scores, and in the order of them. `isCut`: of rows that share the last score
 * either may have some.
 */
export function areSameHits(score: string, theirs: readonly Row[], ours: readonly Row[], isCut: boolean): boolean {
  if (theirs.length !== ours.length) return false;
  const scoreOf = (row: Row | undefined) => Number(row?.[score] ?? Number.NaN);
  const isNear = (one: Row | undefined, other: Row | undefined) => Math.abs(scoreOf(one) - scoreOf(other)) < TOLERANCE;
  const withoutScore = (row: Row) => ({ ...row, [score]: 0 });
  const left = [...theirs];
  return ours.every((row, at) => {
    if (!isNear(row, theirs[at])) return false;
    const found = left.findIndex((one) => isNear(one, row) && isDeepStrictEqual(withoutScore(one), withoutScore(row)));
    if (found === -1) return isCut && isNear(row, theirs.at(-1));
    left.splice(found, 1);
    return true;
  });
}
