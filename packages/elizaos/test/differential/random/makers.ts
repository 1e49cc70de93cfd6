import type { Call } from "../calls.ts";
import type { Dice } from "../dice.ts";

/** Random calls: what is called how often, and with what. */

/** Makes the arguments of a method's call, with its weight among all. `agent`: whose adapter is called. */
export interface Maker {
  readonly weight: number;
  readonly method: string;
  readonly args: (dice: Dice, agent: number) => readonly unknown[];
}

/** Chooses the next call. */
export function randomCall(dice: Dice, agent: number, makers: readonly Maker[]): Call {
  let left = dice.next() * makers.reduce((sum, { weight }) => sum + weight, 0);
  for (const { weight, method, args } of makers) {
    left -= weight;
    if (left < 0) return { agent, method, args: args(dice, agent) };
  }
  return randomCall(dice, agent, makers); // by a rounding
}
