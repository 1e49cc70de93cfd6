import { type Snapshot, textOf } from "../codec/snapshot.ts";
import type { ChainState } from "./chain.ts";

/**
 * Recent states, by the id of their checkpoint, and the newest of each timeline. A checkpoint never changes, so a cached state
 * is always right; whether it is still stored, only the database knows.
 */
export class StateCache {
  readonly #maxBytes: number;
  readonly #latest = new Map<string, string>();
  /** Least recently used first. */
  readonly #recent = new Map<string, Cached>();
  /** States that are the base of a newer one: their timeline goes on from that one, so they are evicted first. */
  readonly #superseded = new Map<string, Cached>();
  /** Text of the state that was read from here last, joined: it is most often the latest, and read again. */
  #lastText: { readonly snapshot: Snapshot; readonly text: string; readonly bytes: number } | null = null;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  find(id: string): ChainState | undefined {
    const found = this.#recent.get(id);
    if (found === undefined) return this.#superseded.get(id)?.state;
    this.#recent.delete(id);
    this.#recent.set(id, found);
    return found.state;
  }

  /** Returns the state with this id, if it is one of this timeline. */
  getIn(timeline: string, id: string): ChainState | undefined {
    return (this.#recent.get(id) ?? this.#superseded.get(id))?.timeline === timeline ? this.find(id) : undefined;
  }

  /** Returns the newest state of a timeline that was stored or read. */
  latestOf(timeline: string): ChainState | undefined {
    const id = this.#latest.get(timeline);
    return id === undefined ? undefined : this.find(id);
  }

  /** Returns the text of a cached state. Joining its chunks takes half as long as parsing them: the last text is kept. */
  textOf({ id, snapshot }: ChainState): string {
    if (this.#lastText?.snapshot === snapshot) return this.#lastText.text;
    this.#dropText();
    const text = textOf(snapshot);
    const isWide = text.length < snapshot.stateBytes;
    const bytes = isWide ? 2 * text.length : text.length;
    this.#evict([this.#superseded], this.#maxBytes - bytes);
    const isCached = this.#recent.has(id) || this.#superseded.has(id); // it may have been evicted just now
    if (isCached && this.#bytes + bytes <= this.#maxBytes) {
      this.#lastText = { snapshot, text, bytes };
      this.#bytes += bytes;
    }
    return text;
  }

  #dropText(): void {
    this.#bytes -= this.#lastText?.bytes ?? 0;
    this.#lastText = null;
  }

  /** Adds a state. `supersedes`: id of its base, which the timeline no longer goes on from. */
  put(timeline: string, state: ChainState, supersedes: string | null): void {
    const bytes = memoryBytes(state);
    if (bytes > this.#maxBytes) return;
    this.forget(state.id);
    const superseded = supersedes === null ? undefined : this.#recent.get(supersedes);
    if (superseded !== undefined) {
      this.#recent.delete(superseded.state.id);
      this.#superseded.set(superseded.state.id, superseded);
    }
    this.#recent.set(state.id, { timeline, state, bytes });
    // An older state, which was read to look back, is not the one to go on from.
    if (state.id > (this.#latest.get(timeline) ?? "")) this.#latest.set(timeline, state.id);
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes) this.#dropText();
    this.#evict([this.#superseded, this.#recent], this.#maxBytes);
  }

  forget(id: string): void {
    const found = this.#recent.get(id) ?? this.#superseded.get(id);
    if (found === undefined) return;
    this.#recent.delete(id);
    this.#superseded.delete(id);
    this.#bytes -= found.bytes;
    if (this.#lastText?.snapshot === found.state.snapshot) this.#dropText();
    if (this.#latest.get(found.timeline) === id) this.#latest.delete(found.timeline);
  }

  /** Forgets the newest state of a timeline: another client has removed rows of it, so the newest one may be gone too. */
  forgetLatest(timeline: string): void {
    const id = this.#latest.get(timeline);
    if (id !== undefined) this.forget(id);
  }

  /** Forgets states, least recently used first, until no more than so many bytes are left. */
  #evict(from: readonly ReadonlyMap<string, Cached>[], maxBytes: number): void {
    for (const states of from) {
      for (const id of states.keys()) {
        if (this.#bytes <= maxBytes) return;
        this.forget(id);
      }
    }
  }
}

interface Cached {
  readonly timeline: string;
  readonly state: ChainState;
  readonly bytes: number;
}

/** Estimates a state's memory: its text, an object per chunk, and the chunks of its last skip delta that it does not share. */
function memoryBytes({ snapshot, lastSkip, storedBytes, compression }: ChainState): number {
  const own = snapshot.memoryBytes;
  if (lastSkip === null) return own;
  return own + Math.min(lastSkip.snapshot.memoryBytes, (storedBytes - lastSkip.storedBytes) / compression);
}
