import type { StoredChain } from "./chain.ts";

/**
 * Recent states, by the id of their checkpoint, and the last one of each line (an agent's namespace). A checkpoint never
 * changes, so what is cached is always right; whether it is still there, only the database knows.
 */
export class StateCache {
  readonly #maxBytes: number;
  readonly #lines = new Map<string, string>();
  /** Least recently used first. */
  readonly #recent = new Map<string, Cached>();
  /** States that a newer one is the difference to: their line goes on from that, so they are the first to go. */
  readonly #superseded = new Map<string, Cached>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  find(id: string): StoredChain | undefined {
    const found = this.#recent.get(id);
    if (found === undefined) return this.#superseded.get(id)?.chain;
    this.#recent.delete(id);
    this.#recent.set(id, found);
    return found.chain;
  }

  /** The state with this id, if it is one of the line's. */
  get(line: string, id: string): StoredChain | undefined {
    return (this.#recent.get(id) ?? this.#superseded.get(id))?.line === line ? this.find(id) : undefined;
  }

  /** The newest state that was stored or read in a line. */
  latest(line: string): StoredChain | undefined {
    const id = this.#lines.get(line);
    return id === undefined ? undefined : this.find(id);
  }

  /** `supersedes`: the id of the state that it replaces as the one to go on from. */
  put(line: string, chain: StoredChain, supersedes: string | null): void {
    const bytes = bytesOf(chain);
    if (bytes > this.#maxBytes) return;
    this.forget(chain.id);
    const superseded = supersedes === null ? undefined : this.#recent.get(supersedes);
    if (superseded !== undefined) {
      this.#recent.delete(superseded.chain.id);
      this.#superseded.set(superseded.chain.id, superseded);
    }
    this.#recent.set(chain.id, { line, chain, bytes });
    // One that was read to look back is not what the line goes on from.
    if (chain.id > (this.#lines.get(line) ?? "")) this.#lines.set(line, chain.id);
    this.#bytes += bytes;
    this.#evict();
  }

  forget(id: string): void {
    const found = this.#recent.get(id) ?? this.#superseded.get(id);
    if (found === undefined) return;
    this.#recent.delete(id);
    this.#superseded.delete(id);
    this.#bytes -= found.bytes;
    if (this.#lines.get(found.line) === id) this.#lines.delete(found.line);
  }

  /** The last state of a line, which somebody has removed rows of. */
  forgetLine(line: string): void {
    const id = this.#lines.get(line);
    if (id !== undefined) this.forget(id);
  }

  #evict(): void {
    for (const states of [this.#superseded, this.#recent]) {
      for (const id of states.keys()) {
        if (this.#bytes <= this.#maxBytes) return;
        this.forget(id);
      }
    }
  }
}

interface Cached {
  readonly line: string;
  readonly chain: StoredChain;
  readonly bytes: number;
}

/** What a state holds in memory, about: its text, an object for each piece, and what of its anchor it does not share. */
function bytesOf({ snapshot, anchor, storedBytes, compression }: StoredChain): number {
  const own = snapshot.memoryBytes;
  if (anchor === null) return own;
  return own + Math.min(anchor.snapshot.memoryBytes, (storedBytes - anchor.storedBytes) / compression);
}
