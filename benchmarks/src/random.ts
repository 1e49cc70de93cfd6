/** Seeded random numbers: every run measures the same data. */
export interface Random {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
  /** A number from 0 to below 1. */
  unit(): number;
  pick<T>(values: readonly T[]): T;
  /** A text of `length` characters out of an alphabet. */
  text(length: number, alphabet: string): string;
}

export const HEX = "0123456789abcdef";
export const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Mulberry32, by Tommy Ettinger: small, fast, and random enough for test data. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const unit = () => next() / 2 ** 32;
  const below = (limit: number) => Math.floor(unit() * limit);
  return {
    below,
    unit,
    pick: (values) => values[below(values.length)] as (typeof values)[number],
    text: (length, alphabet) => Array.from({ length }, () => alphabet[below(alphabet.length)]).join(""),
  };
}
