/** Entries that a cache keeps at least: more than a domain has statements. */
const MIN_ENTRIES = 250;

/**
 * A cache that evicts entries that were not used for a long time. It has two generations, so that a use costs one lookup: when the young
 * one is full it becomes the old one, and of that go those that were not used meanwhile.
 */
export class LruCache<Key, Value> {
  readonly #minEntries: number;
  #young = new Map<Key, Value>();
  #old = new Map<Key, Value>();

  /** `minEntries`: of those that were used last, so many are kept, and never more than twice as many. */
  constructor(minEntries = MIN_ENTRIES) {
    this.#minEntries = minEntries;
  }

  /** Returns the value of a key, or makes it. */
  get(key: Key, make: () => Value): Value {
    const existing = this.#young.get(key);
    if (existing !== undefined) return existing;
    const value = this.#old.get(key) ?? make();
    if (this.#young.size >= this.#minEntries) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
    return value;
  }
}
