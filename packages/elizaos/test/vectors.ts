import { cosine } from "@waymark/core/records";

/** Makes numbers from 0 to 1, the same in each run (Mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Makes vectors around some centers, as embeddings of texts on some subjects are. */
export function clusteredVectors(count: number, dimensions: number, seed = 1, clusters = 20): Float32Array[] {
  const random = randomOf(seed);
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const centers = Array.from({ length: clusters }, () => Float32Array.from({ length: dimensions }, gaussian));
  return Array.from({ length: count }, () => {
    const center = centers[Math.floor(random() * clusters)] as Float32Array;
    return center.map((value) => value + 0.7 * gaussian());
  });
}

/** Returns the indexes of the most similar vectors, the most similar first. */
export function mostSimilar(vectors: readonly Float32Array[], to: Float32Array, limit: number): number[] {
  return vectors
    .map((vector, at) => ({ at, similarity: cosine(vector, to) }))
    .sort((one, other) => other.similarity - one.similarity)
    .slice(0, limit)
    .map(({ at }) => at);
}
