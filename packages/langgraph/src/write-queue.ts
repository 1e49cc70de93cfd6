import { CheckpointError, type CheckpointErrorCode, type CheckpointWrite } from "@waymark/core";
import { keyOf, mergeWrites, type Target } from "./pending-writes.ts";

/** So many bytes of writes are held for checkpoints that have not come yet. */
const MAX_HELD_BYTES = 64_000_000;

/** Errors that are the fault of what was to be appended: other writes may pass. */
const OWN_FAULT: ReadonlySet<CheckpointErrorCode> = new Set([
  "INVALID_ARGUMENT",
  "UNSUPPORTED_VALUE",
  "STATE_TOO_LARGE",
]);

interface Writes {
  readonly writes: readonly CheckpointWrite[];
  /** How large they are, as text. */
  readonly bytes: number;
}

/** Writes on their way, and whom to tell. */
interface Batch extends Writes {
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** What goes on about one checkpoint. */
interface Queue {
  readonly target: Target;
  /** To be appended, in the order in which they were given. */
  readonly waiting: Batch[];
  appending: boolean;
  /** How many puts of the checkpoint are under way. */
  puts: number;
  /** Ends when those puts have. Never rejects. */
  settled: Promise<unknown>;
  /** How many puts have stored it. */
  stored: number;
}

/** Appends writes to a checkpoint. `false`: there is no such checkpoint. */
export type AppendWrites = (target: Target, writes: readonly CheckpointWrite[]) => Promise<boolean>;

/**
 * Brings writes to checkpoints, those of a checkpoint in the order in which they were given: what is given while others are on
 * their way goes together, after them.
 *
 * LangGraph gives writes of a checkpoint before it has put that checkpoint, and does not wait in between; now and then, of one
 * that it will never put. So writes wait for a put that is under way. Where none is, they are held in memory and acknowledged,
 * and the put that comes later brings them along before it returns. Nothing is lost by acknowledging them so early: writes are
 * read with their checkpoint or not at all, and what ends this process before that put ends the put as well. If they do not get
 * through then, the put rejects, and they are held for its repetition.
 */
export class WriteQueue {
  readonly #append: AppendWrites;
  readonly #queues = new Map<string, Queue>();
  /** Acknowledged writes of checkpoints that are not there, the oldest first. */
  readonly #held = new Map<string, { readonly target: Target; readonly batches: readonly Writes[] }>();
  #heldBytes = 0;

  constructor(append: AppendWrites) {
    this.#append = append;
  }

  async add(target: Target, writes: Writes): Promise<void> {
    await this.#send(this.#queue(target), writes, "behind");
  }

  /** Stores the target, then what was held for it. */
  async put<Result>(target: Target, store: () => Promise<Result>): Promise<Result> {
    const queue = this.#queue(target);
    queue.puts += 1;
    const storing = store();
    let sending: Promise<void> | undefined;
    const settled = storing.then(
      () => {
        queue.puts -= 1;
        queue.stored += 1;
        sending = this.#sendHeld(queue, this.#release(keyOf(target)));
      },
      () => {
        queue.puts -= 1;
      },
    );
    queue.settled = Promise.all([queue.settled, settled]);
    try {
      const result = await storing;
      await settled;
      await sending;
      return result;
    } finally {
      this.#tidy(queue);
    }
  }

  /** Waits for what is put of a thread, then drops what is held of it. */
  async settle(threadId: string): Promise<void> {
    const queues = [...this.#queues.values()].filter(({ target }) => target.threadId === threadId);
    await Promise.all(queues.map(({ settled }) => settled));
    for (const [key, { target }] of this.#held) if (target.threadId === threadId) this.#release(key);
  }

  /** Each by itself, so that one that is refused takes no other with it. What only did not get through is held again. */
  async #sendHeld(queue: Queue, held: readonly Writes[]): Promise<void> {
    const sent = [...held].reverse().map((writes) =>
      this.#send(queue, writes, "ahead").catch((error: unknown) => {
        if (!isOwnFault(error)) this.#hold(queue.target, writes);
        throw error;
      }),
    );
    await Promise.allSettled(sent);
    await Promise.all(sent);
  }

  #queue(target: Target): Queue {
    const key = keyOf(target);
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { target, waiting: [], appending: false, puts: 0, settled: Promise.resolve(), stored: 0 };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #tidy(queue: Queue): void {
    if (!queue.appending && queue.puts === 0) this.#queues.delete(keyOf(queue.target));
  }

  async #send(queue: Queue, writes: Writes, place: "ahead" | "behind"): Promise<void> {
    await new Promise<void>((done, failed) => {
      const batch = { ...writes, done, failed };
      if (place === "ahead") queue.waiting.unshift(batch);
      else queue.waiting.push(batch);
      if (!queue.appending) void this.#appendAll(queue);
    });
  }

  async #appendAll(queue: Queue): Promise<void> {
    queue.appending = true;
    while (queue.waiting.length > 0) {
      if (queue.puts > 0) await queue.settled;
      else await this.#appendBatches(queue, queue.waiting.splice(0));
    }
    queue.appending = false;
    this.#tidy(queue);
  }

  /** Never rejects. */
  async #appendBatches(queue: Queue, batches: readonly Batch[]): Promise<void> {
    const { target, stored } = queue;
    try {
      const found = await this.#append(target, mergeWrites(batches.flatMap(({ writes }) => writes)));
      if (!found && (queue.puts > 0 || queue.stored > stored)) {
        queue.waiting.unshift(...batches); // it was put meanwhile
        return;
      }
      if (!found) for (const batch of batches) this.#hold(target, batch);
      for (const { done } of batches) done();
    } catch (error) {
      if (batches.length > 1 && isOwnFault(error)) {
        for (const batch of batches) await this.#appendBatches(queue, [batch]);
      } else {
        for (const { failed } of batches) failed(error);
      }
    }
  }

  #hold(target: Target, { writes, bytes }: Writes): void {
    const key = keyOf(target);
    const before = this.#held.get(key)?.batches ?? [];
    this.#held.set(key, { target, batches: [...before, { writes, bytes }] });
    this.#heldBytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#heldBytes <= MAX_HELD_BYTES || oldest === key) break;
      this.#release(oldest);
    }
  }

  #release(key: string): readonly Writes[] {
    const { batches = [] } = this.#held.get(key) ?? {};
    this.#held.delete(key);
    this.#heldBytes -= batches.reduce((sum, { bytes }) => sum + bytes, 0);
    return batches;
  }
}

function isOwnFault(error: unknown): boolean {
  return error instanceof CheckpointError && OWN_FAULT.has(error.code);
}
