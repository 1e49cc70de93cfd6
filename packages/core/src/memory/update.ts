import type { Snapshot } from "../codec/snapshot.ts";
import { newRevision } from "../database/ids.ts";
import { Addition, removeRecords, type Step, updateRecords } from "../records/records.ts";
import type { CheckedItemChange } from "./arguments.ts";
import type { Item } from "./contract.ts";
import { checkOfEmbedder, embedTexts, generationFor, insertVectors, type VectorKind } from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine } from "./engine.ts";
import { changedTooOften, conflict, noSuch } from "./failures.ts";
import { itemOf, packValue, readText, type StoredValue, storeText, textDigest } from "./items.ts";
import { type FoundItem, rowsOfOwner } from "./list.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { analyzeFor, insertPostings, postingsOf, removePostings } from "./postings.ts";
import { ITEMS, type ItemRow, NEVER, SIGNATURES, SPACES, THREADS, VECTORS } from "./tables.ts";

/** Updating an item: its text, vector and postings change in one commit. */

const OPERATION = "update item";

export interface UpdateRequest {
  readonly owner: string;
  readonly id: string | null;
  readonly change: CheckedItemChange;
  readonly snapshot: Snapshot | null;
  readonly ifRevision: string | null;
  readonly signal?: AbortSignal;
}

/** What an update sets; vectors as they will be: `undefined`: as they are. */
interface Content {
  readonly value: StoredValue | null;
  readonly vector: Float32Array | null | undefined;
  readonly kind: VectorKind | null;
  readonly revision: string;
}

export async function updateItem(engine: MemoryEngine, request: UpdateRequest): Promise<Item> {
  const { owner, id, change, snapshot, ifRevision, signal } = request;
  // Nothing is awaited where nothing is embedded: a call that was accepted before close() takes place.
  const vector = isEmbedded(engine, request) ? await embeddingOf(engine, request) : vectorOf(engine, request);
  // Made once: a retry recognises by it what it has done.
  const revision = newRevision();
  let content: Content | null = null;
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    content ??= { value: change.hasValue ? await packValue(snapshot) : null, revision, ...vector };
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const [found] = await rowsOfOwner(engine, owner, id === null ? [] : [id], deadline);
      if (found === undefined) throw noSuch(OPERATION, "item with this id");
      if (found.row.revision === revision) return await itemOf(OPERATION, found.space, found.row);
      if (ifRevision !== null && found.row.revision !== ifRevision) {
        throw conflict(OPERATION, "it has another revision");
      }
      const { row, steps } = planUpdate(found, change, content);
      try {
        if ((await engine.dialect.records.change(steps, deadline)) !== null) {
          return await itemOf(OPERATION, found.space, row);
        }
      } catch (error) {
        if (!engine.session.isDuplicate(error)) throw error;
        throw conflict(OPERATION, "the collection has an item with this text, which is to be one");
      }
    }
    throw changedTooOften(OPERATION);
  });
}

/** Returns whether an update has a new text whose vector is to be made. */
function isEmbedded({ options: { embedder } }: MemoryEngine, { change: { embedding, text } }: UpdateRequest): boolean {
  return embedder !== null && embedding === undefined && text !== undefined && text !== "";
}

async function embeddingOf(
  { options }: MemoryEngine,
  { change: { text }, signal }: UpdateRequest,
): Promise<Pick<Content, "vector" | "kind">> {
  const embedder = options.embedder as ResolvedEmbedder;
  const [vector = null] = await embedTexts(OPERATION, embedder, [text as string], "store", signal);
  return { vector, kind: { model: embedder.model, dimensions: embedder.dimensions } };
}

/** Returns the vector that an update gives an item without an embedder's help. */
function vectorOf(
  { options: { embedder } }: MemoryEngine,
  { change: { embedding, text } }: UpdateRequest,
): Pick<Content, "vector" | "kind"> {
  if (embedding === undefined) return { vector: text === undefined ? undefined : null, kind: null };
  const model = embedder?.model ?? null;
  if (embedder !== null && embedding !== null) checkOfEmbedder(OPERATION, embedder, embedding);
  return { vector: embedding, kind: embedding === null ? null : { model, dimensions: embedding.length } };
}

function planUpdate(
  { space, row }: FoundItem,
  change: CheckedItemChange,
  { value, vector, kind, revision }: Content,
): { row: ItemRow; steps: Step[] } {
  const { hasValue: _, text, embedding: __, expiresAt, ...others } = change;
  const { number } = row;
  const isNewText = text !== undefined && text !== readText(row);
  const length = isNewText ? analyzeFor(space, text).length : row.length;
  const set = {
    ...others,
    ...(expiresAt !== undefined && { expiresAt: expiresAt ?? NEVER }),
    ...(isNewText && {
      ...storeText(text),
      length,
      textDigest: row.textDigest === null ? null : textDigest(text),
    }),
    ...value,
    revision,
  };
  const isRow = { space: space.number, number, revision: row.revision };
  // A text that stays as it is keeps its vector, unless another one was given.
  const isNewVector = vector !== undefined && (isNewText || change.embedding !== undefined);
  const isVector = { space: space.number, number };
  const generation = kind === null ? null : generationFor(OPERATION, space, kind);
  const { nextGeneration, dimensions, model } = space;
  const steps: Step[] = [
    updateRecords(
      SPACES,
      { number: space.number, removal: 0, generation: space.generation, dimensions, model, nextGeneration },
      {
        tokens: new Addition(length - row.length),
        revision: newRevision(),
        ...(isNewVector && kind !== null && generation === space.generation && { dimensions: kind.dimensions }),
        ...(isNewVector &&
          kind !== null &&
          generation === space.generation &&
          kind.model !== null && { model: kind.model }),
      },
      1,
    ),
    ...(row.thread === null
      ? []
      : [updateRecords(THREADS, { owner: space.owner, id: row.thread }, { updatedAt: Date.now() })]),
    updateRecords(ITEMS, isRow, set, 1),
    ...(isNewVector ? [removeRecords(SIGNATURES, isVector), removeRecords(VECTORS, isVector)] : []),
    ...(isNewVector && vector !== null && generation !== null
      ? insertVectors([{ space: space.number, number, generation, vector }])
      : []),
    ...(isNewText
      ? [...removePostings(space, [row]), ...insertPostings(postingsOf(space.number, number, analyzeFor(space, text)))]
      : []),
  ];
  return { row: { ...row, ...set }, steps };
}
