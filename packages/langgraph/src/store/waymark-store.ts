import {
  BaseStore,
  type Operation,
  type OperationResults,
  type SearchItem,
  type Item as StoreItem,
} from "@langchain/langgraph-checkpoint";
import { type CallOptions, CheckpointError } from "@waymark/core";
import { checkCallOptions, invalidArgument, objectWithKeys, slices } from "@waymark/core/kit";
import type { Hit, Item } from "@waymark/core/memory";
import { memoryItemOf, type NewStoreItem, refreshedExpiry, storeItemOf } from "./items.ts";
import { checkNamespace, PART_RULES, pathOf } from "./namespace.ts";
import {
  type CheckedOperation,
  checkOperation,
  type ItemAddress,
  NAMESPACES_OPTIONS,
  SEARCH_OPTIONS,
} from "./operations.ts";
import { type ResolvedStoreOptions, resolveStoreOptions, type WaymarkStoreOptions } from "./options.ts";
import { type ReadQuery, StoreReader, scoreOf } from "./reader.ts";
import { Sweeper } from "./sweeper.ts";

/** Items that one call of a memory writes or deletes. */
const MAX_ITEMS = 1_000;

export interface PutOptions {
  /** Minutes after which the item expires. Default: `ttl.defaultTtl` of the store. */
  readonly ttl?: number | undefined;
}

/**
 * A LangGraph store, for what agents remember across threads, on any Waymark memory:
 * `graph.compile({ checkpointer, store: new WaymarkStore({ memory }) })`.
 *
 * A namespace is a collection of the memory, and an item of the store is an item there. The store never closes the memory, which
 * stays its owner's. Errors of the memory (`CheckpointError`) are passed on unchanged.
 */
export class WaymarkStore extends BaseStore {
  readonly #options: ResolvedStoreOptions;
  readonly #reader: StoreReader;
  readonly #sweeper: Sweeper;

  /** @throws CheckpointError `INVALID_ARGUMENT` */
  constructor(options: WaymarkStoreOptions) {
    super();
    this.#options = resolveStoreOptions(options);
    this.#reader = new StoreReader(this.#options.memory, this.#options.owner);
    this.#sweeper = new Sweeper(this.#options.sweepEveryMs, () => this.sweepExpiredItems());
  }

  /**
   * Stores an item, in place of one with the same key. `index`: paths of its texts that are searched, instead of the store's;
   * `false`: it is found without a query only.
   * @throws InvalidNamespaceError; CheckpointError `UNSUPPORTED_VALUE`, `EMBEDDING_FAILED` and those of the memory
   */
  override async put(
    namespace: string[],
    key: string,
    value: Record<string, unknown>,
    index?: false | string[],
    options?: PutOptions,
  ): Promise<void> {
    checkNamespace("namespace", namespace);
    await this.batch([{ namespace, key, value, ...(index !== undefined && { index }), ...(options && { options }) }]);
  }

  /** Reads an item; `null`: there is none. @throws InvalidNamespaceError */
  override async get(namespace: string[], key: string): Promise<StoreItem | null> {
    checkNamespace("namespace", namespace, { allowReservedRoot: true });
    return await super.get(namespace, key);
  }

  /** Deletes an item. @throws InvalidNamespaceError */
  override async delete(namespace: string[], key: string): Promise<void> {
    checkNamespace("namespace", namespace, { allowReservedRoot: true });
    await super.delete(namespace, key);
  }

  /** Finds the items at a namespace and below it. @throws CheckpointError `INVALID_ARGUMENT`, also for an option that is none */
  override async search(
    namespacePrefix: string[],
    options: Parameters<BaseStore["search"]>[1] = {},
  ): Promise<SearchItem[]> {
    checkNamespace("namespacePrefix", namespacePrefix, PART_RULES);
    objectWithKeys("options", options, SEARCH_OPTIONS);
    return await super.search(namespacePrefix, options);
  }

  /** Lists the namespaces that have items. @throws CheckpointError `INVALID_ARGUMENT`, also for an option that is none */
  override async listNamespaces(options: Parameters<BaseStore["listNamespaces"]>[0] = {}): Promise<string[][]> {
    const { prefix, suffix } = objectWithKeys("options", options, NAMESPACES_OPTIONS);
    if (prefix) checkNamespace("options.prefix", prefix, PART_RULES);
    if (suffix) checkNamespace("options.suffix", suffix, PART_RULES);
    return await super.listNamespaces(options);
  }

  /**
   * Runs operations, as LangGraph's `InMemoryStore` does: all reads first, on what is stored before the batch, then the writes, of
   * which the last one of a key counts. Up to 1,000 puts are one commit.
   */
  override async batch<Op extends readonly Operation[]>(operations: Op): Promise<OperationResults<Op>> {
    const checked = operations.map((operation, at) => checkOperation(`operations[${at}]`, operation, this.#options));
    this.#sweeper.start();
    const items = await this.#get(checked.filter((operation) => operation.kind === "get"));
    const results = [];
    for (const operation of checked) results.push(await this.#read(operation, items));
    await this.#write(checked);
    return results as OperationResults<Op>;
  }

  /** Begins to sweep at intervals, as the first operation does. */
  override start(): void {
    this.#sweeper.start();
  }

  /** Stops sweeping until the next operation. The memory stays open. */
  override async stop(): Promise<void> {
    await this.#sweeper.stop();
  }

  /** Deletes what has expired, of all owners of the memory, and returns how many items. Nothing finds those in any case. */
  async sweepExpiredItems(): Promise<number> {
    return (await this.#options.memory.prune({ expired: true })).removed;
  }

  /**
   * Gives all items vectors of the store's model: after a change of models, or if they were put before there were embeddings. Returns
   * how many. It may be stopped at any time, and goes on where it was. Until a namespace is done, a query there is a `MODEL_MISMATCH`.
   * @throws CheckpointError `INVALID_ARGUMENT` without embeddings, `CONFLICT` while a namespace gets those of another model, `ABORTED`;
   * `EMBEDDING_FAILED`, `EMBEDDING_INVALID` or `TIMEOUT` at the end, if there are texts that cannot be embedded
   */
  async reembed(options: CallOptions = {}): Promise<number> {
    const call = checkCallOptions(options);
    const { memory, owner, index } = this.#options;
    const embedder = index?.vectorizer?.embedder();
    if (embedder === undefined) throw invalidArgument("options.index.embeddings", "given to the store", undefined);
    let count = 0;
    let failed: CheckpointError | null = null;
    for await (const { collection } of this.#reader.collections([])) {
      const { embedded, failures } = await memory.reembed({ owner, collection, embedder, ...call });
      count += embedded;
      failed ??= failures[0]?.error ?? null;
    }
    if (failed !== null) throw failed;
    return count;
  }

  /**
   * Deletes a namespace and all below it, such as all that is remembered of a user: the items, expired ones too, and the names.
   * Returns how many items there were. A namespace is gone with one commit, and its rows follow in bounded ones. If it is interrupted,
   * call it again. It takes what others put meanwhile, or leaves it: end the user's runs first.
   * @throws InvalidNamespaceError for the empty one: `memory.forgetOwner(owner)` deletes all; CheckpointError `ABORTED`
   */
  async deleteNamespace(prefix: string[], options: CallOptions = {}): Promise<number> {
    const checked = checkNamespace("prefix", prefix, { allowReservedRoot: true });
    const call = checkCallOptions(options);
    const { memory, owner } = this.#options;
    let count = 0;
    for await (const { collection, items } of this.#reader.emptyOnesToo(checked)) {
      if (await memory.deleteCollection(owner, collection, call)) count += items;
    }
    // Also of none: rows that a call which was interrupted has left.
    await memory.deleteCollection(owner, pathOf(checked), call);
    return count;
  }

  /** Reads the items of all gets of a batch. */
  async #get(addresses: readonly ItemAddress[]): Promise<Map<string, StoreItem>> {
    const found = new Map<string, StoreItem>();
    for (const [namespace, keys] of groupedKeys(addresses)) {
      const items = await this.#reader.byKeys(namespace, keys);
      await this.#refresh(items);
      for (const item of items) {
        const storeItem = storeItemOf(item);
        if (storeItem !== null) found.set(addressKey(storeItem), storeItem);
      }
    }
    return found;
  }

  async #read(operation: CheckedOperation, items: ReadonlyMap<string, StoreItem>): Promise<unknown> {
    if (operation.kind === "get") return items.get(addressKey(operation)) ?? null;
    if (operation.kind === "namespaces") return await this.#reader.namespaces(operation);
    if (operation.kind !== "search") return undefined;
    return operation.query === null ? await this.#list(operation) : await this.#find(operation.query, operation);
  }

  async #list(query: ReadQuery): Promise<SearchItem[]> {
    const items = await this.#reader.list(query);
    await this.#refresh(items);
    return items.map((item) => storeItemOf(item) as StoreItem);
  }

  async #find(text: string, query: ReadQuery): Promise<SearchItem[]> {
    const vectorizer = this.#options.index?.vectorizer ?? null;
    const wanted = vectorizer === null ? { text } : { vector: await vectorizer.query(text), model: vectorizer.model };
    const hits = await this.#reader.find(wanted, query);
    await this.#refresh(hits.map(({ item }) => item));
    return hits.map((hit: Hit) => ({ ...(storeItemOf(hit.item) as StoreItem), score: scoreOf(hit) }));
  }

  /** Begins the time of items anew, if the options say so. */
  async #refresh(items: readonly Item[]): Promise<void> {
    const { memory, owner, refreshOnRead } = this.#options;
    if (!refreshOnRead) return;
    for (const item of items) {
      const expiresAt = refreshedExpiry(item);
      if (expiresAt === undefined) continue;
      try {
        await memory.updateItem(owner, item.id, { expiresAt }, { ifRevision: item.revision });
      } catch (error) {
        // Somebody has just deleted it, or put it anew with a time of its own.
        const code = error instanceof CheckpointError ? error.code : null;
        if (code !== "CONFLICT" && code !== "NOT_FOUND") throw error;
      }
    }
  }

  async #write(operations: readonly CheckedOperation[]): Promise<void> {
    const removals = new Map<string, ItemAddress>();
    const additions = new Map<string, NewStoreItem>();
    for (const operation of operations) {
      const address = operation.kind === "put" ? operation.item : operation.kind === "delete" ? operation : null;
      if (address === null) continue;
      removals.delete(addressKey(address));
      additions.delete(addressKey(address));
      if (operation.kind === "put") additions.set(addressKey(address), operation.item);
      else removals.set(addressKey(address), address);
    }
    await this.#add([...additions.values()]);
    await this.#remove([...removals.values()]);
  }

  async #add(items: readonly NewStoreItem[]): Promise<void> {
    const { memory, owner, index } = this.#options;
    if (items.length === 0) return;
    const vectorizer = index?.vectorizer ?? null;
    const texts = new Set(items.flatMap(({ text }) => (text === "" ? [] : text)));
    const vectors = vectorizer === null ? null : await vectorizer.documents(texts);
    const added = items.map((item) => memoryItemOf(owner, item, vectors?.get(item.text) ?? null));
    const options = { replace: true, model: vectorizer?.model };
    for (const some of slices(added, MAX_ITEMS)) await memory.addItems(some, options);
  }

  async #remove(addresses: readonly ItemAddress[]): Promise<void> {
    const { memory, owner } = this.#options;
    for (const [namespace, keys] of groupedKeys(addresses)) {
      for (const key of slices(keys, MAX_ITEMS)) {
        await memory.deleteItemsWhere({ owner, collection: pathOf(namespace), key });
      }
    }
  }
}

/** Returns the key of an item's address for a Map. */
function addressKey({ namespace, key }: ItemAddress): string {
  return JSON.stringify([namespace, key]);
}

/** Returns the distinct keys of each namespace. */
function groupedKeys(addresses: readonly ItemAddress[]): (readonly [namespace: readonly string[], keys: string[]])[] {
  const groups = new Map<string, { namespace: readonly string[]; keys: Set<string> }>();
  for (const { namespace, key } of addresses) {
    const path = pathOf(namespace);
    const group = groups.get(path) ?? { namespace, keys: new Set() };
    groups.set(path, group);
    group.keys.add(key);
  }
  return [...groups.values()].map(({ namespace, keys }) => [namespace, [...keys]]);
}
