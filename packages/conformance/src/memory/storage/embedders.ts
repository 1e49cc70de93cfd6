import { createHash } from "node:crypto";
import type { Embedder, EmbedOptions } from "@waymark/core/memory";

/** An embedder whose vectors are made of a digest of the model and the text, and its calls. */
export interface RecordingEmbedder extends Embedder {
  readonly calls: { readonly texts: readonly string[]; readonly options: EmbedOptions }[];
}

/** `before`: called before each batch; it may throw. */
export function newEmbedder(
  model: string,
  dimensions: number,
  { maxBatch, before = () => {} }: { maxBatch?: number; before?: (texts: readonly string[]) => unknown } = {},
): RecordingEmbedder {
  const calls: RecordingEmbedder["calls"] = [];
  return {
    model,
    dimensions,
    maxBatch,
    calls,
    async embed(texts, options) {
      calls.push({ texts, options });
      await before(texts);
      return texts.map((text) => vectorOf(model, dimensions, text));
    },
  };
}

/** The vector that {@link newEmbedder} makes of a text. */
export function vectorOf(model: string, dimensions: number, text: string): Float32Array {
  const digest = createHash("sha512").update(`${model}\n${text}`).digest();
  return Float32Array.from({ length: dimensions }, (_, at) => (digest[at % digest.length] as number) - 127.5);
}
