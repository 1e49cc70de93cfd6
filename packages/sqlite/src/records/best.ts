/** The first ones, in an order, of lists of which each has its own first ones. */
export class Best<Entry> {
  readonly #compare: (one: Entry, other: Entry) => number;
  readonly #limit: number;
  #entries: Entry[] = [];

  constructor(compare: (one: Entry, other: Entry) => number, limit: number) {
    this.#compare = compare;
    this.#limit = limit;
  }

  add(entries: readonly Entry[]): void {
    this.#entries = [...this.#entries, ...entries].sort(this.#compare).slice(0, this.#limit);
  }

  all(): Entry[] {
    return this.#entries;
  }
}
