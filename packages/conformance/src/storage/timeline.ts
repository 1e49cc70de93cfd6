import type { CheckpointStorage } from "@waymark/core";
import { expect } from "vitest";
import { checkpointOf, collect } from "./bench.ts";
import { conversation } from "./conversations.ts";
import { firstDifference } from "./first-difference.ts";

/** Arguments that build a state again. They are the checkpoint's name, as JSON, so that every process can check its state. */
interface Recipe {
  readonly seed: number;
  readonly turns: number;
  readonly forkedAt: number;
}

/** Builds the state of the checkpoint with this name. */
function buildState(name: string): unknown {
  const { seed, turns, forkedAt } = JSON.parse(name) as Recipe;
  return conversation(seed, turns, { forkedAt });
}

type Store = Pick<CheckpointStorage, "storeCheckpoint">;

/** An agent's timeline in one namespace: checkpoint after checkpoint, with forks. It records the acknowledged stores. */
export class Timeline {
  readonly agentId: string;
  readonly namespace: string;
  /** Ids of the stores that resolved, in this order. */
  readonly acknowledged: string[] = [];
  readonly #seed: number;
  #recipe: Recipe;
  readonly #recipes = new Map<string, Recipe>();

  constructor(
    agentId: string,
    { seed, turns = 3, namespace = "" }: { seed: number; turns?: number; namespace?: string },
  ) {
    this.agentId = agentId;
    this.namespace = namespace;
    this.#seed = seed;
    this.#recipe = { seed, turns, forkedAt: turns };
  }

  /** Stores the next checkpoint: one turn more than the one before. */
  async storeNext(storage: Store, metadata = {}): Promise<string> {
    const { seed, turns, forkedAt } = this.#recipe;
    const forked = forkedAt < turns;
    return await this.#store(
      storage,
      { seed, turns: turns + 1, forkedAt: forked ? forkedAt : turns + 1 },
      this.acknowledged.at(-1),
      metadata,
    );
  }

  /** Stores a fork from the acknowledged checkpoint at this index, which may have been deleted since. */
  async storeFork(storage: Store, index: number): Promise<string> {
    const parentId = this.acknowledged[index];
    const { turns } = (parentId === undefined ? undefined : this.#recipes.get(parentId)) ?? this.#recipe;
    return await this.#store(storage, { seed: this.#seed, turns: turns + 2, forkedAt: turns }, parentId, {});
  }

  async #store(
    storage: Store,
    recipe: Recipe,
    parentId: string | undefined,
    metadata: Readonly<Record<string, boolean>>,
  ): Promise<string> {
    const { agentId, namespace } = this;
    const name = JSON.stringify(recipe);
    const parent = parentId === undefined ? {} : { parentId };
    const checkpoint = checkpointOf(agentId, { namespace, name, state: buildState(name), metadata, ...parent });
    this.#recipe = recipe;
    const id = await storage.storeCheckpoint(checkpoint);
    this.acknowledged.push(id);
    this.#recipes.set(id, recipe);
    return id;
  }
}

/** Retrieves every checkpoint that is listed, and expects the state that its name describes. Returns the ids, newest first. */
export async function readTimelines(storage: CheckpointStorage, agentId: string): Promise<string[]> {
  const items = await collect(storage.iterateCheckpoints({ agentId }));
  for (const { id, name } of items) {
    const checkpoint = await storage.retrieveCheckpoint(id);
    expect(checkpoint, `${id}, which is listed`).not.toBeNull();
    expect(firstDifference(checkpoint?.state, buildState(name), id)).toBeNull();
  }
  return items.map(({ id }) => id);
}
