import { randomUUID } from "node:crypto";
import type { CommonMemoryOptions, Hit, Item, MemoryStorage, NewItem } from "@waymark/core/memory";
import { expect, onTestFinished } from "vitest";
import type { MemoryStorageTarget, MemoryStore, RemoteMemory } from "./target.ts";
import { type MemoryWorker, startMemoryWorker } from "./workers.ts";

/**
 * The bench of one target: a database and a storage that all tests share. Nothing is cleaned up
 * between tests: each one uses owners of its own.
 */
export class StorageBench {
  readonly #target: MemoryStorageTarget;
  #store: MemoryStore | undefined;
  #storage: MemoryStorage | undefined;

  constructor(target: MemoryStorageTarget) {
    this.#target = target;
  }

  get dropsByteOrderMarks(): boolean {
    return this.#target.dropsByteOrderMarks === true;
  }

  async setUp(): Promise<void> {
    this.#store = await this.#target.create();
    this.#storage = this.#store.open();
  }

  async tearDown(): Promise<void> {
    await this.#storage?.close();
    await this.#store?.dispose();
  }

  get #made(): MemoryStore {
    expect(this.#store, "the database, which beforeAll makes").toBeDefined();
    return this.#store as MemoryStore;
  }

  /** The storage that most tests share. */
  get storage(): MemoryStorage {
    expect(this.#storage, "the storage, which beforeAll opens").toBeDefined();
    return this.#storage as MemoryStorage;
  }

  /** Whether other processes can open the database. */
  get isShared(): boolean {
    return this.#made.remote !== undefined;
  }

  /** Opens another storage on the database, until the test ends: each has connections of its own. */
  open(options?: CommonMemoryOptions): MemoryStorage {
    const storage = this.#made.open(options);
    onTestFinished(() => storage.close());
    return storage;
  }

  openAll(count: number): MemoryStorage[] {
    return Array.from({ length: count }, () => this.open());
  }

  /** Starts a process with a memory on the database, which is gone when the test ends. */
  async startWorker(): Promise<MemoryWorker> {
    const worker = await startMemoryWorker(this.#made.remote as RemoteMemory);
    onTestFinished(() => worker.kill());
    return worker;
  }
}

/** Returns an owner that no other test uses. */
export function newOwner(): string {
  return `owner ${randomUUID()}`;
}

/** The collection of tests that need one. */
export const COLLECTION = "notes";

/** Returns an item with all required members and these. */
export function itemOf(owner: string, text: string, members: Partial<NewItem> = {}): NewItem {
  return { owner, collection: COLLECTION, text, ...members };
}

/** Adds items to a collection, as many at once as one call may have, and returns them. */
export async function addAll(storage: Pick<MemoryStorage, "addItems">, items: readonly NewItem[]): Promise<Item[]> {
  const added: Item[] = [];
  for (let at = 0; at < items.length; at += 1_000) added.push(...(await storage.addItems(items.slice(at, at + 1_000))));
  return added;
}

export async function addOne(storage: Pick<MemoryStorage, "addItems">, item: NewItem): Promise<Item> {
  const [added] = await storage.addItems([item]);
  return added as Item;
}

/** Searches the collection {@link COLLECTION} by words alone, and returns the texts of the hits. */
export async function findTexts(
  storage: Pick<MemoryStorage, "search">,
  owner: string,
  text: string,
  limit = 1_000,
): Promise<string[]> {
  return textsOf(await storage.search({ owner, collections: [COLLECTION], text, vector: null, limit }));
}

/** Searches the collection {@link COLLECTION} by a vector alone, and returns the texts of the hits. */
export async function findNear(
  storage: Pick<MemoryStorage, "search">,
  owner: string,
  vector: readonly number[] | Float32Array,
): Promise<string[]> {
  return textsOf(await storage.search({ owner, collections: [COLLECTION], vector, limit: 1_000 }));
}

export function textsOf(hits: readonly Hit[]): string[] {
  return hits.map(({ item }) => item.text);
}

/** All that an owner has, as counts: for tests that a call has changed nothing. */
export async function countsOf(storage: MemoryStorage, owner: string) {
  const collections = await storage.listCollections({ owner, limit: 1_000 });
  const threads = await storage.listThreads({ owner, limit: 1_000 });
  return {
    items: await storage.countItems({ owner }),
    collections: collections.map(({ createdAt: _, ...collection }) => collection),
    threads: threads.map(({ id, items }) => [id, items]),
  };
}
