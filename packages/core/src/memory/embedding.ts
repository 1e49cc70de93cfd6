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
    return checkVector("vector", vector, dimensions);
  } catch (error) {
    const reason = error instanceof CheckpointError ? error.message : "it is no vector";
    throw new CheckpointError(
      "EMBEDDING_INVALID",
      `${context}: the embedder returned what cannot be stored: ${reason}`,
    );
  }
}

/** Returns whether an embedder has failed with the texts that it was given, or took too long: with others it may not. */
export function isOfTexts(error: unknown): boolean {
  return error instanceof CheckpointError && ["EMBEDDING_FAILED", "EMBEDDING_INVALID", "TIMEOUT"].includes(error.code);
}

/** Refuses vectors that were given as some of an embedder's model, and have other dimensions. @throws CheckpointError */
export function checkOfEmbedder(operation: string, embedders: readonly ResolvedEmbedder[], kind: VectorKind): void {
  const embedder = embedders.find(({ model }) => model === kind.model);
  if (embedder !== undefined) checkDimensions(operation, embedder, kind.dimensions);
}

/**
 * Returns the embedders for the texts of a space, as far as there are any: those of its model and, while it is re-embedded, of the model to
 * come. For one without vectors, or that is not there, the first.
 */
export function embeddersFor(embedders: readonly ResolvedEmbedder[], space: SpaceRow | null): ResolvedEmbedder[] {
  if (space === null || space.dimensions === null) return embedders.slice(0, 1);
  const { model, nextModel } = space;
  return [model, nextModel].flatMap((name) => embedders.find((one) => one.model === name) ?? []);
}

/** Returns the model of vectors that come without its name: that of the space's embedder. `null`: there is none. */
export function modelFor(embedders: readonly ResolvedEmbedder[], space: SpaceRow | null): string | null {
  return (embeddersFor(embedders, space)[0] ?? embedders[0])?.model ?? null;
}

/** Vectors of a text: one that was given, of a model that was named or not; or those that embedders have made, by their models. */
export interface TextVectors {
  readonly given: Float32Array | null;
  readonly model: string | null;
  readonly made: ReadonlyMap<string, Float32Array>;
}

/** Returns the vectors that a text has in a space: of the model that is searched, the one to come, or both. */
export function vectorsIn(
  embedders: readonly ResolvedEmbedder[],
  { given, model: named, made }: TextVectors,
  space: SpaceRow | null,
): (VectorKind & { readonly vector: Float32Array })[] {
  const model = named ?? modelFor(embedders, space);
  const vector = given ?? (model === null ? undefined : made.get(model));
  const nextModel = space?.nextModel ?? null;
  const next = nextModel === null || nextModel === model ? undefined : made.get(nextModel);
  return [
    ...(vector === undefined ? [] : [{ vector, model, dimensions: vector.length }]),
    ...(next === undefined ? [] : [{ vector: next, model: nextModel, dimensions: next.length }]),
  ];
}

/** Returns whether embedders have made vectors, and none for the model that the space has by now. */
export function isOfOtherModel(
  embedders: readonly ResolvedEmbedder[],
  { model, made }: TextVectors,
  space: SpaceRow | null,
): boolean {
  return made.size > 0 && !made.has(model ?? modelFor(embedders, space) ?? "");
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
export function firstVectorOf({ dimensions }: SpaceRow, kind: VectorKind | null) {
  return kind === null || dimensions !== null ? {} : { dimensions: kind.dimensions, model: kind.model };
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
