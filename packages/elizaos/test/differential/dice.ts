import { randomOf } from "../vectors.ts";

/** Choices by chance, the same in each run with the same seed. */
export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  /** A number from 0 to 1. */
  next(): number {
    return this.#random();
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  /** Some of them, none to `most`; one may be there twice. */
  some<Item>(items: readonly Item[], most: number): Item[] {
    return Array.from({ length: this.below(most + 1) }, () => this.pick(items));
  }

  /** One of them, or at times none. */
  maybe<Item>(share: number, make: () => Item): Item | undefined {
    return this.chance(share) ? make() : undefined;
  }

  uuid(): string {
    const hex = (length: number) => Array.from({ length }, () => this.below(16).toString(16)).join("");
    return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
  }

  uuids(count: number): string[] {
    return Array.from({ length: count }, () => this.uuid());
  }
}
