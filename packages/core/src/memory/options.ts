import { integer, objectWithKeys, oneOf, plainObject } from "../contract/checks.ts";
import { invalidArgument, property } from "../contract/errors.ts";
import type { DatabaseOptions } from "../contract/options.ts";
import {
  DATABASE_OPTIONS,
  type ResolvedDatabaseOptions,
  resolveDatabaseOptions,
  timeout,
} from "../database/options.ts";
import type { Embedder } from "./contract.ts";
import { checkCollectionName, checkModel } from "./names.ts";
import { MAX_DIMENSIONS } from "./signature.ts";
import { LANGUAGES, type Language } from "./words.ts";

/** Options of memory that every dialect takes, beside those of its database. */
export interface CommonMemoryOptions {
  /**
   * Turns texts into vectors: those of new items, and those that are searched for. Default: none, and vectors are given. Of several, each
   * collection takes the one of its model; the first is for collections without vectors, and for `reembed`. So put the new one first, and keep
   * the old one until all collections are re-embedded.
   */
  readonly embedder?: Embedder | readonly Embedder[] | undefined;
  /**
   * Options of collections by their names, for collections that are made from now on. `"*"`: all others. One that is there keeps its
   * language, whatever is said here: `getCollection` has it.
   */
  readonly collections?: Readonly<Record<string, CollectionOptions>> | undefined;
}

export interface CollectionOptions {
  /** Language of the texts. Default `"none"`. */
  readonly language?: Language | undefined;
}

/** Keys of the options that memory takes in every dialect. */
export const MEMORY_OPTIONS = [...DATABASE_OPTIONS, "embedder", "collections"] as const;

/** The options, checked and with their defaults. */
export interface ResolvedMemoryOptions extends ResolvedDatabaseOptions {
  /** Of different models. */
  readonly embedders: readonly ResolvedEmbedder[];
  /** Returns the language of a collection that is made now. */
  languageOf(collection: string): Language;
}

/** An embedder, checked and with its defaults. */
export interface ResolvedEmbedder {
  readonly model: string;
  readonly dimensions: number;
  readonly maxBatch: number;
  readonly timeoutMs: number;
  readonly embed: Embedder["embed"];
}

const DEFAULT_BATCH = 96;
const DEFAULT_TIMEOUT_MS = 60_000;

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveMemoryOptions(
  options: { readonly [name in keyof (CommonMemoryOptions & DatabaseOptions)]?: unknown } = {},
): ResolvedMemoryOptions {
  return { ...resolveDatabaseOptions(options), ...resolveOwnOptions("options", options) };
}

/** Resolves the options of memory alone. `field`: the place where they stand. @throws CheckpointError `INVALID_ARGUMENT` */
export function resolveOwnOptions(
  field: string,
  { embedder, collections = {} }: { readonly [name in keyof CommonMemoryOptions]?: unknown },
): Pick<ResolvedMemoryOptions, "embedders" | "languageOf"> {
  const languages = new Map(
    Object.entries(plainObject(`${field}.collections`, collections)).map(([name, value]) => {
      checkCollectionName(`a name in ${field}.collections`, name);
      const collection = `${field}.collections[${JSON.stringify(name.slice(0, 64))}]`;
      const { language = "none" } = objectWithKeys(collection, value, ["language"]);
      return [name, oneOf(`${collection}.language`, language, LANGUAGES)];
    }),
  );
  return {
    embedders: checkEmbedders(`${field}.embedder`, embedder),
    languageOf: (collection) => languages.get(collection) ?? languages.get("*") ?? "none",
  };
}

function checkEmbedders(field: string, value: unknown): readonly ResolvedEmbedder[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [checkEmbedder(field, value)];
  const embedders = Array.from(value, (one: unknown, at) => checkEmbedder(`${field}[${at}]`, one));
  const names = embedders.map(({ model }) => model);
  const twice = names.findIndex((name, at) => names.indexOf(name) < at);
  if (embedders.length === 0) throw invalidArgument(field, "an embedder, or a list of at least one", value);
  if (twice >= 0)
    throw invalidArgument(`${field}[${twice}].model`, "another name than the embedders before", names[twice]);
  return embedders;
}

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function checkEmbedder(field: string, value: unknown): ResolvedEmbedder {
  const embedder = plainObject(field, value);
  const { model, dimensions, maxBatch = DEFAULT_BATCH, timeoutMs = DEFAULT_TIMEOUT_MS } = embedder as Partial<Embedder>;
  const embed = property(embedder, "embed");
  if (typeof embed !== "function") throw invalidArgument(`${field}.embed`, "a function", embed);
  return {
    model: checkModel(`${field}.model`, model),
    dimensions: integer(`${field}.dimensions`, dimensions, 1, MAX_DIMENSIONS, "dimensions"),
    maxBatch: integer(`${field}.maxBatch`, maxBatch, 1, 10_000, "texts"),
    timeoutMs: timeout(`${field}.timeoutMs`, timeoutMs),
    embed: (texts, embedOptions) => (embedder as unknown as Embedder).embed(texts, embedOptions),
  };
}
