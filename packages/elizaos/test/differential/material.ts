import { Dice } from "./dice.ts";

/** What the arguments of calls are made of. */

/** The agents whose adapters are called. The third comes and goes. */
export const AGENTS = [
  "00000000-0000-4000-8000-0000000000a0",
  "00000000-0000-4000-8000-0000000000a1",
  "00000000-0000-4000-8000-0000000000a2",
] as const;

export const NAMES = [
  "Ann",
  "ann",
  'Bob "x"',
  "Bob",
  "n",
  "line\nbreak",
  "back\\slash",
  "ÄÖ",
  "x%y",
  "a_b",
  "😀 joe",
  "",
];
export const TAGS = ["a", "b", "queue", '"q"', "a\nb", ""];
export const TEXTS = ["hello", "hallo", "hello there", "Wörld", "w😀rld", "a \\ b", ""];
export const TABLES = ["messages", "facts"] as const;
/** Lengths of vectors that plugin-sql has columns for. */
export const DIMENSIONS = [384, 512, 768, 1024, 1536, 3072] as const;

/** Times that are given, the first two the same. */
export const TIMES = [0, 0, 1, 2, 3, 4].map((at) => 1_500_000_000_000 + 1_000 * at);

/** The ids of a round. */
export interface Ids {
  readonly entities: readonly string[];
  /** The first two are the first agent's, the next two the second's: only they make and change them, and write logs there. */
  readonly rooms: readonly string[];
  readonly worlds: readonly string[];
  readonly components: readonly string[];
  readonly tasks: readonly string[];
  readonly memories: readonly string[];
  /** Memories with texts that cached vectors are asked for of; nothing changes them. */
  readonly texts: readonly string[];
  readonly runs: readonly string[];
}

export function makeIds(dice: Dice): Ids {
  return {
    entities: dice.uuids(7),
    rooms: dice.uuids(7),
    worlds: dice.uuids(4),
    components: dice.uuids(8),
    tasks: dice.uuids(7),
    memories: dice.uuids(30),
    texts: dice.uuids(12),
    runs: dice.uuids(5),
  };
}

/** Returns the rooms that an agent may make, change, and write logs in. */
export function roomsOf({ rooms }: Ids, agent: number): readonly string[] {
  return [...ownRooms({ rooms }, agent), ...rooms.slice(4)];
}

export function ownRooms({ rooms }: Pick<Ids, "rooms">, agent: number): readonly string[] {
  return agent < 2 ? rooms.slice(2 * agent, 2 * agent + 2) : [];
}

/** A value that JSON has. */
export function jsonValue(dice: Dice, depth = 0): unknown {
  const kind = dice.below(depth > 2 ? 6 : 8);
  if (kind === 6) return Array.from({ length: dice.below(3) }, () => jsonValue(dice, depth + 1));
  if (kind === 7) return jsonObject(dice, depth + 1);
  return [null, dice.below(100), dice.pick(NAMES), true, -0.5, 1e21][kind];
}

export function jsonObject(dice: Dice, depth = 0): Record<string, unknown> {
  const names = ["a", "b", "long name", "secrets", "deep"];
  return Object.fromEntries(
    Array.from({ length: dice.below(4) }, () => [dice.pick(names), jsonValue(dice, depth + 1)]),
  );
}

const vectors = new Map<number, readonly (readonly number[])[]>();

/**
 * Returns vectors of a length, some of them much alike (0.99), some little (0.8): none so that roundings decide whether they are as alike as
 * a search asks for. They have six decimals, as plugin-sql stores them.
 */
export function vectorsOf(dimensions: number): readonly (readonly number[])[] {
  const known = vectors.get(dimensions);
  if (known !== undefined) return known;
  const dice = new Dice(dimensions);
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - dice.next())) * Math.cos(2 * Math.PI * dice.next());
  const made = Array.from({ length: 3 }, () => {
    const center = Array.from({ length: dimensions }, gaussian);
    return [0, 0.1, 0.1, 0.75].map((noise) => center.map((value) => rounded((value + noise * gaussian()) / 16)));
  }).flat();
  vectors.set(dimensions, made);
  return made;
}

function rounded(value: number): number {
  return Number(value.toFixed(6)) + 0; // no negative zero
}
