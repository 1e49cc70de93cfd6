import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getEmbeddingsPath } from "@sap-ux/fiori-docs-embeddings";

/**
 * Reads vectors of a real model: 778 chunks of SAP Fiori's documentation, by all-MiniLM-L6-v2, 384 dimensions, out of an npm package
 * (Apache-2.0). There is no model here, so none of other texts.
 */
export function readEmbeddings(): Float32Array[] {
  const dimensions = 384;
  const bytes = readFileSync(join(getEmbeddingsPath(), "embeddings.bin"));
  const count = bytes.length / dimensions / 4;
  return Array.from({ length: count }, (_, row) =>
    Float32Array.from({ length: dimensions }, (_, at) => bytes.readFloatLE((row * dimensions + at) * 4)),
  );
}
