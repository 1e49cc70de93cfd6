// Scripted embeddings in place of a model's: a vector is a count of words, so texts are near to each other if they share words.
// They know nothing of meaning: use a real model's, such as OpenAIEmbeddings, in their place.

import { createHash } from "node:crypto";
import { Embeddings } from "@langchain/core/embeddings";

export const DIMS = 256;

const tooFrequent = new Set(
  "a am an and any are can do for i in is it me my of the to what where which with you".split(" "),
);

export class WordCounts extends Embeddings {
  constructor() {
    super({});
  }

  async embedDocuments(texts) {
    return texts.map(vectorOf);
  }

  async embedQuery(text) {
    return vectorOf(text);
  }
}

function vectorOf(text) {
  const vector = new Array(DIMS).fill(0);
  const words = (text.toLowerCase().match(/\p{L}+/gu) ?? []).filter((word) => !tooFrequent.has(word));
  // A vector of zeros is near to nothing, and refused.
  for (const word of words.length > 0 ? words : [""]) vector[createHash("sha256").update(word).digest()[0]] += 1;
  return vector;
}
