import { createHash } from "node:crypto";

/** Dimensions of the vectors. */
export const DIMS = 16;

/**
 * Embeddings without a model: each word is a direction of its own, and a text the sum of its words'. So texts with words in common are
 * near to each other, and it says nothing about meaning.
 */
export class ScriptedEmbeddings {
  readonly model = "scripted";
  /** Texts of all calls, in their order. */
  readonly embedded: string[] = [];

  async embedDocuments(texts: string[]): Promise<number[][]> {
    this.embedded.push(...texts);
    return texts.map(vectorOf);
  }

  async embedQuery(text: string): Promise<number[]> {
    return vectorOf(text);
  }
}

function vectorOf(text: string): number[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["nothing"];
  const sum = new Array<number>(DIMS).fill(0);
  for (const word of words) {
    const bytes = createHash("sha256").update(word).digest();
    for (let at = 0; at < DIMS; at++) sum[at] = (sum[at] as number) + ((bytes[at] as number) - 127.5) / 128;
  }
  return sum;
}
