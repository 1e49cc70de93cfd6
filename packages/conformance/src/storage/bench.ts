import { randomUUID } from "node:crypto";
import type { CheckpointStorage, CommonStorageOptions, NamedAgentCheckpoint } from "@waymark/core";
import { expect } from "vitest";
import type { ConformanceStore, ConformanceTarget, Remote } from "./target.ts";
import { startWorker, type Worker } from "./workers.ts";

/**
 * What the tests of one target work on: one store for all of them, which no test cleans up, since each has agents of its
 * own.
 */
export class Bench {
  readonly target: ConformanceTarget;
  readonly #stores: ConformanceStore[] = [];
  readonly #storages: CheckpointStorage[] = [];
  readonly #workers: Worker[] = [];
  #store: ConformanceStore | undefined;
  #storage: CheckpointStorage | undefined;
  #longLine: Promise<LongLine> | undefined;

  constructor(target: ConformanceTarget) {
    this.target = target;
  }

  async setUp(): Promise<void> {
    this.#store = await this.createStore();
    this.#storage = this.open();
  }

  /** Closes what is open, newest first: a store must outlive its storages. */
  async tearDown(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await Promise.all(this.#storages.map((storage) => storage.close()));
    for (const store of this.#stores) await store.dispose();
  }

  /** How an encoding is called in this target's rows. */
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

  /** Another storage on the store of all tests, or on one of the test's own. */
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

  /** A storage on a store, in a process of its own whose clock is off by `skewMs`. */
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

  /** One agent with more checkpoints than a list gives by default. Made by the first test that asks; nobody changes it. */
  longLine(): Promise<LongLine> {
    this.#longLine ??= storeLine(this.storage, newAgent("long-line"), LONG_LINE);
    return this.#longLine;
  }
}

const LONG_LINE = 1_250;

export interface LongLine {
  readonly agentId: string;
  /** In the order in which they were stored. */
  readonly ids: readonly string[];
}

/** An agent that nobody else has. */
export function newAgent(purpose = "agent"): string {
  return `${purpose}-${randomUUID()}`;
}

/** A checkpoint of this agent, with something in every member that must be there. */
export function checkpointOf(agentId: string, members: Partial<NamedAgentCheckpoint> = {}): NamedAgentCheckpoint {
  return { agentId, name: "turn", state: { turn: 1 }, createdAt: 1_700_000_000_000, ...members };
}

/** Stores so many checkpoints of one agent and returns their ids in the order in which they were handed in. */
export async function storeLine(
  storage: CheckpointStorage,
  agentId: string,
  count: number,
  members: Partial<NamedAgentCheckpoint> = {},
): Promise<LongLine> {
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

/** More than any test stores: an iteration that goes round in circles ends here. */
const TOO_MANY = 20_000;

/** All that an asynchronous iterator gives. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) {
    collected.push(item);
    expect(collected.length, "an iteration that ends").toBeLessThan(TOO_MANY);
  }
  return collected;
}
