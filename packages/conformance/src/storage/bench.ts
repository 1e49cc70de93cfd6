import { randomUUID } from "node:crypto";
import type { CheckpointStorage, CommonStorageOptions, NamedAgentCheckpoint } from "@waymark/core";
import { expect } from "vitest";
import type { ConformanceStore, ConformanceTarget, Remote } from "./target.ts";
import { startWorker, type Worker } from "./workers.ts";

/**
 * The test bench of one target: a store that all tests share, and everything that is to be closed after them. Nothing is
 * cleaned up between tests: each one uses agents of its own.
 */
export class Bench {
  readonly target: ConformanceTarget;
  readonly #stores: ConformanceStore[] = [];
  readonly #storages: CheckpointStorage[] = [];
  readonly #workers: Worker[] = [];
  #store: ConformanceStore | undefined;
  #storage: CheckpointStorage | undefined;
  #manyCheckpoints: Promise<StoredCheckpoints> | undefined;

  constructor(target: ConformanceTarget) {
    this.target = target;
  }

  async setUp(): Promise<void> {
    this.#store = await this.createStore();
    this.#storage = this.open();
  }

  /** Closes everything. Stores come last: they must outlive their storages. */
  async tearDown(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await Promise.all(this.#storages.map((storage) => storage.close()));
    for (const store of this.#stores) await store.dispose();
  }

  /** Returns the encoding that this target's rows have for a state encoded as `word`. */
  encoding(word: string): string {
    return this.target.encrypted ? `${word}+sealed` : word;
  }

  get store(): ConformanceStore {
    expect(this.#store, "the store, which beforeAll makes").toBeDefined();
    return this.#store as ConformanceStore;
  }

  /** The storage that most tests share. */
  get storage(): CheckpointStorage {
    expect(this.#storage, "the storage, which beforeAll opens").toBeDefined();
    return this.#storage as CheckpointStorage;
  }

  /** Opens another storage on the shared store, or on one that {@link createStore} made. */
  open(options?: CommonStorageOptions, store: ConformanceStore = this.store): CheckpointStorage {
    const storage = store.open(options);
    this.#storages.push(storage);
    return storage;
  }

  async createStore(): Promise<ConformanceStore> {
    const store = await this.target.create();
    this.#stores.push(store);
    return store;
  }

  /** Starts a process with a storage on a store. Its clock is `skewMs` milliseconds ahead. */
  async startWorker({
    store = this.store,
    skewMs = 0,
  }: {
    store?: ConformanceStore;
    skewMs?: number;
  } = {}): Promise<Worker> {
    const { remote } = store;
    expect(remote, "the store's remote").toBeDefined();
    const worker = await startWorker({ ...(remote as Remote), skewMs });
    this.#workers.push(worker);
    return worker;
  }

  /** Returns an agent with more checkpoints than a list returns by default. Stored once; tests only read it. */
  manyCheckpoints(): Promise<StoredCheckpoints> {
    this.#manyCheckpoints ??= storeMany(this.storage, newAgent("many"), MANY);
    return this.#manyCheckpoints;
  }
}

const MANY = 1_250;

export interface StoredCheckpoints {
  readonly agentId: string;
  /** In the order in which they were stored. */
  readonly ids: readonly string[];
}

/** Returns the id of a new agent. */
export function newAgent(purpose = "agent"): string {
  return `${purpose}-${randomUUID()}`;
}

/** Returns a checkpoint of this agent, with all required members and these. */
export function checkpointOf(agentId: string, members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId, name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...members };
}

/** Stores `count` checkpoints of one agent, a hundred at once. */
export async function storeMany(
  storage: CheckpointStorage,
  agentId: string,
  count: number,
  members: Partial<NamedAgentCheckpoint> = {},
): Promise<StoredCheckpoints> {
  const ids: string[] = [];
  const atOnce = 100;
  while (ids.length < count) {
    const first = ids.length;
    const turns = Array.from({ length: Math.min(atOnce, count - first) }, (_, index) => first + index);
    const stores = turns.map((turn) => {
      return storage.storeCheckpoint(checkpointOf(agentId, { name: `turn ${turn}`, state: { turn }, ...members }));
    });
    ids.push(...(await Promise.all(stores)));
  }
  return { agentId, ids };
}

/** More than any test stores: an iteration that never ends fails here. */
const TOO_MANY = 20_000;

/** Collects the items of an asynchronous iterator. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) {
    collected.push(item);
    expect(collected.length, "an iteration that ends").toBeLessThan(TOO_MANY);
  }
  return collected;
}
