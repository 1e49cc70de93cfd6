import { Addition, type Step, updateRecords } from "../records/records.ts";
import { THREADS } from "./tables.ts";

/** Changes of the numbers of items that threads have: each commit that adds or removes items changes them too. */
export class ThreadCounts {
  readonly #counts = new Map<string, { readonly owner: string; readonly id: string; items: number }>();

  /** Counts items of a thread. `id`: `null` if they hang on none. */
  add(owner: string, id: string | null, items: number): void {
    if (id === null) return;
    const key = `${owner}\0${id}`;
    const count = this.#counts.get(key);
    if (count === undefined) this.#counts.set(key, { owner, id, items });
    else count.items += items;
  }

  /** Returns the steps, in one order for all clients. Guard: a thread that gets items is there. */
  steps(): Step[] {
    const now = Date.now();
    return [...this.#counts.entries()]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, { owner, id, items }]) =>
        updateRecords(THREADS, { owner, id }, { items: new Addition(items), updatedAt: now }, items > 0 ? 1 : null),
      );
  }
}
