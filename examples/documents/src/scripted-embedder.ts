import { hash } from "node:crypto";
import type { Embedder } from "@waymark/sqlite/memory";

const DIMENSIONS = 256;

/**
 * In place of an embedding model: a bag of words, hashed into a vector (https://en.wikipedia.org/wiki/Feature_hashing). It needs no
 * network and knows no language: texts are similar if they have words in common, whatever they mean.
 */
export const scriptedEmbedder: Embedder = {
  model: "hashed-bag-of-words",
  dimensions: DIMENSIONS,
  embed: async (texts) => texts.map(vectorOf),
};

function vectorOf(text: string): Float32Array {
  const vector = new Float32Array(DIMENSIONS);
  vector[0] = 0.01; // a vector of zeros, of a text without words, is none
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    const at = hash("sha256", word, "buffer").readUInt32LE() % DIMENSIONS;
    vector[at] = (vector[at] ?? 0) + 1;
  }
  return vector;
}
