import { type Random, randomOf } from "../random.ts";
import type { MemoryItem } from "./system.ts";

export const DIMENSIONS = 768;

/** Directions in which vectors vary: those of real models lie near a space of fewer dimensions than they have. */
const LATENT_DIMENSIONS = 64;
const CLUSTERS = 500;
/** Spread within a cluster, and of the noise outside of the latent space; clusters are 1 apart in each latent dimension. */
const [SPREAD, NOISE] = [0.5, 0.1];
const VOCABULARY = 20_000;
const WORDS = 20;

/** Made items: vectors in clusters, and texts whose words are as frequent as in a language (Zipf). All of it from seeds. */
export interface Corpus {
  /** An item of an owner. The same every time. */
  item(owner: Owner, at: number): MemoryItem;
  /** Things to search for, which no owner has. */
  query(at: number): Pick<MemoryItem, "text" | "vector">;
}

export interface Owner {
  readonly name: string;
  readonly seed: number;
}

export function createCorpus(dimensions = DIMENSIONS): Corpus {
  const random = randomOf(11);
  const axes = Float64Array.from({ length: LATENT_DIMENSIONS * dimensions }, () => normal(random));
  const centres = Float64Array.from({ length: CLUSTERS * LATENT_DIMENSIONS }, () => normal(random));
  const vocabulary = Array.from({ length: VOCABULARY }, (_, rank) => wordOf(rank));

  const make = (own: Random) => {
    const words = Array.from({ length: WORDS }, () => vocabulary[Math.floor(VOCABULARY ** own.unit()) - 1] as string);
    return { text: words.join(" "), vector: vectorOf(own) };
  };
  const vectorOf = (own: Random): number[] => {
    const cluster = own.below(CLUSTERS) * LATENT_DIMENSIONS;
    const sums = new Float64Array(dimensions);
    for (let axis = 0; axis < LATENT_DIMENSIONS; axis++) {
      const weight = (centres[cluster + axis] as number) + SPREAD * normal(own);
      const from = axis * dimensions;
      for (let at = 0; at < dimensions; at++) sums[at] = (sums[at] as number) + weight * (axes[from + at] as number);
    }
    const noise = NOISE * Math.sqrt(LATENT_DIMENSIONS);
    let squares = 0;
    for (let at = 0; at < dimensions; at++) {
      sums[at] = (sums[at] as number) + noise * normal(own);
      squares += (sums[at] as number) ** 2;
    }
    // In single precision, as models hand them out.
    return Array.from(sums, (value) => Math.fround(value / Math.sqrt(squares)));
  };
  return {
    item: (owner, at) => ({ owner: owner.name, ...make(randomOf(owner.seed * 1_000_003 + at)) }),
    query: (at) => {
      const { text, vector } = make(randomOf(2 ** 31 + at));
      return { text: text.split(" ", 3).join(" "), vector };
    },
  };
}

/** About normally distributed, with a variance of 1. */
function normal(random: Random): number {
  return (random.unit() + random.unit() + random.unit() + random.unit() - 2) * Math.sqrt(3);
}

/** A word for each number: syllables, the longer the rarer. */
function wordOf(rank: number): string {
  const [consonants, vowels] = ["bdfgklmnprstvz", "aeiou"];
  let word = "";
  for (let left = rank + 70; left > 0; left = Math.floor(left / 70)) {
    word += (consonants[left % 14] as string) + (vowels[Math.floor((left % 70) / 14)] as string);
  }
  return word;
}

/** Returns the positions of the vectors that are nearest by their cosine. All have the length 1. */
export function nearestOf(vectors: readonly Float32Array[], wanted: readonly number[], limit: number): number[] {
  const scored = vectors.map((vector, at) => {
    let product = 0;
    for (let dimension = 0; dimension < vector.length; dimension++) {
      product += (vector[dimension] as number) * (wanted[dimension] as number);
    }
    return { at, product };
  });
  scored.sort((one, other) => other.product - one.product);
  return scored.slice(0, limit).map(({ at }) => at);
}
