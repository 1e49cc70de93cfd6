import type { Snapshot } from "../codec/snapshot.ts";
import { newRevision } from "../database/ids.ts";
import { Addition, removeRecords, type Step, updateRecords } from "../records/records.ts";
import type { CheckedItemChange } from "./arguments.ts";
import type { Item } from "./contract.ts";
import { checkOfEmbedder, embedTexts, firstVectorOf, generationFor, insertVectors } from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine, tryChange } from "./engine.ts";
import { changedTooOften, conflict, noSuch, type VectorKind } from "./failures.ts";
import { itemOf, packValue, readText, type StoredValue, storeText, textDigest } from "./items.ts";
import { type FoundItem, notExpired, rowsOfOwner } from "./list.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { analyzeFor, insertPostings, postingsOf, removePostings } from "./postings.ts";
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

/** Vector that an update gives an item; `undefined`: the one that it has. */
interface NewVector {
  readonly vector: Float32Array | null | undefined;
  readonly kind: VectorKind | null;
}

export async function updateItem(engine: MemoryEngine, request: UpdateRequest): Promise<Item> {
  // Made once: a retry recognises by it what it has done.
  const revision = newRevision();
  // Nothing is awaited where nothing is embedded: a call that was accepted before close() takes place.
  if (!mayEmbed(engine, request)) return (await apply(engine, request, vectorOf(engine, request), revision)) as Item;
  // Before the text is embedded: a call that is refused, or sets the text that is there, costs nothing.
  if (!(await hasNewText(engine, request))) {
    const updated = await apply(engine, request, { vector: undefined, kind: null }, revision);
    if (updated !== null) return updated;
  }
  return (await apply(engine, request, await embeddingOf(engine, request), revision)) as Item;
}

/** Applies an update. `null`: its text was the one of the item, and so was not embedded, and is another one now. */
async function apply(
  engine: MemoryEngine,
  { owner, id, change, snapshot, ifRevision, signal }: UpdateRequest,
  vector: NewVector,
  revision: string,
): Promise<Item | null> {
  let value: StoredValue | null = null;
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    if (change.hasValue) value ??= await packValue(snapshot);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const found = await findItem(engine, { owner, id, ifRevision, revision }, deadline);
      if (found.row.revision === revision) return await itemOf(OPERATION, found.space, found.row);
      if (vector.vector === undefined && isNewText(found.row, change)) return null;
      const expired = await expiredTwins(engine, found, change, deadline);
      const { row, steps } = await planUpdate(found, change, { ...vector, value, revision, expired });
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
function mayEmbed({ options: { embedder } }: MemoryEngine, { change: { embedding, text } }: UpdateRequest): boolean {
  return embedder !== null && embedding === undefined && text !== undefined && text !== "";
}

/** Returns whether an update has another text than the item. @throws CheckpointError if the update would be refused */
async function hasNewText(engine: MemoryEngine, request: UpdateRequest): Promise<boolean> {
  const { owner, change, signal } = request;
  return await engine.session.run(OPERATION, signal, async (deadline) => {
    const found = await findItem(engine, { ...request, revision: null }, deadline);
    await expiredTwins(engine, found, change, deadline);
    await checkThread(engine, owner, change, deadline);
    return isNewText(found.row, change);
  });
}

function isNewText(row: ItemRow, { text }: CheckedItemChange): boolean {
  return text !== undefined && text !== readText(row);
}

async function embeddingOf({ options }: MemoryEngine, { change: { text }, signal }: UpdateRequest): Promise<NewVector> {
  const embedder = options.embedder as ResolvedEmbedder;
  const [vector = null] = await embedTexts(OPERATION, embedder, [text as string], {
    purpose: "store",
    nameOf: () => "change.text",
    signal,
  });
  return { vector, kind: { model: embedder.model, dimensions: embedder.dimensions } };
}

/** Returns the vector that an update gives an item without an embedder's help. */
function vectorOf(
  { options: { embedder } }: MemoryEngine,
  { change: { embedding, text, ...change } }: UpdateRequest,
): NewVector {
  const model = change.model ?? embedder?.model ?? null;
  if (embedding === undefined) return { vector: text === undefined ? undefined : null, kind: null };
  if (embedding === null) return { vector: null, kind: null };
  if (embedder !== null && model === embedder.model)
    checkOfEmbedder(`${OPERATION}: change.embedding`, embedder, embedding);
  return { vector: embedding, kind: { model, dimensions: embedding.length } };
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

async function planUpdate(
  { space, row }: FoundItem,
  change: CheckedItemChange,
  {
    value,
    vector,
    kind,
    revision,
    expired,
  }: NewVector & {
    readonly value: StoredValue | null;
    readonly revision: string;
    readonly expired: readonly ItemRow[];
  },
): Promise<{ row: ItemRow; steps: Step[] }> {
  const { hasValue: _, text = "", embedding: __, model: ___, expiresAt, threadId, ...others } = change;
  const { number } = row;
  const hasOtherText = isNewText(row, change);
  const analysis = hasOtherText ? await analyzeFor(space, text) : null;
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
  const isNewVector = vector !== undefined && (hasOtherText || change.embedding !== undefined);
  const isVector = { space: space.number, number };
  const generation = kind === null ? null : generationFor(`${OPERATION}: change.embedding`, space, kind);
  const { nextGeneration, dimensions, model } = space;
  // A re-embedding that is under way may have met the item.
  const isMissed = nextGeneration !== null && generation !== nextGeneration && (change.text ?? row.text) !== "";
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
        ...(isNewVector && firstVectorOf(space, kind, generation)),
        ...(isNewVector && isMissed && { nextMissed: new Addition(1) }),
      },
      1,
    ),
    ...threads.steps(),
    ...(await removeFound(space, expired)),
    updateRecords(ITEMS, { space: space.number, number, revision: row.revision }, set, 1),
    ...(isNewVector ? [removeRecords(SIGNATURES, isVector), removeRecords(VECTORS, isVector)] : []),
    ...(isNewVector && vector !== null && generation !== null
      ? insertVectors([{ space: space.number, number, generation, vector }])
      : []),
    ...(analysis === null
      ? []
      : [...(await removePostings(space, [row])), ...insertPostings(postingsOf(space.number, number, analysis))]),
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
