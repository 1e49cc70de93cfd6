import type { Snapshot } from "../codec/snapshot.ts";
import { newRevision } from "../database/ids.ts";
import { Addition, removeRecords, type Step, updateRecords } from "../records/records.ts";
import type { CheckedItemChange } from "./arguments.ts";
import type { Item } from "./contract.ts";
import {
  checkOfEmbedder,
  embeddersFor,
  embedTexts,
  firstVectorOf,
  generationFor,
  insertVectors,
  isOfOtherModel,
  type TextVectors,
  vectorsIn,
} from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine, tryChange } from "./engine.ts";
import { changedTooOften, conflict, modelMismatch, noSuch } from "./failures.ts";
import { itemOf, packValue, readText, type StoredValue, storeText, textDigest } from "./items.ts";
import { type FoundItem, notExpired, rowsOfOwner } from "./list.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { Analyses, insertPostings, postingsOf, removePostings } from "./postings.ts";
import { removeFound } from "./remove.ts";
import { ITEMS, type ItemRow, NEVER, SIGNATURES, SPACES, VECTORS } from "./tables.ts";
import { ThreadCounts } from "./thread-counts.ts";
import { threadExists } from "./threads.ts";

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

/** Vectors that an update gives an item, if any; `null`: those that it has. */
type NewVectors = TextVectors | null;

export async function updateItem(engine: MemoryEngine, request: UpdateRequest): Promise<Item> {
  // Made once: a retry recognises by it what it has done.
  const revision = newRevision();
  // Nothing is awaited where nothing is embedded: a call that was accepted before close() takes place.
  if (!mayEmbed(engine, request)) return (await apply(engine, request, vectorsOf(request), revision)) as Item;
  const work = (signal: AbortSignal) => embedAndApply(engine, { ...request, signal }, revision);
  return await engine.longCalls.run(OPERATION, request.signal, work);
}

async function embedAndApply(engine: MemoryEngine, request: UpdateRequest, revision: string): Promise<Item> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    // Before the text is embedded: a call that is refused, or sets the text that is there, costs nothing.
    const embedders = await embeddersOf(engine, request);
    const vectors = embedders === null ? null : await embeddingsOf(embedders, request);
    const updated = await apply(engine, request, vectors, revision);
    if (updated !== null) return updated;
  }
  throw changedTooOften(OPERATION);
}

/**
 * Applies an update. `null`: its text was the one of the item, and so was not embedded, and is another one now; or the collection has got
 * another model than the one that it was embedded with.
 */
async function apply(
  engine: MemoryEngine,
  { owner, id, change, snapshot, ifRevision, signal }: UpdateRequest,
  vectors: NewVectors,
  revision: string,
): Promise<Item | null> {
  let value: StoredValue | null = null;
  const analyses = new Analyses();
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    if (change.hasValue) value ??= await packValue(snapshot);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const found = await findItem(engine, { owner, id, ifRevision, revision }, deadline);
      if (found.row.revision === revision) return await itemOf(OPERATION, found.space, found.row);
      if (vectors === null && isNewText(found.row, change)) return null;
      if (vectors !== null && isOfOtherModel(engine.options.embedders, vectors, found.space)) return null;
      const expired = await expiredTwins(engine, found, change, deadline);
      const { row, steps } = await planUpdate(engine, found, change, { vectors, value, revision, analyses, expired });
      if (await tryChange(engine, steps, deadline)) return await itemOf(OPERATION, found.space, row);
      await checkThread(engine, owner, change, deadline);
    }
    throw changedTooOften(OPERATION);
  });
}

/** Finds the item to change. @throws CheckpointError `NOT_FOUND`; `CONFLICT` if it has another revision, and not the new one */
async function findItem(
  engine: MemoryEngine,
  { owner, id, ifRevision, revision }: Pick<UpdateRequest, "owner" | "id" | "ifRevision"> & { revision: string | null },
  signal: AbortSignal,
): Promise<FoundItem> {
  const [found] = await rowsOfOwner(engine, owner, id === null ? [] : [id], notExpired({}), signal);
  if (found === undefined) throw noSuch(OPERATION, "item with this id");
  if (ifRevision !== null && found.row.revision !== ifRevision && found.row.revision !== revision) {
    throw conflict(OPERATION, "it has another revision");
  }
  return found;
}

/** Returns whether an update may have a new text whose vector is to be made. */
function mayEmbed({ options: { embedders } }: MemoryEngine, { change: { embedding, text } }: UpdateRequest): boolean {
  return embedders.length > 0 && embedding === undefined && text !== undefined && text !== "";
}

/**
 * Returns the embedders for the text of an update; `null`: it is the one of the item.
 * @throws CheckpointError if the update would be refused
 */
async function embeddersOf(engine: MemoryEngine, request: UpdateRequest): Promise<ResolvedEmbedder[] | null> {
  const { owner, change, signal } = request;
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    const found = await findItem(engine, { ...request, revision: null }, deadline);
    await expiredTwins(engine, found, change, deadline);
    await checkThread(engine, owner, change, deadline);
    if (!isNewText(found.row, change)) return null;
    const { embedders } = engine.options;
    const own = embeddersFor(embedders, found.space);
    if (own.length === 0) throw modelMismatch(OPERATION, found.space.model, embedders[0]?.model as string);
    for (const embedder of own) generationFor(OPERATION, found.space, embedder);
    return own;
  });
}

function isNewText(row: ItemRow, { text }: CheckedItemChange): boolean {
  return text !== undefined && text !== readText(row);
}

async function embeddingsOf(
  embedders: readonly ResolvedEmbedder[],
  { change: { text }, signal }: UpdateRequest,
): Promise<TextVectors> {
  const made = new Map<string, Float32Array>();
  for (const embedder of embedders) {
    const nameOf = () => "change.text";
    const [vector] = await embedTexts(OPERATION, embedder, [text as string], { purpose: "store", nameOf, signal });
    made.set(embedder.model, vector as Float32Array);
  }
  return { given: null, model: null, made };
}

/** Returns the vectors that an update gives an item without an embedder's help. */
function vectorsOf({ change: { embedding, text, model } }: UpdateRequest): NewVectors {
  if (embedding === undefined && text === undefined) return null;
  return { given: embedding ?? null, model: model ?? null, made: new Map() };
}

/**
 * Finds the items that have the key, or, where the same text is one item, the text that an update sets, and whose time has come: they
 * make room.
 * @throws CheckpointError `CONFLICT` if there is one whose time has not come
 */
async function expiredTwins(
  { dialect }: MemoryEngine,
  { space: { number: space }, row }: FoundItem,
  change: CheckedItemChange,
  signal: AbortSignal,
): Promise<ItemRow[]> {
  const now = Date.now();
  const twins = new Map<number, ItemRow>();
  for (const [name, where] of [
    ["key", change.key !== undefined && change.key !== null && { space, key: change.key }],
    [
      "text",
      row.textDigest !== null && isNewText(row, change) && { space, textDigest: textDigest(change.text as string) },
    ],
  ] as const) {
    if (where === false) continue;
    const [twin] = await dialect.records.find(ITEMS, { where, limit: 1 }, signal);
    if (twin === undefined || twin.number === row.number) continue;
    if (twin.expiresAt > now) throw conflict(OPERATION, `the ${name} is taken, by another item of the collection`);
    twins.set(twin.number, twin);
  }
  return [...twins.values()];
}

interface Content {
  readonly vectors: NewVectors;
  readonly value: StoredValue | null;
  readonly revision: string;
  readonly analyses: Analyses;
  /** Items that make room. */
  readonly expired: readonly ItemRow[];
}

async function planUpdate(
  { options: { embedders } }: MemoryEngine,
  { space, row }: FoundItem,
  change: CheckedItemChange,
  { vectors, value, revision, analyses, expired }: Content,
): Promise<{ row: ItemRow; steps: Step[] }> {
  const { hasValue: _, text = "", embedding: __, model: ___, expiresAt, threadId, ...others } = change;
  const { number } = row;
  const hasOtherText = isNewText(row, change);
  const analysis = hasOtherText ? await analyses.of(space, revision, text) : null;
  const length = analysis?.length ?? row.length;
  const set = {
    ...others,
    ...(threadId !== undefined && { thread: threadId }),
    ...(expiresAt !== undefined && { expiresAt: expiresAt ?? NEVER }),
    ...(hasOtherText && {
      ...storeText(text),
      length,
      textDigest: row.textDigest === null ? null : textDigest(text),
    }),
    ...value,
    revision,
  };
  // A text that stays as it is keeps its vector, unless another one was given.
  const isNewVector = vectors !== null && (hasOtherText || change.embedding !== undefined);
  const isVector = { space: space.number, number };
  const operation = `${OPERATION}: change.embedding`;
  const placed = vectors === null ? [] : vectorsIn(embedders, vectors, space);
  for (const kind of placed) checkOfEmbedder(operation, embedders, kind);
  const own = placed.map(({ vector, ...kind }) => {
    return { space: space.number, number, generation: generationFor(operation, space, kind), vector };
  });
  const { nextGeneration, dimensions, model } = space;
  // A re-embedding that is under way may have met the item.
  const hasNext = own.some(({ generation }) => generation === nextGeneration);
  const isMissed = nextGeneration !== null && !hasNext && (change.text ?? row.text) !== "";
  const threads = new ThreadCounts();
  threads.add(space.owner, row.thread, threadId === undefined ? 0 : -1); // 0: it is updated by its item
  if (threadId !== undefined) threads.add(space.owner, threadId, 1);
  for (const { thread } of expired) threads.add(space.owner, thread, -1);
  const tokens = expired.reduce((sum, one) => sum - one.length, length - row.length);
  const steps: Step[] = [
    updateRecords(
      SPACES,
      { number: space.number, removal: 0, generation: space.generation, dimensions, model, nextGeneration },
      {
        items: new Addition(-expired.length),
        tokens: new Addition(tokens),
        revision: newRevision(),
        ...(isNewVector && firstVectorOf(space, placed[0] ?? null)),
        ...(isNewVector && isMissed && { nextMissed: new Addition(1) }),
      },
      1,
    ),
    ...threads.steps(),
    ...(await removeFound(space, expired, analyses)),
    updateRecords(ITEMS, { space: space.number, number, revision: row.revision }, set, 1),
    ...(isNewVector ? [removeRecords(SIGNATURES, isVector), removeRecords(VECTORS, isVector)] : []),
    ...(isNewVector ? insertVectors(own) : []),
    ...(analysis === null
      ? []
      : [
          ...(await removePostings(space, [row], analyses)),
          ...insertPostings(postingsOf(space.number, number, analysis)),
        ]),
  ];
  return { row: { ...row, ...set }, steps };
}

/** @throws CheckpointError `NOT_FOUND` if an update sets a thread that is not there */
async function checkThread(
  engine: MemoryEngine,
  owner: string,
  { threadId }: CheckedItemChange,
  signal: AbortSignal,
): Promise<void> {
  if (threadId === undefined || threadId === null || (await threadExists(engine, owner, threadId, signal))) return;
  throw noSuch(OPERATION, "thread with the id of change.threadId");
}
