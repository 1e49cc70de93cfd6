import { randomInt } from "node:crypto";

/** Numbers of items and spaces: they stand for ids wherever there are many rows. All are exact as JavaScript numbers. */

/** Milliseconds from 1970 to 2020, where the numbers of items begin: so they last until 2089. */
const START_MS = Date.UTC(2020, 0, 1);
/** Numbers of one millisecond. */
const PER_MS = 4_096;

/**
 * Makes numbers of items above all that this process has made or read: an item that is added after reading the last one comes after it,
 * whatever the machines' clocks say. Two processes may make the same number; the primary key decides, and one tries again.
 */
class NumberClock {
  #last = 0;

  next(): number {
    const now = (Math.floor(Date.now()) - START_MS) * PER_MS + randomInt(PER_MS);
    this.#last = Math.max(now, this.#last + 1);
    return this.#last;
  }

  observe(number: number): void {
    if (number > this.#last && number < Number.MAX_SAFE_INTEGER / 2) this.#last = number;
  }
}

/** The clock of this process. */
export const numberClock = new NumberClock();

/** Makes the number of a space: at random, since nothing else of it is the same in all databases. Above 0. */
export function newSpaceNumber(): number {
  return 1 + randomInt(2 ** 48 - 2);
}
