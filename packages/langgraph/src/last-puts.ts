import { type CheckpointAddress, type Timeline, timelineKey } from "./address.ts";
import type { Dumped } from "./serializer.ts";

const MAX_TIMELINES = 64;
/** Of all values, as text. */
const MAX_BYTES = 32_000_000;

interface LastPut extends CheckpointAddress {
  readonly revisionId: string;
  readonly channels: ReadonlyMap<string, Dumped>;
  readonly bytes: number;
}

/**
 * Cache of the last put of recent timelines. Most channels come again in the next checkpoint, unchanged, and most others change
 * in part (a history gets one more message): what is equal is shared (structural sharing). What is stored never depends on this
 * cache.
 */
export class LastPuts {
  readonly #puts = new Map<string, LastPut>();
  #bytes = 0;

  /** Returns the channels of a timeline's last put. */
  get(timeline: Timeline): ReadonlyMap<string, Dumped> | undefined {
    return this.#puts.get(timelineKey(timeline))?.channels;
  }

  /** Adds a put. `revisionId`: Waymark's id under which it was stored. */
  add(address: CheckpointAddress, revisionId: string, channels: ReadonlyMap<string, Dumped>): void {
    const key = timelineKey(address);
    this.#remove(key);
    const bytes = [...channels.values()].reduce((sum, channel) => sum + channel.bytes, 0);
    this.#puts.set(key, { ...address, revisionId, channels, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#puts.keys()) {
      if (this.#puts.size <= MAX_TIMELINES && this.#bytes <= MAX_BYTES) return;
      this.#remove(oldest);
    }
  }

  /** Drops a put if its checkpoint was read from another revision: another process has put it again. */
  dropIfStale({ revisionId, ...address }: CheckpointAddress & { readonly revisionId: string }): void {
    const key = timelineKey(address);
    const last = this.#puts.get(key);
    if (last?.checkpointId === address.checkpointId && last.revisionId !== revisionId) this.#remove(key);
  }

  dropThread(threadId: string): void {
    for (const [key, last] of this.#puts) if (last.threadId === threadId) this.#remove(key);
  }

  #remove(key: string): void {
    this.#bytes -= this.#puts.get(key)?.bytes ?? 0;
    this.#puts.delete(key);
  }
}
