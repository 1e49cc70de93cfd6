import { boolean, checkText, integer, invalidArgument, invalidWord, objectWithKeys, property } from "@waymark/core/kit";
import type { MemoryStorage } from "@waymark/core/memory";
import { hasMethods } from "../config.ts";
import { type StoreEmbeddings, Vectorizer } from "./vectorizer.ts";

/** What is searched, and how. As LangGraph's `IndexConfig`, but for `model`, and that vectors are an option. */
export interface StoreIndexConfig {
  /** Dimensions of the vectors. Given with `embeddings`, and only then. */
  readonly dims?: number | undefined;
  /**
   * LangChain `Embeddings`, or a function that returns a vector for each text: a search's `query` then finds items by meaning. Default:
   * none, and it finds them by their words.
   */
  readonly embeddings?: StoreEmbeddings | ((texts: string[]) => Promise<number[][]>) | undefined;
  /** Paths of the texts that are searched, such as `"memory"` or `"chapters[*].content"`. Default `["$"]`: the value as JSON. */
  readonly fields?: readonly string[] | undefined;
  /**
   * Name of the model: vectors of different models are never compared. Default: the member `model` or `modelName` of the embeddings;
   * to be given if they have none, as a function has.
   */
  readonly model?: string | undefined;
}

/** When items expire. As that of LangGraph's `PostgresStore`. */
export interface StoreTtlConfig {
  /** Minutes after which an item expires, unless its `put` says otherwise. Default: never. */
  readonly defaultTtl?: number | undefined;
  /**
   * Begin an item's time anew when it is read or found. It is then written, unless a hundredth of its time has not yet passed. Default
   * `false`.
   */
  readonly refreshOnRead?: boolean | undefined;
  /** Minutes between two sweeps, which delete what has expired. Nothing finds that in any case. Default 60; `false`: none. */
  readonly sweepIntervalMinutes?: number | false | undefined;
}

export interface WaymarkStoreOptions {
  /** Any Waymark memory, such as `createSQLiteMemory({ databasePath })`. The store never closes it. */
  readonly memory: MemoryStorage;
  /**
   * Whose items they are in the memory: 1 to 255 bytes. Stores with different owners have nothing in common, and
   * `memory.forgetOwner` deletes all of one. Default `"langgraph"`.
   */
  readonly owner?: string | undefined;
  /** What a search's `query` looks at. Default: the words of the whole value. `false`: nothing, and a `query` is refused. */
  readonly index?: StoreIndexConfig | false | undefined;
  /** When items expire. Default: never. */
  readonly ttl?: StoreTtlConfig | undefined;
}

/** Options, checked and with their defaults. */
export interface ResolvedStoreOptions {
  readonly memory: MemoryStorage;
  readonly owner: string;
  readonly index: ResolvedIndex | null;
  /** In minutes; `null`: never. */
  readonly defaultTtl: number | null;
  readonly refreshOnRead: boolean;
  /** In milliseconds; `null`: never. */
  readonly sweepEveryMs: number | null;
}

export interface ResolvedIndex {
  readonly fields: readonly string[];
  /** `null`: items are found by their words. */
  readonly vectorizer: Vectorizer | null;
}

const MEMORY_METHODS = [
  "addItems",
  "countItems",
  "deleteCollection",
  "deleteItemsWhere",
  "getCollection",
  "listCollections",
  "listItems",
  "prune",
  "reembed",
  "search",
  "updateItem",
] as const satisfies readonly (keyof MemoryStorage)[];

const MS_PER_MINUTE = 60_000;
/** The longest delay of a timer: 2^31 - 1 ms. */
const MAX_SWEEP_MINUTES = 35_791;
const MAX_DIMENSIONS = 4_096;

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveStoreOptions(value: WaymarkStoreOptions): ResolvedStoreOptions {
  const {
    memory,
    owner = "langgraph",
    index = {},
    ttl,
  } = objectWithKeys("options", value, ["memory", "owner", "index", "ttl"]);
  if (!hasMethods(memory, MEMORY_METHODS)) {
    throw invalidArgument("options.memory", "a MemoryStorage of this version of Waymark", memory);
  }
  return {
    memory: memory as MemoryStorage,
    owner: checkText("options.owner", owner, 1, 255),
    index: index === false ? null : indexOf(index),
    ...ttlOf(ttl),
  };
}

function indexOf(value: unknown): ResolvedIndex {
  const {
    dims,
    embeddings,
    fields = ["$"],
    model,
  } = objectWithKeys("options.index", value, ["dims", "embeddings", "fields", "model"]);
  return {
    fields: checkFields("options.index.fields", fields),
    vectorizer: embeddings === undefined ? withoutVectors(dims, model) : vectorizerOf(embeddings, dims, model),
  };
}

function withoutVectors(dims: unknown, model: unknown): null {
  const given = dims !== undefined ? dims : model;
  if (given === undefined) return null;
  throw invalidArgument(
    `options.index.${dims === undefined ? "model" : "dims"}`,
    "given beside embeddings only",
    given,
  );
}

function vectorizerOf(embeddings: unknown, dims: unknown, model: unknown): Vectorizer {
  const isFunction = typeof embeddings === "function";
  if (!isFunction && !hasMethods(embeddings, ["embedDocuments", "embedQuery"])) {
    const expected = "LangChain embeddings, with embedDocuments and embedQuery, or a function";
    throw invalidArgument("options.index.embeddings", expected, embeddings);
  }
  const documents = embeddings as (texts: string[]) => Promise<number[][]>;
  return new Vectorizer(
    isFunction
      ? { embedDocuments: documents, embedQuery: async (text) => (await documents([text]))[0] as number[] }
      : (embeddings as StoreEmbeddings),
    integer("options.index.dims", dims, 1, MAX_DIMENSIONS, "dimensions"),
    checkText("options.index.model", model ?? modelNameOf(embeddings), 1, 255),
  );
}

function modelNameOf(embeddings: unknown): string {
  const name = isNamed(property(embeddings, "model")) ?? isNamed(property(embeddings, "modelName"));
  if (name !== null) return name;
  // The name of a class or function is no name: two models would look the same.
  const expected = "the name of the model, since options.index.embeddings has no member model or modelName";
  throw invalidArgument("options.index.model", expected, undefined);
}

function isNamed(name: unknown): string | null {
  return typeof name === "string" && name !== "" ? name : null;
}

export function checkFields(field: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalidArgument(field, "an array of paths", value);
  return Array.from(value, (path: unknown, at) => checkText(`${field}[${at}]`, path, 1, 1_024));
}

function ttlOf(value: unknown): Pick<ResolvedStoreOptions, "defaultTtl" | "refreshOnRead" | "sweepEveryMs"> {
  if (value === undefined) return { defaultTtl: null, refreshOnRead: false, sweepEveryMs: null };
  const {
    defaultTtl,
    refreshOnRead = false,
    sweepIntervalMinutes = 60,
  } = objectWithKeys("options.ttl", value, ["defaultTtl", "refreshOnRead", "sweepIntervalMinutes"]);
  const sweepMinutes =
    sweepIntervalMinutes === false
      ? null
      : checkMinutes("options.ttl.sweepIntervalMinutes", sweepIntervalMinutes, MAX_SWEEP_MINUTES);
  return {
    defaultTtl: defaultTtl === undefined ? null : checkTtl("options.ttl.defaultTtl", defaultTtl),
    refreshOnRead: boolean("options.ttl.refreshOnRead", refreshOnRead),
    sweepEveryMs: sweepMinutes === null ? null : sweepMinutes * MS_PER_MINUTE,
  };
}

/** A thousand years: any expiry is a valid date. */
const MAX_TTL_MINUTES = 525_960_000;

export function checkTtl(field: string, value: unknown): number {
  return checkMinutes(field, value, MAX_TTL_MINUTES);
}

function checkMinutes(field: string, value: unknown, max: number): number {
  if (typeof value === "number" && value > 0 && value <= max) return value;
  throw invalidWord(field, `a number of minutes above 0, at most ${max}`, value);
}

/** Returns the time when an item expires whose time begins now. */
export function expiryOf(ttlMinutes: number): number {
  return Math.round(Date.now() + ttlMinutes * MS_PER_MINUTE);
}
