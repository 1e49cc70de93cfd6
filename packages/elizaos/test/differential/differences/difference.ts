import { isDeepStrictEqual } from "node:util";
import { areSameHits, type Earlier, isCut, isSame, type Normal, type Row, sorted } from "../answers.ts";
import { type Call, describeValue } from "../calls.ts";

/** A difference from plugin-sql 1.7.2 that is meant. The tests fail if one is not met. */
export interface Difference {
  readonly what: string;
  /** In plugin-sql 1.7.2. */
  readonly theirs: string;
  readonly ours: string;
  /** A database whose versions differ: there it may be met. Default: on all of them, and it has to be. */
  readonly maybeOn?: string;
  /** Whether it explains two answers to a call that are not the same. */
  readonly applies: (call: Call, theirs: Normal, ours: Normal, earlier: readonly Earlier[]) => boolean;
}

export function optionsOf({ args }: Call): Row {
  return (args[0] ?? {}) as Row;
}

export function isSearch({ method }: Call): boolean {
  return method === "searchMemories" || method === "searchMemoriesByEmbedding";
}

export function isNameSearch({ method }: Call): boolean {
  return method === "getEntitiesByNames" || method === "searchEntitiesByName";
}

/** Returns whether a call names an entity, and our rows are those of theirs that are its. */
export function isOfEntity(call: Call, theirs: Normal, ours: Normal): boolean {
  const { entityId } = optionsOf(call);
  const its = changed(theirs, (rows) => rows.filter((row) => row["entityId"] === entityId));
  return entityId !== undefined && isSame(call, its, ours);
}

/** Returns whether the last call of this adapter about an agent was a `getAgent` that found none. */
export function hasMissed({ agent, args }: Call, earlier: readonly Earlier[]): boolean {
  const { id } = args[0] as Row;
  const last = earlier.findLast(
    ({ call }) =>
      call.agent === agent &&
      ((call.method === "getAgent" && call.args[0] === id) ||
        (call.method === "createAgent" && optionsOf(call)["id"] === id)),
  );
  return last?.call.method === "getAgent" && last.ours.value === null;
}

/** Returns whether all of the entities have a name with this text in it. Of a list that was cut, their number alone is known. */
export function areNamed(entities: unknown, text: string): boolean {
  if (!Array.isArray(entities)) return typeof entities === "string";
  const isNamed = (name: string) => name.toLowerCase().includes(text.toLowerCase());
  return entities.every((entity) => ((entity as Row)["names"] as string[]).some(isNamed));
}

/** Returns whether a call has a negative number of rows, or no table, where it needs one. */
export function hasNoSense({ method, args }: Call): boolean {
  if (method === "deleteAllMemories") return args[1] === undefined;
  const { count, tableName } = (args[0] ?? {}) as Row;
  return Number(count) < 0 || (["searchMemories", "getMemoriesByRoomIds"].includes(method) && tableName === undefined);
}

/** Returns whether there is a NUL or a lone surrogate in a text. */
export function hasOddText(value: unknown): boolean {
  return /\\x00|\\uD800/.test(describeValue(value));
}

/** Applies a function to the rows of an answer. */
function changed(answer: Normal, change: (rows: readonly Row[]) => readonly unknown[]): Normal {
  return Array.isArray(answer.value) ? { ...answer, value: change(answer.value) } : answer;
}

/** Returns whether our hits are theirs without some, and after them what these have taken the place of. */
export function isSameBut(call: Call, theirs: Normal, ours: Normal, isWrong: (row: Row) => boolean): boolean {
  if (!Array.isArray(theirs.value) || !Array.isArray(ours.value)) return false;
  const right = theirs.value.filter((row) => !isWrong(row));
  if (right.length === theirs.value.length) return false;
  const found = isCut(call, theirs.value) ? ours.value.slice(0, right.length) : ours.value;
  return areSameHits("similarity", right, found, isCut(call, theirs.value));
}

export function isExample({ value }: Normal, example: string): boolean {
  return ((value as Row | null)?.["content"] as Row | undefined)?.["example"] === example;
}

/** Returns whether two memories differ in that ours alone is unique. */
export function isUniqueHere(theirs: Normal, ours: Normal): boolean {
  return (theirs.value as Row | null)?.["unique"] === false && (ours.value as Row)["unique"] === true;
}

export function areNearVectors(theirs: unknown, ours: unknown): boolean {
  const [one, other] = [theirs, ours].map((memory) => (memory as Row)["embedding"] as number[]) as [number[], number[]];
  return one.length === other.length && one.every((value, at) => Math.abs(value - (other[at] as number)) < 1e-6);
}

/** Returns whether our cached vectors are some of theirs, or vectors of another length that have the scores of these. */
export function areSomeOf(theirs: unknown, ours: unknown): boolean {
  if (!Array.isArray(theirs) || !Array.isArray(ours)) return false;
  const isOneOf = ({ embedding, levenshtein_score }: CachedVector) =>
    (theirs as CachedVector[]).some(
      (one) =>
        one.levenshtein_score === levenshtein_score &&
        (one.embedding.length !== embedding.length || isDeepStrictEqual(one.embedding, embedding)),
    );
  return ours.length > 0 && (ours as CachedVector[]).every(isOneOf);
}

interface CachedVector {
  readonly embedding: readonly number[];
  readonly levenshtein_score: number;
}

export function haveSameLength(theirs: Normal, ours: Normal): boolean {
  return Array.isArray(theirs.value) && Array.isArray(ours.value) && theirs.value.length === ours.value.length;
}

export function withoutDurations(answer: Normal): Normal {
  if (answer.error !== null) return answer;
  const summaries = answer.value as Row;
  const runs = (summaries["runs"] as Row[]).map((run) => ({ ...run, durationMs: null }));
  return { ...answer, value: { ...summaries, runs } };
}

export function hasRun({ value }: Normal, runId: string): boolean {
  return ((value as Row | undefined)?.["runs"] as Row[] | undefined)?.some((run) => run["runId"] === runId) ?? false;
}

export function totalOf({ value }: Normal): number {
  return Number((value as Row | undefined)?.["total"]);
}

/** Returns rows once each, and so their components: there is one for each time that an entity is in the room. */
export function withoutRepeats(answer: Normal): Normal {
  return changed(answer, (rows) =>
    onlyOnce(
      rows.map((row) => {
        const { components } = row;
        return Array.isArray(components) ? { ...row, components: onlyOnce(components) } : row;
      }),
    ),
  );
}

function onlyOnce<Item>(list: readonly Item[]): Item[] {
  return [...new Map(list.map((item) => [describeValue(item), item])).values()];
}

export function withoutAgents(answer: Normal): Normal {
  return changed(answer, (rows) => sorted(rows.map(({ agentId, ...row }) => row)));
}

export function withoutColumns(answer: Normal): Normal {
  return changed(answer, (rows) =>
    sorted(rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.includes("_"))))),
  );
}

export function isOneOfSeveral({ method, args }: Call, value: unknown): boolean {
  const row = value as Row | null;
  if (row === null) return false;
  if (method === "getRelationship") {
    const { sourceEntityId, targetEntityId } = args[0] as Row;
    return row["sourceEntityId"] === sourceEntityId && row["targetEntityId"] === targetEntityId;
  }
  if (method !== "getComponent") return false;
  return ["entityId", "type", "worldId", "sourceEntityId"].every((name, at) => !args[at] || row[name] === args[at]);
}

export function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
