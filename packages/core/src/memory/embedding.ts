import { CheckpointError } from "../contract/errors.ts";
import { withDeadline } from "../database/deadline.ts";
import { insertRecords, type Step } from "../records/records.ts";
import type { EmbedOptions } from "./contract.ts";
import { dimensionMismatch, modelMismatch } from "./failures.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { checkVector, signatureOf } from "./signature.ts";
import { SIGNATURES, type SignatureRow, type SpaceRow, VECTORS, type VectorRow } from "./tables.ts";

/** Vectors of items: made by the embedder, and checked against what their collection has. */

/** Embeds texts, a batch at a time. @throws CheckpointError `EMBEDDING_FAILED`, `TIMEOUT`, `ABORTED` */
export async function embedTexts(
  operation: string,
  { maxBatch, embed, dimensions, timeoutMs }: ResolvedEmbedder,
  texts: readonly string[],
  purpose: EmbedOptions["purpose"],
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  for (let at = 0; at < texts.length; at += maxBatch) {
    const batch = texts.slice(at, at + maxBatch);
    const made = await withDeadline(operation, { timeoutMs, signal }, (deadline) =>
      embedBatch(operation, embed, batch, { purpose, signal: deadline }),
    );
    for (const vector of made) vectors.push(checkMade(operation, vector, dimensions));
  }
  return vectors;
}

async function embedBatch(
  operation: string,
  embed: ResolvedEmbedder["embed"],
  texts: readonly string[],
  options: EmbedOptions,
): Promise<readonly unknown[]> {
  let made: unknown;
  try {
    options.signal.throwIfAborted();
    made = await embed(texts, options);
  } catch (error) {
    options.signal.throwIfAborted();
    // Its own words may hold the texts: they are in `cause` alone.
    throw new CheckpointError("EMBEDDING_FAILED", `${operation}: the embedder threw an error`, { cause: error });
  }
  if (Array.isArray(made) && made.length === texts.length) return made;
  const got = Array.isArray(made) ? `${made.length}` : "no array";
  const message = `${operation}: expected the embedder to return ${texts.length} vectors, got ${got}`;
  throw new CheckpointError("EMBEDDING_FAILED", message);
}

function checkMade(operation: string, vector: unknown, dimensions: number): Float32Array {
  try {
    return checkVector("a vector of the embedder", vector, dimensions);
  } catch (error) {
    const reason = error instanceof CheckpointError ? error.message : "it is no vector";
    throw new CheckpointError("EMBEDDING_FAILED", `${operation}: ${reason}`);
  }
}

/** Refuses a vector that was given as one of the embedder's model, and has other dimensions. @throws CheckpointError */
export function checkOfEmbedder(operation: string, { dimensions }: ResolvedEmbedder, vector: Float32Array): void {
  if (vector.length !== dimensions) throw dimensionMismatch(operation, "the embedder makes", dimensions, vector.length);
}

/** Vectors of one model. `model`: `null` if nobody has named it. */
export interface VectorKind {
  readonly model: string | null;
  readonly dimensions: number;
}

/**
 * Returns the generation of a space that vectors belong to: the one that is searched, or the one to come while the space is re-embedded.
 * @param collection field of the call that names the collection, for messages
 * @throws CheckpointError `DIMENSION_MISMATCH`, `MODEL_MISMATCH`
 */
export function generationFor(
  operation: string,
  space: SpaceRow,
  { model, dimensions }: VectorKind,
  collection = "the collection",
): number {
  if (space.nextGeneration !== null && model !== null && model === space.nextModel) {
    if (dimensions !== space.nextDimensions) {
      throw dimensionMismatch(operation, `${collection} has`, space.nextDimensions as number, dimensions);
    }
    return space.nextGeneration;
  }
  if (model !== null && space.model !== null && model !== space.model) {
    throw modelMismatch(operation, `${collection} has`, space.model, model);
  }
  if (space.dimensions !== null && dimensions !== space.dimensions) {
    throw dimensionMismatch(operation, `${collection} has`, space.dimensions, dimensions);
  }
  return space.generation;
}

/** A vector of an item. */
export interface ItemVector {
  readonly space: number;
  readonly number: number;
  readonly generation: number;
  readonly vector: Float32Array;
}

/** Inserts vectors and their signatures. */
export function insertVectors(vectors: readonly ItemVector[]): Step[] {
  if (vectors.length === 0) return [];
  const rows: VectorRow[] = vectors.map((one) => ({ ...one, dimensions: one.vector.length }));
  const signatures: SignatureRow[] = vectors.map(({ space, number, generation, vector }) => ({
    space,
    number,
    generation,
    signature: signatureOf(vector),
  }));
  return [insertRecords(VECTORS, rows), insertRecords(SIGNATURES, signatures)];
}
