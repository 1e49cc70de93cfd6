import { slices } from "@waymark/core/kit";
import type { Collection, Hit, Item, MemorySearch, MemoryStorage } from "@waymark/core/memory";
import type { StoreFilter } from "./filter.ts";
import { storeItemOf } from "./items.ts";
import { commonBeginning, isMatch, type NamespacePattern, namespaceOf, pathBelow, pathOf } from "./namespace.ts";

/** Limits of one call of a memory. */
const MAX_ITEMS = 1_000;
const MAX_COLLECTIONS = 16;

/** Rows of the first page of a listing. Most prefixes have few namespaces below them, or none. */
const FIRST_PAGE = 16;

/** What is searched for: a vector of a model, or words. */
export type Wanted = { readonly vector: readonly number[]; readonly model: string } | { readonly text: string };

/** Which items: those at a namespace and below it that a filter selects, `limit` of them after `offset`. */
export interface ReadQuery {
  readonly prefix: readonly string[];
  readonly filter: StoreFilter;
  readonly offset: number;
  readonly limit: number;
}

export interface NamespaceQuery {
  readonly patterns: readonly NamespacePattern[];
  /** Namespaces are cut to this many labels; `null`: they are not. */
  readonly maxDepth: number | null;
  readonly offset: number;
  readonly limit: number;
}

/** Reads of a store, over all namespaces at and below a prefix. */
export class StoreReader {
  readonly #memory: MemoryStorage;
  readonly #owner: string;

  constructor(memory: MemoryStorage, owner: string) {
    this.#memory = memory;
    this.#owner = owner;
  }

  /** Reads items by their keys, in any order. Those that are not there are left out. */
  async byKeys(namespace: readonly string[], keys: readonly string[]): Promise<Item[]> {
    const found: Item[] = [];
    const collection = pathOf(namespace);
    for (const key of slices(keys, MAX_ITEMS)) {
      found.push(...(await this.#memory.listItems({ owner: this.#owner, collection, key, limit: key.length })));
    }
    return found;
  }

  /** Lists items: by namespace in the order of their paths, and the newest first in each. */
  async list({ prefix, filter, offset, limit }: ReadQuery): Promise<Item[]> {
    const found: Item[] = [];
    let toSkip = offset;
    if (limit === 0) return found;
    for await (const { collection } of this.collections(prefix)) {
      if (toSkip > 0 && filter.isByLabels) {
        const count = await this.#memory.countItems(this.#conditions(collection, filter));
        if (count <= toSkip) {
          toSkip -= count;
          continue;
        }
      }
      const needed = () => (filter.isByLabels ? toSkip + limit - found.length : MAX_ITEMS);
      for await (const item of this.#items(collection, filter, needed)) {
        if (toSkip > 0) {
          toSkip -= 1;
          continue;
        }
        found.push(item);
        if (found.length === limit) return found;
      }
    }
    return found;
  }

  /** Finds items, the best first. */
  async find(wanted: Wanted, { prefix, filter, offset, limit }: ReadQuery): Promise<Hit[]> {
    const size = offset + limit;
    let best: Hit[] = [];
    if (limit === 0) return best;
    for await (const collections of this.#searched(prefix, wanted)) {
      best = best.concat(await this.#best(collections, wanted, filter, size));
      best = best.sort(byScore).slice(0, size);
    }
    return best.slice(offset);
  }

  /** Finds the best items of some collections: as many as the filter leaves of their best hits, else of all their items. */
  async #best(
    collections: readonly string[],
    wanted: Wanted,
    filter: StoreFilter,
    size: number,
  ): Promise<readonly Hit[]> {
    const first = Math.min(MAX_ITEMS, filter.isByLabels ? size : 4 * size);
    for (const limit of new Set([first, MAX_ITEMS])) {
      const hits = await this.#search(wanted, { collections, filter: { metadata: filter.labels }, limit });
      const matches = hits.filter(({ item }) => isOurs(item, filter));
      if (matches.length >= size || hits.length < limit) return matches;
    }
    let best: Hit[] = [];
    for (const collection of collections) {
      let items: Item[] = [];
      const rank = async () => {
        const key = items.map((item) => item.key as string);
        if (key.length === 0) return;
        items = [];
        const hits = await this.#search(wanted, { collections: [collection], filter: { key }, limit: key.length });
        const matches = hits.filter(({ item }) => isOurs(item, filter)); // it may have changed since it was listed
        best = best.concat(matches).sort(byScore).slice(0, size);
      };
      for await (const item of this.#items(collection, filter, () => MAX_ITEMS)) {
        if (items.push(item) === MAX_ITEMS) await rank();
      }
      await rank();
    }
    return best;
  }

  async #search(wanted: Wanted, search: Pick<MemorySearch, "collections" | "filter" | "limit">): Promise<Hit[]> {
    const by =
      "vector" in wanted
        ? { vector: wanted.vector, model: wanted.model, fusion: { text: 0, vector: 1 } }
        : { text: wanted.text, vector: null };
    return await this.#memory.search({ owner: this.#owner, ...search, ...by });
  }

  /** Lists namespaces, in the order of their paths. */
  async namespaces({ patterns, maxDepth, offset, limit }: NamespaceQuery): Promise<string[][]> {
    const found = new Map<string, string[]>();
    if (limit === 0) return [];
    for await (const { collection } of this.collections(commonBeginning(patterns))) {
      const namespace = namespaceOf(collection);
      if (namespace === null || !patterns.every((pattern) => isMatch(pattern, namespace))) continue;
      const labels = maxDepth === null ? namespace : namespace.slice(0, maxDepth);
      found.set(pathOf(labels), labels);
      if (found.size === offset + limit) break;
    }
    return [...found.values()].slice(offset);
  }

  /** Iterates over the items of a collection that a filter selects, the newest first. `needed`: about how many are to be read. */
  async *#items(collection: string, filter: StoreFilter, needed: () => number): AsyncGenerator<Item> {
    let after: number | undefined;
    for (;;) {
      const limit = Math.min(MAX_ITEMS, needed());
      const conditions = this.#conditions(collection, filter);
      const page = await this.#memory.listItems({ ...conditions, order: "newest", after, limit });
      for (const item of page) if (isOurs(item, filter)) yield item;
      if (page.length < limit) return;
      after = page.at(-1)?.position;
    }
  }

  #conditions(collection: string, { labels }: StoreFilter) {
    return { owner: this.#owner, collection, metadata: labels };
  }

  /** Iterates over the names of collections to search, as many at a time as one search takes. */
  async *#searched(prefix: readonly string[], wanted: Wanted): AsyncGenerator<string[]> {
    let names: string[] = [];
    for await (const { collection, dimensions } of this.collections(prefix)) {
      if ("vector" in wanted && dimensions === undefined) continue;
      if (names.push(collection) < MAX_COLLECTIONS) continue;
      yield names;
      names = [];
    }
    if (names.length > 0) yield names;
  }

  /** Iterates over the collections of a namespace and those below it that have items. */
  async *collections(prefix: readonly string[]): AsyncGenerator<Collection> {
    for await (const collection of this.emptyOnesToo(prefix)) if (collection.items > 0) yield collection;
  }

  /** Iterates over all collections of a namespace and those below it. */
  async *emptyOnesToo(prefix: readonly string[]): AsyncGenerator<Collection> {
    const owner = this.#owner;
    if (prefix.length > 0) {
      const own = await this.#memory.getCollection(owner, pathOf(prefix));
      if (own !== null) yield own;
    }
    // Those below are together in the order of the names, behind this beginning of theirs, which is the name of none.
    const beginning = pathBelow(prefix);
    let after = beginning;
    for (let limit = FIRST_PAGE; ; limit = MAX_ITEMS) {
      const page = await this.#memory.listCollections({ owner, after, limit });
      for (const one of page) {
        if (!one.collection.startsWith(beginning)) return;
        if (namespaceOf(one.collection) !== null) yield one;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < limit) return;
      after = last.collection;
    }
  }
}

function isOurs(item: Item, filter: StoreFilter): boolean {
  return storeItemOf(item) !== null && filter.isMatch(item.value);
}

/** Order of hits, the best first. Of equal ones the order is the memory's. */
function byScore(one: Hit, other: Hit): number {
  return scoreOf(other) - scoreOf(one);
}

/** The cosine of the vectors, or BM25 of the words. */
export function scoreOf({ similarity, textScore, score }: Hit): number {
  return similarity ?? textScore ?? score;
}
