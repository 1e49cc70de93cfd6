import type { Call } from "../calls.ts";
import { Dice } from "../dice.ts";

/** Makes ids for chosen calls, the same in each run. */
export const dice = new Dice(0);

const [e, otherE, aloneE, r, otherR, w, nobody] = dice.uuids(7);

/** What chosen calls are about: two entities of the first agent, and one of the second. */
export const E = e as string;
export const OTHER_E = otherE as string;
export const ALONE_E = aloneE as string;
/** A room of the first agent, and one of the second, in the same world. */
export const R = r as string;
export const OTHER_R = otherR as string;
export const W = w as string;
/** Is not there. */
export const NOBODY = nobody as string;

export function call(agent: number, method: string, ...args: readonly unknown[]): Call {
  return { agent, method, args };
}

/** Members of a memory's content that say what it is an example of, for `differences`. */
export const EXAMPLES = {
  likeZero: "unlike a zero vector",
  length: "a vector of another length",
  digits: "a vector with more than six decimals",
  infinite: "a vector with a number that is not finite",
  fragment: "a fragment with its document's id in capitals",
  forAnother: "a memory for another agent",
} as const;
