import { CheckpointError } from "../contract/errors.ts";
import { withDeadline } from "../database/deadline.ts";
import { insertRecords, type Step } from "../records/records.ts";
import type { EmbedOptions } from "./contract.ts";
import { dimensionMismatch, modelMismatch, type VectorKind } from "./failures.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { checkVector, signatureOf } from "./signature.ts";
import { SIGNATURES, type SignatureRow, type SpaceRow, VECTORS, type VectorRow } from "./tables.ts";

/** Vectors of items: made by the embedder, and checked against what their collection has. */

/**
 * Embeds texts, a batch at a time.
 * @param nameOf names some of them for messages, by the places of the first and the last one
 * @throws CheckpointError `EMBEDDING_FAILED`, `EMBEDDING_INVALID`, `TIMEOUT`, `ABORTED`
 */
export async function embedTexts(
  operation: string,
  { maxBatch, embed, dimensions, timeoutMs }: ResolvedEmbedder,
  texts: readonly string[],
  { purpose, nameOf, signal }: Pick<EmbedOptions, "purpose"> & EmbedCall,
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  for (let at = 0; at < texts.length; at += maxBatch) {
    const batch = texts.slice(at, at + maxBatch);
    const context = (from: number, to: number) => `${operation}: ${nameOf(at + from, at + to)}`;
    const made = await withDeadline(operation, { timeoutMs, signal }, (deadline) =>
      embedBatch(context(0, batch.length - 1), embed, batch, { purpose, signal: deadline }),
    );
    for (const [place, vector] of made.entries()) {
      vectors.push(checkMade(context(place, place), vector, dimensions));
    }
  }
  return vectors;
}

interface EmbedCall {
  readonly nameOf: (first: number, last: number) => string;
  readonly signal: AbortSignal | undefined;
}

async function embedBatch(
  context: string,
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
    throw new CheckpointError("EMBEDDING_FAILED", `${context}: the embedder threw an error`, { cause: error });
  }
  if (Array.isArray(made) && made.length === texts.length) return made;
  const got = Array.isArray(made) ? `${made.length}` : "no array";
  const message = `${context}: expected the embedder to return ${texts.length} vectors, got ${got}`;
  throw new CheckpointError("EMBEDDING_INVALID", message);
}

function checkMade(context: string, vector: unknown, dimensions: number): Float32Array {
  try {
    return checkVector("a vector of the embedder", vector, dimensions);
  } catch (error) {
    const reason = error instanceof CheckpointError ? error.message : "it is no vector";
    throw new CheckpointError("EMBEDDING_INVALID", `${context}: ${reason}`);
  }
}

/** Returns whether an embedder has failed with the texts that it was given: with others it may not. */
export function isOfTexts(error: unknown): boolean {
  return error instanceof CheckpointError && ["EMBEDDING_FAILED", "EMBEDDING_INVALID"].includes(error.code);
}

/** Refuses a vector that was given as one of the embedder's model, and has other dimensions. @throws CheckpointError */
export function checkOfEmbedder(operation: string, embedder: ResolvedEmbedder, vector: Float32Array): void {
  if (vector.length !== embedder.dimensions) throw dimensionMismatch(operation, embedder, vector.length);
}

/**
 * Returns the generation of a space that vectors belong to: the one that is searched, or the one to come while the space is re-embedded. A
 * model without a name is taken for that of the space; one with a name is never taken for one without.
 * @throws CheckpointError `DIMENSION_MISMATCH`, `MODEL_MISMATCH`
 */
export function generationFor(operation: string, space: SpaceRow, { model, dimensions }: VectorKind): number {
  if (space.nextGeneration !== null && model !== null && model === space.nextModel) {
    checkDimensions(operation, { model, dimensions: space.nextDimensions as number }, dimensions);
    return space.nextGeneration;
  }
  if (space.dimensions !== null) {
    if (model !== null && model !== space.model) throw modelMismatch(operation, space.model, model);
    checkDimensions(operation, { model: space.model, dimensions: space.dimensions }, dimensions);
  }
  return space.generation;
}

/** @throws CheckpointError `DIMENSION_MISMATCH` */
export function checkDimensions(operation: string, kind: VectorKind, dimensions: number): void {
  if (dimensions !== kind.dimensions) throw dimensionMismatch(operation, kind, dimensions);
}

/** Returns the columns of a space that its first vector sets: its dimensions and its model. */
export function firstVectorOf(space: SpaceRow, kind: VectorKind | null, generation: number | null) {
  const isFirst = kind !== null && space.dimensions === null && generation === space.generation;
  return isFirst ? { dimensions: kind.dimensions, model: kind.model } : {};
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
