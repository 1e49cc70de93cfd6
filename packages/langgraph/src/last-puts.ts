import type { Line } from "./checkpoint-id.ts";
import type { Target } from "./pending-writes.ts";
import type { Dumped } from "./serializer.ts";

const MAX_LINES = 64;
/** Of all values, as text; about as much again is what was parsed of it. */
const MAX_BYTES = 32_000_000;

/** A channel's value as it was stored. */
export interface Channel extends Dumped {
  readonly version: number | string | undefined;
}

interface LastPut extends Target {
  readonly row: string;
  readonly channels: ReadonlyMap<string, Channel>;
  readonly bytes: number;
}

/**
 * What was put last in each of some lines. Most channels are in the next checkpoint as they were in this one, with the same
 * version: they are not written out anew. Of the others most parts are (a history has one more message), see {@link share}.
 */
export class LastPuts {
  readonly #puts = new Map<string, LastPut>();
  #bytes = 0;

  of(line: Line): { readonly checkpointId: string; readonly channels: ReadonlyMap<string, Channel> } | undefined {
    return this.#puts.get(keyOf(line));
  }

  /** `row`: where it was stored. */
  add(target: Target, row: string, channels: ReadonlyMap<string, Channel>): void {
    const key = keyOf(target);
    this.#remove(key);
    const bytes = [...channels.values()].reduce((sum, channel) => sum + channel.data.byteLength, 0);
    this.#puts.set(key, { ...target, row, channels, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#puts.keys()) {
      if (this.#puts.size <= MAX_LINES && this.#bytes <= MAX_BYTES) return;
      this.#remove(oldest);
    }
  }

  /** To be told of what is read: somebody else may have put the same checkpoint again. */
  check({ row, ...target }: Target & { readonly row: string }): void {
    const key = keyOf(target);
    const last = this.#puts.get(key);
    if (last?.checkpointId === target.checkpointId && last.row !== row) this.#remove(key);
  }

  forget(threadId: string): void {
    for (const [key, last] of this.#puts) if (last.threadId === threadId) this.#remove(key);
  }

  #remove(key: string): void {
    this.#bytes -= this.#puts.get(key)?.bytes ?? 0;
    this.#puts.delete(key);
  }
}

/**
 * Data that was parsed, with those parts of earlier data in place of its own that are the same; what is new is frozen. A storage
 * recognises what is frozen and what it had before, and neither writes it out nor compares it.
 */
export function share<Data>(earlier: Data | undefined, data: Data): Data {
  if (data === earlier) return data;
  if (typeof data !== "object" || data === null || data instanceof Uint8Array) return data;
  const members = data as Record<string, unknown>;
  const before = typeof earlier === "object" && Array.isArray(earlier) === Array.isArray(data) ? earlier : null;
  const keys = Object.keys(members);
  const keysBefore = before === null ? [] : Object.keys(before);
  let same = before !== null && keys.length === keysBefore.length;
  for (const [at, key] of keys.entries()) {
    const member = members[key];
    const memberBefore = before !== null && Object.hasOwn(before, key) ? Reflect.get(before, key) : undefined;
    const shared = share(memberBefore, member);
    if (shared !== member) members[key] = shared;
    same &&= Object.is(shared, memberBefore) && key === keysBefore[at];
  }
  return same ? (before as Data) : Object.freeze(data);
}

function keyOf({ threadId, namespace }: Line): string {
  return JSON.stringify([threadId, namespace]);
}
