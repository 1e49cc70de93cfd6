import type { CheckpointWrite } from "@waymark/core";
import { dropRepeated, factsOf, property } from "@waymark/core/kit";
import { type CheckpointAddress, checkpointKey } from "./address.ts";

/** Bytes of writes held in memory for checkpoints that are not stored yet. */
const MAX_HELD_BYTES = 64_000_000;

/** Serialized writes of a checkpoint. */
export interface Writes {
  readonly writes: readonly CheckpointWrite[];
  /** Their size as text. */
  readonly bytes: number;
}

/** Writes that wait to be appended, and their caller's promise. */
interface Batch extends Writes {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Work on one checkpoint. */
interface Queue {
  readonly address: CheckpointAddress;
  /** To be appended, in this order. */
  readonly waiting: Batch[];
  isAppending: boolean;
  /** Number of puts of the checkpoint under way. */
  puts: number;
  /** Resolves when those puts have ended. Never rejects. */
  settled: Promise<unknown>;
  /** Number of puts that have stored the checkpoint. */
  stored: number;
}

/** Appends writes to a checkpoint. `false`: there is no such checkpoint. */
export type AppendWrites = (address: CheckpointAddress, writes: readonly CheckpointWrite[]) => Promise<boolean>;

/**
 * Queue of writes, one for each checkpoint. Appends are sequential, in the order of the calls; writes that arrive during one
 * are appended together by the next.
 *
 * LangGraph hands over writes of a checkpoint before it has put that checkpoint, and does not wait in between. Sometimes it
 * never puts the checkpoint. So writes wait for a put that is under way. If none is, they are held in memory and
 * acknowledged, and the put that comes later appends them before it resolves. Acknowledging them early loses nothing: writes
 * are only ever read with their checkpoint, and a crash of this process before that put also prevents the put. If appending
 * held writes fails, the put rejects, and they are held for the next put.
 */
export class WriteQueue {
  readonly #append: AppendWrites;
  readonly #queues = new Map<string, Queue>();
  /** Acknowledged writes of checkpoints that are not stored yet, the oldest first. */
  readonly #held = new Map<string, { readonly address: CheckpointAddress; readonly batches: readonly Writes[] }>();
  #heldBytes = 0;

  constructor(append: AppendWrites) {
    this.#append = append;
  }

  async add(address: CheckpointAddress, writes: Writes): Promise<void> {
    await this.#enqueue(this.#queue(address), writes, "last");
  }

  /** Stores a checkpoint, then appends the writes held for it. */
  async put<Result>(address: CheckpointAddress, store: () => Promise<Result>): Promise<Result> {
    const queue = this.#queue(address);
    queue.puts += 1;
    const storing = store();
    let appending: Promise<void> | undefined;
    const settled = storing.then(
      () => {
        queue.puts -= 1;
        queue.stored += 1;
        appending = this.#appendHeld(queue, this.#takeHeld(checkpointKey(address)));
      },
      () => {
        queue.puts -= 1;
      },
    );
    queue.settled = Promise.all([queue.settled, settled]);
    try {
      const result = await storing;
      await settled;
      await appending;
      return result;
    } finally {
      this.#removeIfIdle(queue);
    }
  }

  /** Waits for the puts of a thread that are under way, then drops the writes held for it. */
  async dropThread(threadId: string): Promise<void> {
    const queues = [...this.#queues.values()].filter(({ address }) => address.threadId === threadId);
    await Promise.all(queues.map(({ settled }) => settled));
    for (const [key, { address }] of this.#held) if (address.threadId === threadId) this.#takeHeld(key);
  }

  /** Appends each batch by itself, so that a refused one fails alone. Batches are held again unless they were refused. */
  async #appendHeld(queue: Queue, held: readonly Writes[]): Promise<void> {
    const appending = [...held].reverse().map((writes) =>
      this.#enqueue(queue, writes, "first").catch((error: unknown) => {
        if (!isRefused(error)) this.#hold(queue.address, writes);
        throw error;
      }),
    );
    await Promise.allSettled(appending);
    await Promise.all(appending);
  }

  #queue(address: CheckpointAddress): Queue {
    const key = checkpointKey(address);
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { address, waiting: [], isAppending: false, puts: 0, settled: Promise.resolve(), stored: 0 };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #removeIfIdle(queue: Queue): void {
    if (!queue.isAppending && queue.puts === 0) this.#queues.delete(checkpointKey(queue.address));
  }

  async #enqueue(queue: Queue, writes: Writes, position: "first" | "last"): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const batch = { ...writes, resolve, reject };
      if (position === "first") queue.waiting.unshift(batch);
      else queue.waiting.push(batch);
      if (!queue.isAppending) void this.#appendAll(queue);
    });
  }

  async #appendAll(queue: Queue): Promise<void> {
    queue.isAppending = true;
    while (queue.waiting.length > 0) {
      if (queue.puts > 0) await queue.settled;
      else await this.#appendBatches(queue, queue.waiting.splice(0));
    }
    queue.isAppending = false;
    this.#removeIfIdle(queue);
  }

  /** Never rejects. */
  async #appendBatches(queue: Queue, batches: readonly Batch[]): Promise<void> {
    const { address, stored } = queue;
    try {
      const wasFound = await this.#append(address, dropRepeated(batches.flatMap(({ writes }) => writes)));
      if (!wasFound && (queue.puts > 0 || queue.stored > stored)) {
        queue.waiting.unshift(...batches); // a put has begun or ended since
        return;
      }
      if (!wasFound) for (const batch of batches) this.#hold(address, batch);
      for (const { resolve } of batches) resolve();
    } catch (error) {
      if (batches.length > 1 && isRefused(error)) {
        for (const batch of batches) await this.#appendBatches(queue, [batch]);
      } else {
        for (const { reject } of batches) reject(error);
      }
    }
  }

  #hold(address: CheckpointAddress, { writes, bytes }: Writes): void {
    const key = checkpointKey(address);
    const before = this.#held.get(key)?.batches ?? [];
    this.#held.set(key, { address, batches: [...before, { writes, bytes }] });
    this.#heldBytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#heldBytes <= MAX_HELD_BYTES || oldest === key) break;
      this.#takeHeld(oldest);
    }
  }

  #takeHeld(key: string): readonly Writes[] {
    const { batches = [] } = this.#held.get(key) ?? {};
    this.#held.delete(key);
    this.#heldBytes -= batches.reduce((sum, { bytes }) => sum + bytes, 0);
    return batches;
  }
}

/** Returns whether the storage refuses the writes themselves: they would fail again, and others may pass. */
function isRefused(error: unknown): boolean {
  return factsOf(error)?.blame === "call" && property(error, "code") !== "ABORTED";
}
