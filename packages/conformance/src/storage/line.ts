import type { CheckpointStorage } from "@waymark/core";
import { expect } from "vitest";
import { checkpointOf, collect } from "./bench.ts";
import { conversation } from "./conversations.ts";
import { difference } from "./sameness.ts";

/** How a state is made again: what stands in a checkpoint's name, as JSON. */
interface Recipe {
  readonly seed: number;
  readonly turns: number;
  readonly forkedAt: number;
}

/** Whoever has not seen a state, or has seen it in a process that is gone, knows it by the checkpoint's name. */
function stateOf(name: string): unknown {
  const { seed, turns, forkedAt } = JSON.parse(name) as Recipe;
  return conversation(seed, turns, { forkedAt });
}

/** An agent at work: turn after turn, and at times from an old checkpoint anew. It knows what was acknowledged. */
export class Line {
  readonly agentId: string;
  readonly namespace: string;
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

  /** One turn more than in the checkpoint before. */
  async storeNext(storage: Pick<CheckpointStorage, "storeCheckpoint">, metadata = {}): Promise<string> {
    const { seed, turns, forkedAt } = this.#recipe;
    const forked = forkedAt < turns;
    return await this.#store(
      storage,
      { seed, turns: turns + 1, forkedAt: forked ? forkedAt : turns + 1 },
      this.acknowledged.at(-1),
      metadata,
    );
  }

  /** From the checkpoint with this place among the acknowledged ones, whether or not it is there any more. */
  async storeFork(storage: Pick<CheckpointStorage, "storeCheckpoint">, place: number): Promise<string> {
    const parentId = this.acknowledged[place];
    const { turns } = (parentId === undefined ? undefined : this.#recipes.get(parentId)) ?? this.#recipe;
    return await this.#store(storage, { seed: this.#seed, turns: turns + 2, forkedAt: turns }, parentId, {});
  }

  async #store(
    storage: Pick<CheckpointStorage, "storeCheckpoint">,
    recipe: Recipe,
    parentId: string | undefined,
    metadata: Readonly<Record<string, boolean>>,
  ): Promise<string> {
    const { agentId, namespace } = this;
    const name = JSON.stringify(recipe);
    const parent = parentId === undefined ? {} : { parentId };
    const checkpoint = checkpointOf(agentId, { namespace, name, state: stateOf(name), metadata, ...parent });
    this.#recipe = recipe;
    const id = await storage.storeCheckpoint(checkpoint);
    this.acknowledged.push(id);
    this.#recipes.set(id, recipe);
    return id;
  }
}

/** Each checkpoint that is listed comes back, with the state that its name tells. Returns the ids, newest first. */
export async function readAll(storage: CheckpointStorage, agentId: string): Promise<string[]> {
  const items = await collect(storage.iterateCheckpoints({ agentId }));
  for (const { id, name } of items) {
    const checkpoint = await storage.retrieveCheckpoint(id);
    expect(checkpoint, `${id}, which is listed`).not.toBeNull();
    expect(difference(checkpoint?.state, stateOf(name), id)).toBeNull();
  }
  return items.map(({ id }) => id);
}
