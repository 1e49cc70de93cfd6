import type { CallOptions, CloseOptions, MigrateMode } from "../contract/checkpoints.ts";
import { oneOf } from "../contract/checks.ts";
import { type CheckpointError, invalidArgument } from "../contract/errors.ts";
import type { StorageEvents, StorageHealth } from "../contract/status.ts";
import { checkCallOptions, checkCloseOptions, checkMigrateMode } from "../database/arguments.ts";
import { parseId } from "../database/ids.ts";
import { addItems, prepareItems } from "./add.ts";
import {
  checkAddOptions,
  checkCollectionQuery,
  checkDeleteThreadOptions,
  checkIds,
  checkIfRevision,
  checkItemChange,
  checkItemFilter,
  checkItemQuery,
  checkItems,
  checkMemoryPolicy,
  checkOwnerQuery,
  checkReembedOptions,
  checkSearch,
  checkThread,
  checkThreadChange,
  checkThreadQuery,
  checkVectorIndex,
} from "./arguments.ts";
import type {
  AddOptions,
  Collection,
  CollectionQuery,
  DeleteThreadOptions,
  ForgetResult,
  Hit,
  IfRevision,
  Item,
  ItemChange,
  ItemFilter,
  ItemQuery,
  MemoryPrunePolicy,
  MemoryPruneResult,
  MemorySearch,
  MemoryStatus,
  MemoryStorage,
  NewItem,
  NewThread,
  OwnerQuery,
  ReembedOptions,
  ReembedResult,
  Thread,
  ThreadChange,
  ThreadQuery,
  VectorIndexOptions,
} from "./contract.ts";
import { type MemoryEngine, refusing } from "./engine.ts";
import { deleteCollection, forgetOwner } from "./forget.ts";
import { snapshotOfValue } from "./items.ts";
import { countItems, getItem, listItems } from "./list.ts";
import { checkCollectionName, checkOwner, checkThreadId } from "./names.ts";
import { languageOf } from "./postings.ts";
import { pruneMemory } from "./prune.ts";
import { reembed } from "./reembed.ts";
import { deleteItems, deleteItemsWhere } from "./remove.ts";
import { search } from "./search.ts";
import { findSpace, listOwners, listSpaces } from "./spaces.ts";
import type { SpaceRow } from "./tables.ts";
import { createThread, deleteThread, getThread, listThreads, updateThread } from "./threads.ts";
import { updateItem } from "./update.ts";
import { createVectorIndex, dropVectorIndex } from "./vector-index.ts";

const EVENTS = ["retry", "circuit", "created"] as const;

/** The public face of the memory engine: checks arguments and delegates. */
export class EngineMemory implements MemoryStorage {
  #engine: MemoryEngine;
  #closing: Promise<void> | null = null;

  constructor(engine: MemoryEngine) {
    this.#engine = engine;
  }

  async createThread(thread: NewThread, options: CallOptions = {}): Promise<Thread> {
    const checked = checkThread(thread);
    return await createThread(this.#engine, checked, checkCallOptions(options).signal);
  }

  async getThread(owner: string, id: string, options: CallOptions = {}): Promise<Thread | null> {
    checkOwner("owner", owner);
    checkThreadId("id", id);
    return await getThread(this.#engine, owner, id, checkCallOptions(options).signal);
  }

  async listThreads(query: ThreadQuery): Promise<Thread[]> {
    return await listThreads(this.#engine, checkThreadQuery(query));
  }

  async updateThread(owner: string, id: string, change: ThreadChange, options: IfRevision = {}): Promise<Thread> {
    checkOwner("owner", owner);
    checkThreadId("id", id);
    return await updateThread(this.#engine, { owner, id }, checkThreadChange(change), checkIfRevision(options));
  }

  async deleteThread(owner: string, id: string, options: DeleteThreadOptions = {}): Promise<boolean> {
    checkOwner("owner", owner);
    checkThreadId("id", id);
    const engine = this.#engine;
    const { signal: own, ifEmpty } = checkDeleteThreadOptions(options);
    return await engine.longCalls.run("delete thread", own, (signal) =>
      deleteThread(engine, { owner, id }, { ifEmpty, signal }),
    );
  }

  async addItems(items: readonly NewItem[], options: AddOptions = {}): Promise<Item[]> {
    const prepared = prepareItems(checkItems(items), items);
    return await addItems(this.#engine, { items: prepared, ...checkAddOptions(options) });
  }

  async updateItem(owner: string, id: string, change: ItemChange, options: IfRevision = {}): Promise<Item> {
    checkOwner("owner", owner);
    const checked = checkItemChange(change);
    const snapshot = snapshotOfValue("update item", "change.value", change, checked.hasValue);
    const request = { owner, id: checkId(id), change: checked, snapshot, ...checkIfRevision(options) };
    return await updateItem(this.#engine, request);
  }

  async getItem(owner: string, id: string, options: CallOptions = {}): Promise<Item | null> {
    checkOwner("owner", owner);
    return await getItem(this.#engine, owner, checkId(id), checkCallOptions(options).signal);
  }

  async listItems(query: ItemQuery): Promise<Item[]> {
    return await listItems(this.#engine, checkItemQuery(query));
  }

  async countItems(filter: ItemFilter): Promise<number> {
    return await countItems(this.#engine, checkItemFilter(filter));
  }

  async deleteItems(owner: string, ids: readonly string[], options: CallOptions = {}): Promise<number> {
    checkOwner("owner", owner);
    const engine = this.#engine;
    const checked = checkIds(ids);
    const { signal: own } = checkCallOptions(options);
    return await engine.longCalls.run("delete items", own, (signal) => deleteItems(engine, owner, checked, signal));
  }

  async deleteItemsWhere(filter: ItemFilter): Promise<number> {
    const engine = this.#engine;
    const { signal: own, ...checked } = checkItemFilter(filter);
    return await engine.longCalls.run("delete items", own, (signal) =>
      deleteItemsWhere(engine, { ...checked, signal }),
    );
  }

  async search(query: MemorySearch): Promise<Hit[]> {
    return await search(this.#engine, checkSearch(query));
  }

  async getCollection(owner: string, collection: string, options: CallOptions = {}): Promise<Collection | null> {
    checkOwner("owner", owner);
    checkCollectionName("collection", collection);
    const { signal } = checkCallOptions(options);
    return await this.#engine.session.run("get collection", signal, async (deadline) => {
      const space = await findSpace(this.#engine, owner, collection, deadline);
      return space === null ? null : collectionOfSpace(space);
    });
  }

  async listCollections(query: CollectionQuery): Promise<Collection[]> {
    const { owner, after, limit, signal } = checkCollectionQuery(query);
    return await this.#engine.session.run("list collections", signal, async (deadline) =>
      (await listSpaces(this.#engine, owner, after, limit, deadline)).map(collectionOfSpace),
    );
  }

  async listOwners(query: OwnerQuery = {}): Promise<string[]> {
    const { after, limit, signal } = checkOwnerQuery(query);
    return await this.#engine.session.run("list owners", signal, (deadline) =>
      listOwners(this.#engine, after, limit, deadline),
    );
  }

  async deleteCollection(owner: string, collection: string, options: CallOptions = {}): Promise<boolean> {
    checkOwner("owner", owner);
    checkCollectionName("collection", collection);
    const engine = this.#engine;
    const { signal: own } = checkCallOptions(options);
    return await engine.longCalls.run("delete collection", own, (signal) =>
      deleteCollection(engine, owner, collection, signal),
    );
  }

  async reembed(options: ReembedOptions): Promise<ReembedResult> {
    const [embedder = null] = this.#engine.options.embedders;
    const engine = this.#engine;
    const { signal: own, ...checked } = checkReembedOptions(options, embedder);
    return await engine.longCalls.run("re-embed", own, (signal) => reembed(engine, { ...checked, signal }));
  }

  async createVectorIndex(dimensions: number, options: VectorIndexOptions = {}): Promise<string> {
    const engine = this.#engine;
    const { signal: own, ...checked } = checkVectorIndex(dimensions, options);
    return await engine.longCalls.run("create vector index", own, (signal) =>
      createVectorIndex(engine, { ...checked, signal }),
    );
  }

  async dropVectorIndex(dimensions: number, options: VectorIndexOptions = {}): Promise<boolean> {
    const engine = this.#engine;
    const { signal: own, ...checked } = checkVectorIndex(dimensions, options);
    return await engine.longCalls.run("drop vector index", own, (signal) =>
      dropVectorIndex(engine, { ...checked, signal }),
    );
  }

  async forgetOwner(owner: string, options: CallOptions = {}): Promise<ForgetResult> {
    checkOwner("owner", owner);
    const engine = this.#engine;
    const { signal: own } = checkCallOptions(options);
    return await engine.longCalls.run("forget owner", own, (signal) => forgetOwner(engine, owner, signal));
  }

  async prune(policy: MemoryPrunePolicy): Promise<MemoryPruneResult> {
    const engine = this.#engine;
    const { signal: own, ...checked } = checkMemoryPolicy(policy);
    return await engine.longCalls.run("prune memory", own, (signal) => pruneMemory(engine, { ...checked, signal }));
  }

  async health(options: CallOptions = {}): Promise<StorageHealth> {
    const { signal } = checkCallOptions(options);
    const start = performance.now();
    try {
      await this.#engine.session.ping(signal);
      return { ok: true, latencyMs: performance.now() - start };
    } catch (error) {
      return { ok: false, latencyMs: performance.now() - start, error: error as CheckpointError };
    }
  }

  async status(): Promise<MemoryStatus> {
    return this.#engine.session.status();
  }

  async migrate(mode: MigrateMode = "apply"): Promise<string[]> {
    const { dialect, session } = this.#engine;
    const checked = checkMigrateMode(mode);
    return await session.runUnopened("migrate schema", undefined, (deadline) => dialect.migrate(checked, deadline));
  }

  on<Name extends (typeof EVENTS)[number]>(event: Name, listener: (event: StorageEvents[Name]) => void): () => void {
    oneOf("event", event, EVENTS);
    if (typeof listener !== "function") throw invalidArgument("listener", "a function", listener);
    return this.#engine.events.on(event, listener);
  }

  async close(options: CloseOptions = {}): Promise<void> {
    const { timeoutMs } = checkCloseOptions(options);
    this.#closing ??= this.#close(timeoutMs);
    await this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    const { longCalls, session } = this.#engine;
    this.#engine = refusing(this.#engine);
    await longCalls.end(timeoutMs);
    await session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Checks an id to look up. `null`: a text that is no id of ours, under which there is nothing. */
function checkId(id: unknown): string | null {
  if (typeof id !== "string") throw invalidArgument("id", "a string", id);
  return parseId(id);
}

function collectionOfSpace(space: SpaceRow): Collection {
  const { owner, collection, dimensions, model, items, nextModel, nextDimensions, createdAt } = space;
  return {
    owner,
    collection,
    language: languageOf(space),
    ...(dimensions !== null && { dimensions }),
    ...(model !== null && { model }),
    items,
    ...(nextModel !== null && { reembedding: { model: nextModel, dimensions: nextDimensions as number } }),
    createdAt,
  };
}
