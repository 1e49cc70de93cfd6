import { encodeLabels, encodeMetadata } from "../codec/metadata.ts";
import {
  boolean,
  checkText,
  integer,
  objectWithKeys,
  oneOf,
  plainObject,
  refuseUndefined,
  string,
} from "../contract/checks.ts";
import { invalidArgument, invalidWord } from "../contract/errors.ts";
import { MAX_DATE_MS, ownId, progressOptions, signalOf } from "../database/arguments.ts";
import { idClock, parseId } from "../database/ids.ts";
import { MAX_TIMEOUT_MS, timeout } from "../database/options.ts";
import type {
  AddOptions,
  CollectionQuery,
  DeleteThreadOptions,
  IfRevision,
  ItemChange,
  ItemConditions,
  ItemFilter,
  ItemQuery,
  MemoryPrunePolicy,
  MemorySearch,
  NewItem,
  NewThread,
  OwnerQuery,
  ReembedOptions,
  ReembedProgress,
  ThreadChange,
  ThreadQuery,
  VectorIndexOptions,
} from "./contract.ts";
import type { RowFilter } from "./dialect.ts";
import { checkCollectionName, checkModel, checkOwner, checkThreadId } from "./names.ts";
import { checkEmbedder, type ResolvedEmbedder } from "./options.ts";
import { DEFAULT_FUSION, type Fusion } from "./ranking.ts";
import { checkVector, MAX_DIMENSIONS } from "./signature.ts";

/** Checks of the arguments of all methods, once, before anything else happens. */

const MAX_ITEMS = 1_000;
const MAX_LIMIT = 1_000;
const MAX_COLLECTIONS = 16;
const MAX_AROUND = 50;
const MAX_TITLE_BYTES = 16 * 1_024;

const checkRole = (field: string, value: unknown) => checkText(field, value, 1, 64);
const checkKey = (field: string, value: unknown) => checkText(field, value, 1, 1_024);
const checkTime = (field: string, value: unknown) =>
  integer(field, value, -MAX_DATE_MS, MAX_DATE_MS, "in milliseconds");

function checkImportance(field: string, value: unknown): number {
  if (typeof value === "number" && value >= 0 && value <= 1) return value;
  throw invalidWord(field, "a number from 0 to 1", value);
}

/** Calls `check` for a member that is there; else returns `instead`. */
function given<Result, Instead>(value: unknown, instead: Instead, check: (value: unknown) => Result): Result | Instead {
  return value === undefined ? instead : check(value);
}

/** `null` stays: it removes a member. */
function orNull<Result>(value: unknown, check: (value: unknown) => Result): Result | null {
  return value === null ? null : check(value);
}

export interface CheckedThread {
  readonly owner: string;
  readonly id: string;
  readonly kind: string;
  readonly title: string | null;
  readonly metadata: string | null;
  readonly createdAt: number | null;
}

export function checkThread(value: NewThread): CheckedThread {
  const thread = objectWithKeys("thread", value, ["owner", "id", "kind", "title", "metadata", "createdAt"]);
  return {
    owner: checkOwner("thread.owner", thread.owner),
    id: given(thread.id, idClock.next(), (id) => checkThreadId("thread.id", id)),
    kind: given(thread.kind, "conversation", (kind) => checkText("thread.kind", kind, 1, 64)),
    title: given(thread.title, null, (title) => checkText("thread.title", title, 0, MAX_TITLE_BYTES)),
    metadata: given(thread.metadata, null, (metadata) => encodeMetadata("thread.metadata", metadata)),
    createdAt: given(thread.createdAt, null, (time) => checkTime("thread.createdAt", time)),
  };
}

export function checkThreadQuery(value: ThreadQuery) {
  const query = objectWithKeys("query", value, ["owner", "kind", "metadata", "before", "limit", "signal"]);
  refuseUndefined("query", query, ["kind", "metadata"]);
  return {
    owner: checkOwner("query.owner", query.owner),
    kind: given(query.kind, null, (kind) => checkText("query.kind", kind, 1, 64)),
    labels: given(query.metadata, [] as string[], (metadata) => encodeLabels("query.metadata", metadata)),
    before: given(query.before, null, (before) => {
      const { id, updatedAt } = plainObject("query.before", before) as { id?: unknown; updatedAt?: unknown };
      return {
        id: checkThreadId("query.before.id", id),
        updatedAt: checkTime("query.before.updatedAt", updatedAt),
      };
    }),
    limit: checkLimit("query.limit", query.limit, 100),
    ...signalOf("query", query.signal),
  };
}

export function checkDeleteThreadOptions(value: DeleteThreadOptions) {
  const { ifEmpty = false, signal } = objectWithKeys("options", value, ["ifEmpty", "signal"]);
  return { ifEmpty: boolean("options.ifEmpty", ifEmpty), ...signalOf("options", signal) };
}

export function checkThreadChange(value: ThreadChange) {
  const change = objectWithKeys("change", value, ["title", "metadata"]);
  refuseUndefined("change", change, ["title", "metadata"]);
  return {
    ...(change.title !== undefined && {
      title: orNull(change.title, (title) => checkText("change.title", title, 0, MAX_TITLE_BYTES)),
    }),
    ...(change.metadata !== undefined && {
      metadata: orNull(change.metadata, (metadata) => encodeMetadata("change.metadata", metadata)),
    }),
  };
}

export function checkIfRevision(value: IfRevision): {
  readonly ifRevision: string | null;
  readonly signal?: AbortSignal;
} {
  const options = objectWithKeys("options", value, ["ifRevision", "signal"]);
  refuseUndefined("options", options, ["ifRevision"]);
  return {
    ifRevision: given(options.ifRevision, null, (revision) => string("options.ifRevision", revision)),
    ...signalOf("options", options.signal),
  };
}

/** An item, checked; its value is as given. */
export interface CheckedItem {
  readonly owner: string;
  readonly collection: string;
  readonly text: string;
  readonly hasValue: boolean;
  readonly threadId: string | null;
  readonly role: string | null;
  readonly key: string | null;
  readonly id: string | null;
  /** `null`: none. `undefined`: to be made of the text, if there is an embedder. */
  readonly embedding: Float32Array | null | undefined;
  readonly importance: number | null;
  readonly metadata: string | null;
  readonly createdAt: number | null;
  readonly expiresAt: number | null;
  readonly checkpointId: string | null;
  readonly dedup: boolean;
}

const ITEM_KEYS = [
  "owner",
  "collection",
  "text",
  "value",
  "threadId",
  "role",
  "key",
  "id",
  "embedding",
  "importance",
  "metadata",
  "createdAt",
  "expiresAt",
  "checkpointId",
  "dedup",
] as const;

export function checkItems(value: readonly NewItem[]): CheckedItem[] {
  if (!Array.isArray(value)) throw invalidArgument("items", "an array", value);
  if (value.length > MAX_ITEMS) throw invalidArgument("items", `at most ${MAX_ITEMS} items`, value.length);
  return Array.from(value, (item: NewItem, at) => checkItem(`items[${at}]`, item));
}

function checkItem(field: string, value: NewItem): CheckedItem {
  const item = objectWithKeys(field, value, ITEM_KEYS);
  const { dedup = false } = item;
  return {
    owner: checkOwner(`${field}.owner`, item.owner),
    collection: checkCollectionName(`${field}.collection`, item.collection),
    text: string(`${field}.text`, item.text),
    hasValue: "value" in value,
    threadId: given(item.threadId, null, (id) => checkThreadId(`${field}.threadId`, id)),
    role: given(item.role, null, (role) => checkRole(`${field}.role`, role)),
    key: given(item.key, null, (key) => checkKey(`${field}.key`, key)),
    id: given(item.id, null, (id) => ownId(`${field}.id`, id)),
    embedding: given(item.embedding, undefined, (vector) =>
      orNull(vector, (floats) => checkVector(`${field}.embedding`, floats, null)),
    ),
    importance: given(item.importance, null, (importance) => checkImportance(`${field}.importance`, importance)),
    metadata: given(item.metadata, null, (metadata) => encodeMetadata(`${field}.metadata`, metadata)),
    createdAt: given(item.createdAt, null, (time) => checkTime(`${field}.createdAt`, time)),
    expiresAt: given(item.expiresAt, null, (time) => checkTime(`${field}.expiresAt`, time)),
    checkpointId: given(item.checkpointId, null, (id) => ownId(`${field}.checkpointId`, id)),
    dedup: boolean(`${field}.dedup`, dedup),
  };
}

export function checkAddOptions(value: AddOptions) {
  const options = objectWithKeys("options", value, ["replace", "model", "signal"]);
  const { replace = false } = options;
  return {
    replace: boolean("options.replace", replace),
    model: given(options.model, null, (model) => checkModel("options.model", model)),
    ...signalOf("options", options.signal),
  };
}

const CHANGE_KEYS = [
  "text",
  "threadId",
  "role",
  "key",
  "embedding",
  "model",
  "importance",
  "metadata",
  "expiresAt",
  "checkpointId",
] as const;

/** Members that are absent stay as they are. */
export function checkItemChange(value: ItemChange) {
  const change = objectWithKeys("change", value, [...CHANGE_KEYS, "value"]);
  refuseUndefined("change", change, CHANGE_KEYS);
  if (change.model !== undefined && (change.embedding === undefined || change.embedding === null)) {
    throw invalidArgument("change.embedding", "a vector beside change.model", change.embedding);
  }
  return {
    ...(change.text !== undefined && { text: string("change.text", change.text) }),
    hasValue: "value" in value,
    ...(change.threadId !== undefined && {
      threadId: orNull(change.threadId, (id) => checkThreadId("change.threadId", id)),
    }),
    ...(change.key !== undefined && { key: orNull(change.key, (key) => checkKey("change.key", key)) }),
    ...(change.checkpointId !== undefined && {
      checkpointId: orNull(change.checkpointId, (id) => ownId("change.checkpointId", id)),
    }),
    ...(change.model !== undefined && { model: checkModel("change.model", change.model) }),
    ...(change.role !== undefined && { role: orNull(change.role, (role) => checkRole("change.role", role)) }),
    ...(change.embedding !== undefined && {
      embedding: orNull(change.embedding, (vector) => checkVector("change.embedding", vector, null)),
    }),
    ...(change.importance !== undefined && { importance: checkImportance("change.importance", change.importance) }),
    ...(change.metadata !== undefined && {
      metadata: orNull(change.metadata, (metadata) => encodeMetadata("change.metadata", metadata)),
    }),
    ...(change.expiresAt !== undefined && {
      expiresAt: orNull(change.expiresAt, (time) => checkTime("change.expiresAt", time)),
    }),
  };
}

export type CheckedItemChange = ReturnType<typeof checkItemChange>;

const CONDITION_KEYS = [
  "threadId",
  "role",
  "key",
  "metadata",
  "minImportance",
  "createdFrom",
  "createdBefore",
] as const satisfies readonly (keyof ItemConditions)[];

/** Returns a condition on keys: one of them, or a list. */
function checkKeys(field: string, value: unknown): string | { readonly in: readonly string[] } {
  if (!Array.isArray(value)) return checkKey(field, value);
  integer(`${field}.length`, value.length, 1, MAX_LIMIT, "keys");
  return { in: Array.from(value, (key: unknown, at) => checkKey(`${field}[${at}]`, key)) };
}

/** Returns the conditions as a filter of rows. */
function conditionsOf(
  field: string,
  conditions: { readonly [name in (typeof CONDITION_KEYS)[number]]?: unknown },
): RowFilter {
  refuseUndefined(field, conditions, CONDITION_KEYS);
  const { threadId, role, key, metadata, minImportance, createdFrom, createdBefore } = conditions;
  const createdAt = {
    ...(createdFrom !== undefined && { from: checkTime(`${field}.createdFrom`, createdFrom) }),
    ...(createdBefore !== undefined && { below: checkTime(`${field}.createdBefore`, createdBefore) }),
  };
  const labels = metadata === undefined ? [] : encodeLabels(`${field}.metadata`, metadata);
  return {
    ...(threadId !== undefined && { thread: checkThreadId(`${field}.threadId`, threadId) }),
    ...(role !== undefined && { role: checkRole(`${field}.role`, role) }),
    ...(key !== undefined && { key: checkKeys(`${field}.key`, key) }),
    ...(minImportance !== undefined && {
      importance: { from: checkImportance(`${field}.minImportance`, minImportance) },
    }),
    ...(Object.keys(createdAt).length > 0 && { createdAt }),
    ...(labels.length > 0 && { metadata: { contains: labels } }),
  };
}

/** Items of an owner, or of one of its collections. */
export interface CheckedFilter {
  readonly owner: string;
  readonly collection: string | null;
  readonly rows: RowFilter;
  readonly signal?: AbortSignal;
}

const FILTER_KEYS = ["owner", "collection", ...CONDITION_KEYS, "signal"] as const;

export function checkItemFilter(value: ItemFilter): CheckedFilter {
  return filterOf("filter", objectWithKeys("filter", value, FILTER_KEYS));
}

function filterOf(field: string, filter: { readonly [name in keyof ItemFilter]?: unknown }): CheckedFilter {
  refuseUndefined(field, filter, ["collection"]);
  return {
    owner: checkOwner(`${field}.owner`, filter.owner),
    collection: given(filter.collection, null, (name) => checkCollectionName(`${field}.collection`, name)),
    rows: conditionsOf(field, filter),
    ...signalOf(field, filter.signal),
  };
}

export function checkItemQuery(value: ItemQuery) {
  const query = objectWithKeys("query", value, [...FILTER_KEYS, "order", "after", "limit"]);
  const { order = "oldest", after } = query;
  const filter = filterOf("query", query);
  if (after !== undefined && filter.collection === null) {
    throw invalidArgument("query.collection", "given beside query.after", undefined);
  }
  return {
    filter,
    isNewestFirst: oneOf("query.order", order, ["oldest", "newest"]) === "newest",
    after: given(after, null, (position) => integer("query.after", position, 0, Number.MAX_SAFE_INTEGER, "a position")),
    limit: checkLimit("query.limit", query.limit, 100),
  };
}

export function checkIds(value: readonly string[]): string[] {
  if (!Array.isArray(value)) throw invalidArgument("ids", "an array", value);
  const ids = Array.from(value, (id: unknown, at) => parseId(string(`ids[${at}]`, id)));
  return [...new Set(ids.filter((id) => id !== null))];
}

const SEARCH_KEYS = [
  "owner",
  "collections",
  "text",
  "vector",
  "model",
  "fusion",
  "minSimilarity",
  "requireVector",
  "filter",
  "limit",
  "around",
  "exact",
  "signal",
] as const;

export interface CheckedSearch {
  readonly owner: string;
  readonly collections: readonly string[];
  readonly text: string | null;
  /** `null`: none. `undefined`: to be made of the text, if there is an embedder. */
  readonly vector: Float32Array | null | undefined;
  readonly model: string | null;
  readonly fusion: Fusion;
  readonly minSimilarity: number;
  readonly requireVector: boolean;
  readonly rows: RowFilter;
  readonly limit: number;
  readonly around: number;
  readonly isExact: boolean;
  readonly signal?: AbortSignal;
}

export function checkSearch(value: MemorySearch): CheckedSearch {
  const search = objectWithKeys("search", value, SEARCH_KEYS);
  refuseUndefined("search", search, ["text", "vector", "model", "minSimilarity", "filter"]);
  const { collections, requireVector = false, around = 0, exact = false, text, vector } = search;
  if (!Array.isArray(collections) || collections.length < 1 || collections.length > MAX_COLLECTIONS) {
    throw invalidArgument("search.collections", `an array of 1 to ${MAX_COLLECTIONS} names`, collections);
  }
  if (text === undefined && (vector === undefined || vector === null)) {
    throw invalidArgument("search", "an object with text, a vector or both", search);
  }
  const names = Array.from(collections, (name: unknown, at) => checkCollectionName(`search.collections[${at}]`, name));
  return {
    owner: checkOwner("search.owner", search.owner),
    collections: names,
    text: given(text, null, (words) => string("search.text", words)),
    vector: given(vector, undefined, (floats) => orNull(floats, (some) => checkVector("search.vector", some, null))),
    model: given(search.model, null, (model) => checkModel("search.model", model)),
    fusion: given(search.fusion, DEFAULT_FUSION, checkFusion),
    minSimilarity: given(search.minSimilarity, -1, (similarity) => {
      if (typeof similarity === "number" && similarity >= -1 && similarity <= 1) return similarity;
      throw invalidWord("search.minSimilarity", "a number from -1 to 1", similarity);
    }),
    requireVector: boolean("search.requireVector", requireVector),
    rows: given(search.filter, {} as RowFilter, (filter) =>
      conditionsOf("search.filter", objectWithKeys("search.filter", filter, CONDITION_KEYS)),
    ),
    limit: checkLimit("search.limit", search.limit, 10),
    around: integer("search.around", around, 0, MAX_AROUND, "items"),
    isExact: boolean("search.exact", exact),
    ...signalOf("search", search.signal),
  };
}

function checkFusion(value: unknown): Fusion {
  if (value === "rrf") return "rrf";
  if (typeof value !== "object" || value === null) {
    throw invalidWord("search.fusion", 'weights of text and vector, or "rrf"', value);
  }
  const weights = objectWithKeys("search.fusion", value, ["text", "vector"]);
  const [text, vector] = (["text", "vector"] as const).map((name) => {
    const weight = weights[name];
    if (typeof weight === "number" && weight >= 0 && weight <= Number.MAX_SAFE_INTEGER) return weight;
    throw invalidWord(`search.fusion.${name}`, "a number of at least 0", weight);
  }) as [number, number];
  if (text === 0 && vector === 0) throw invalidArgument("search.fusion", "not 0 for both", value);
  return { text, vector };
}

export function checkCollectionQuery(value: CollectionQuery) {
  const query = objectWithKeys("query", value, ["owner", "after", "limit", "signal"]);
  return {
    owner: checkOwner("query.owner", query.owner),
    after: given(query.after, null, (name) => checkCollectionName("query.after", name)),
    limit: checkLimit("query.limit", query.limit, 100),
    ...signalOf("query", query.signal),
  };
}

export function checkOwnerQuery(value: OwnerQuery) {
  const query = objectWithKeys("query", value, ["after", "limit", "signal"]);
  return {
    after: given(query.after, null, (owner) => checkOwner("query.after", owner)),
    limit: checkLimit("query.limit", query.limit, 100),
    ...signalOf("query", query.signal),
  };
}

export interface CheckedReembed {
  readonly owner: string;
  readonly collection: string;
  readonly embedder: ResolvedEmbedder;
  readonly batchSize: number;
  readonly restart: boolean;
  readonly onProgress?: (progress: ReembedProgress) => void;
  readonly signal?: AbortSignal;
}

/** `instead`: the embedder, if none is given; `null`: it has to be. */
export function checkReembedOptions(value: ReembedOptions, instead: ResolvedEmbedder | null): CheckedReembed {
  const options = objectWithKeys("options", value, [
    "owner",
    "collection",
    "embedder",
    "batchSize",
    "restart",
    "onProgress",
    "signal",
  ]);
  const { restart = false } = options;
  const embedder =
    options.embedder === undefined && instead !== null ? instead : checkEmbedder("options.embedder", options.embedder);
  return {
    owner: checkOwner("options.owner", options.owner),
    collection: checkCollectionName("options.collection", options.collection),
    embedder,
    batchSize: given(options.batchSize, Math.min(embedder.maxBatch, MAX_ITEMS), (size) =>
      integer("options.batchSize", size, 1, MAX_ITEMS, "items"),
    ),
    restart: boolean("options.restart", restart),
    ...progressOptions<ReembedProgress>("options", options.signal, options.onProgress),
  };
}

/** `null`: the rule was not given. */
export interface CheckedMemoryPolicy {
  readonly owner: string | null;
  readonly collection: string | null;
  readonly expired: boolean;
  readonly keepLast: number | null;
  readonly minImportance: number | null;
  readonly olderThanMs: number | null;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
}

export function checkMemoryPolicy(value: MemoryPrunePolicy): CheckedMemoryPolicy {
  const rules = ["expired", "keepLast", "minImportance", "olderThanMs"] as const;
  const policy = objectWithKeys("policy", value, ["owner", "collection", ...rules, "dryRun", "signal"]);
  refuseUndefined("policy", policy, ["owner", "collection", "keepLast", "minImportance", "olderThanMs"]);
  const { expired = false, dryRun = false } = policy;
  const checked: CheckedMemoryPolicy = {
    owner: given(policy.owner, null, (owner) => checkOwner("policy.owner", owner)),
    collection: given(policy.collection, null, (name) => checkCollectionName("policy.collection", name)),
    expired: boolean("policy.expired", expired),
    keepLast: given(policy.keepLast, null, (count) => integer("policy.keepLast", count, 0, 1_000_000_000, "items")),
    minImportance: given(policy.minImportance, null, (value) => checkImportance("policy.minImportance", value)),
    olderThanMs: given(policy.olderThanMs, null, (age) => integer("policy.olderThanMs", age, 0, MAX_DATE_MS, "ms")),
    dryRun: boolean("policy.dryRun", dryRun),
    ...signalOf("policy", policy.signal),
  };
  const { keepLast, minImportance, olderThanMs } = checked;
  const hasOtherRule = [keepLast, minImportance, olderThanMs].some((rule) => rule !== null);
  if (!checked.expired && !hasOtherRule)
    throw invalidArgument("policy", `an object with at least one of ${rules.join(", ")}`, value);
  if (checked.owner === null && (hasOtherRule || checked.collection !== null)) {
    throw invalidArgument("policy.owner", "an owner, beside any rule but policy.expired", undefined);
  }
  return checked;
}

function checkLimit(field: string, value: unknown, instead: number): number {
  return given(value, instead, (limit) => integer(field, limit, 1, MAX_LIMIT, "items"));
}

export interface CheckedVectorIndex {
  readonly dimensions: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export function checkVectorIndex(dimensions: unknown, value: VectorIndexOptions): CheckedVectorIndex {
  const { timeoutMs = MAX_TIMEOUT_MS, signal } = objectWithKeys("options", value, ["timeoutMs", "signal"]);
  return {
    dimensions: integer("dimensions", dimensions, 1, MAX_DIMENSIONS, "dimensions"),
    timeoutMs: timeout("options.timeoutMs", timeoutMs),
    ...signalOf("options", signal),
  };
}
