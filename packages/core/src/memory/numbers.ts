import { randomInt } from "node:crypto";

/** Numbers of items and spaces: they stand for ids wherever there are many rows. All are exact as JavaScript numbers. */

/** Milliseconds from 1970 to 2020, where the numbers of items begin: so they last until 2089. */
const START_MS = Date.UTC(2020, 0, 1);
/** Numbers of one millisecond. */
const PER_MS = 4_096;

/**
 * Makes numbers of items by the time, each above the one before. Order within a space does not depend on clocks: a commit's numbers are above
 * the space's last one, which its guard sees to. So a clock that is ahead changes the numbers of the spaces that it was used for, and
 * of no others.
 */
class NumberClock {
  #last = 0;

  /** Returns a number above `last`. */
  next(last: number): number {
    this.#last = Math.max((Math.floor(Date.now()) - START_MS) * PER_MS, this.#last + 1);
    return Math.max(this.#last, last + 1);
  }

  /** Returns a number that others will not have reached in so many milliseconds, in a space whose last one is `last`. */
  ahead(last: number, milliseconds: number): number {
    return this.next(last) + milliseconds * PER_MS;
  }
}

/** The clock of this process. */
export const numberClock = new NumberClock();

/** Makes the number of a space: at random, since nothing else of it is the same in all databases. Above 0. */
export function newSpaceNumber(): number {
  return 1 + randomInt(2 ** 48 - 2);
}
