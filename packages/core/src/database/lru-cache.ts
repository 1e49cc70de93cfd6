/** Entries that a cache keeps unless it is told otherwise: more than a domain has statements. */
const MAX_ENTRIES = 500;

/** A cache that evicts the entries that were used the longest time ago, once it has too many. */
export class LruCache<Key, Value> {
  readonly #maxEntries: number;
  /** Least recently used first. */
  readonly #entries = new Map<Key, Value>();

  constructor(maxEntries = MAX_ENTRIES) {
    this.#maxEntries = maxEntries;
  }

  /** Returns the value of a key, or makes it. */
  get(key: Key, make: () => Value): Value {
    let value = this.#entries.get(key);
    if (value === undefined) value = make();
    else this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#maxEntries) this.#evictOldest();
    return value;
  }

  #evictOldest(): void {
    for (const key of this.#entries.keys()) {
      this.#entries.delete(key);
      return;
    }
  }
}
