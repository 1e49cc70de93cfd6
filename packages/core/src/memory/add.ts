import type { Snapshot } from "../codec/snapshot.ts";
import { CheckpointError } from "../contract/errors.ts";
import { idClock, newRevision } from "../database/ids.ts";
import { Addition, insertRecords, type Step, updateRecords, type Where } from "../records/records.ts";
import type { CheckedItem } from "./arguments.ts";
import type { Item, NewItem } from "./contract.ts";
import {
  checkDimensions,
  checkOfEmbedder,
  embeddersFor,
  embedTexts,
  firstVectorOf,
  generationFor,
  type ItemVector,
  insertVectors,
  isOfOtherModel,
  type TextVectors,
  vectorsIn,
} from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine, tryChange } from "./engine.ts";
import { changedTooOften, conflict, modelMismatch, noSuch, type VectorKind } from "./failures.ts";
import { itemOf, packValue, readText, type StoredValue, snapshotOfValue, storeText, textDigest } from "./items.ts";
import { numberClock } from "./numbers.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { Analyses, insertPostings, postingsOf } from "./postings.ts";
import { removeFound } from "./remove.ts";
import { createSpaces, findSpaces, spacesByNumber } from "./spaces.ts";
import { ITEMS, type ItemRow, NEVER, SPACES, type SpaceRow, type TermRow, THREADS } from "./tables.ts";
import { ThreadCounts } from "./thread-counts.ts";

/** Adding items: text, vector and postings of all of them in one commit. */

const OPERATION = "add items";

/** The most bytes of one call: its statements are made in memory, and block the event loop. */
const MAX_CALL_BYTES = 100_000_000;

/** An item as it was when it was handed in. */
export interface PreparedItem extends CheckedItem {
  readonly snapshot: Snapshot | null;
  /** Id of the item, if it has no other: made before anything is sent, so that a retry cannot make a second item. */
  readonly newId: string;
}

export interface AddRequest {
  readonly items: readonly PreparedItem[];
  readonly replace: boolean;
  readonly model: string | null;
  readonly signal?: AbortSignal;
}

/** Takes snapshots of values synchronously: what the caller changes afterwards is not stored. */
export function prepareItems(checked: readonly CheckedItem[], items: readonly NewItem[]): PreparedItem[] {
  return checked.map((item, at) => ({
    ...item,
    newId: idClock.next(),
    snapshot: snapshotOfValue(OPERATION, `items[${at}].value`, items[at] as NewItem, item.hasValue),
  }));
}

/** An item with all that does not depend on what is stored. */
interface ReadyItem extends PreparedItem, TextVectors {
  readonly value: StoredValue;
  readonly digest: Uint8Array | null;
  /** Set where the text was not embedded, since the same item is stored. */
  readonly lacksVector?: true;
}

/** A call under way. */
interface AddCall extends AddRequest {
  readonly analyses: Analyses;
}

export async function addItems(engine: MemoryEngine, request: AddRequest): Promise<Item[]> {
  const { items } = request;
  if (items.length === 0) return [];
  const { embedders } = engine.options;
  const call = { ...request, analyses: new Analyses() };
  // Nothing is awaited where nothing is embedded: a call that was accepted before close() takes place.
  if (embedders.length === 0 || !items.some(isToEmbed)) {
    return (await addReady(engine, call, () => packItems(request))) as Item[]; // no item lacks its vector
  }
  return await engine.longCalls.run(OPERATION, request.signal, (signal) => embedAndAdd(engine, { ...call, signal }));
}

async function embedAndAdd(engine: MemoryEngine, call: AddCall): Promise<Item[]> {
  const packed = await packItems(call);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const toEmbed = await findToEmbed(engine, call, packed, attempt === 0);
    const embedded = await embedItems(call, packed, toEmbed);
    const added = await addReady(engine, call, async () => embedded);
    if (added !== null) return added;
  }
  throw changedTooOften(OPERATION);
}

/**
 * Adds items. `null`: one that was stored, and so was not embedded, has gone meanwhile; or a collection has got another model than the one
 * that its texts were embedded with.
 */
async function addReady(
  engine: MemoryEngine,
  call: AddCall,
  prepare: () => Promise<readonly ReadyItem[]>,
): Promise<Item[] | null> {
  const { items, signal } = call;
  let ready: readonly ReadyItem[] | null = null;
  let isRetry = false;
  let aheadMs = 0;
  return await engine.session.run(
    OPERATION,
    signal,
    async (deadline, { maxStatementBytes }) => {
      ready ??= await prepare();
      checkSizes(ready, maxStatementBytes);
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const spaces = await spacesOfItems(engine, ready, deadline);
        const spaceOf = (item: ReadyItem) => spaces.get(nameOf(item)) ?? null;
        if (ready.some((item) => isOfOtherModel(engine.options.embedders, item, spaceOf(item)))) return null;
        if (await createMissing(engine, ready, spaces, deadline)) continue;
        const begun = performance.now();
        const plan = await planAddition(engine, { ...call, ready, spaces, isRetry, aheadMs }, deadline);
        if ([...plan.inserted].some(({ lacksVector }) => lacksVector)) return null;
        isRetry = true;
        if (plan.steps.length === 0 || (await tryChange(engine, plan.steps, deadline))) {
          return await Promise.all(plan.rows.map(({ space, row }) => itemOf(OPERATION, space, row)));
        }
        await checkThreads(engine, ready, deadline);
        // Others may have added meanwhile. Next time its numbers are above those that they give within twice that time.
        aheadMs = 2 * Math.ceil(performance.now() - begun);
      }
      throw changedTooOften(OPERATION);
    },
    { "waymark.items": items.length },
  );
}

async function packItems({ items, model }: AddRequest): Promise<ReadyItem[]> {
  return await Promise.all(
    items.map(async (item) => ({
      ...item,
      value: await packValue(item.snapshot),
      ...{ given: item.embedding ?? null, model, made: new Map() },
      digest: item.dedup && item.id === null && item.key === null ? textDigest(item.text) : null,
    })),
  );
}

const isToEmbed = ({ embedding, text }: PreparedItem) => embedding === undefined && text !== "";

/**
 * Finds out with what each text is to be embedded. `skipsStored`: not those of items that are stored with the same content.
 * @throws CheckpointError `CONFLICT`, `NOT_FOUND`, `MODEL_MISMATCH`, `DIMENSION_MISMATCH`: before a text is embedded for nothing
 */
async function findToEmbed(
  engine: MemoryEngine,
  call: AddCall,
  packed: readonly ReadyItem[],
  skipsStored: boolean,
): Promise<ReadonlyMap<ReadyItem, readonly ResolvedEmbedder[]>> {
  const mayBeStored = packed.some(({ id, key, digest }) => id !== null || key !== null || digest !== null);
  return await engine.session.run(OPERATION, call.signal, async (deadline) => {
    await checkThreads(engine, packed, deadline);
    const spaces = await spacesOfItems(engine, packed, deadline);
    const toEmbed = new Map<ReadyItem, readonly ResolvedEmbedder[]>();
    for (const item of packed) {
      if (isToEmbed(item)) toEmbed.set(item, embeddersOf(engine, item, spaces.get(nameOf(item)) ?? null));
    }
    // A collection that is not there is made by its first item.
    if (!skipsStored || !mayBeStored || !packed.every((item) => spaces.has(nameOf(item)))) return toEmbed;
    const { inserted } = await planAddition(
      engine,
      { ...call, ready: packed, spaces, isRetry: false, aheadMs: 0 },
      deadline,
    );
    return new Map([...toEmbed].filter(([item]) => inserted.has(item)));
  });
}

/** Returns the embedders for a text. @throws CheckpointError `MODEL_MISMATCH`, `DIMENSION_MISMATCH` */
function embeddersOf(
  { options: { embedders } }: MemoryEngine,
  { model }: ReadyItem,
  space: SpaceRow | null,
): ResolvedEmbedder[] {
  const own = model === null ? embeddersFor(embedders, space) : embedders.filter((one) => one.model === model);
  const [first] = embedders as readonly [ResolvedEmbedder, ...ResolvedEmbedder[]];
  if (own.length === 0) throw modelMismatch(OPERATION, model ?? space?.model ?? null, first.model);
  if (space !== null) for (const embedder of own) generationFor(OPERATION, space, embedder);
  return own;
}

/** Embeds texts, all of one embedder together. */
async function embedItems(
  { signal }: AddRequest,
  packed: readonly ReadyItem[],
  toEmbed: ReadonlyMap<ReadyItem, readonly ResolvedEmbedder[]>,
): Promise<ReadyItem[]> {
  const embedded = new Map(Array.from(toEmbed.keys(), (item) => [item, new Map<string, Float32Array>()]));
  for (const embedder of new Set([...toEmbed.values()].flat())) {
    const own = [...packed.entries()].filter(([, item]) => toEmbed.get(item)?.includes(embedder));
    const place = (at: number) => `items[${own[at]?.[0]}]`;
    const placesOf = (first: number, last: number) =>
      first === last ? place(first) : `${place(first)} to ${place(last)}`;
    const texts = own.map(([, { text }]) => text);
    const made = await embedTexts(OPERATION, embedder, texts, { purpose: "store", nameOf: placesOf, signal });
    for (const [at, [, item]] of own.entries()) {
      embedded.get(item)?.set(embedder.model, made[at] as Float32Array);
    }
  }
  return packed.map((item) => {
    const made = embedded.get(item);
    if (made !== undefined) return { ...item, made };
    return isToEmbed(item) ? { ...item, lacksVector: true } : item;
  });
}

function checkSizes(items: readonly ReadyItem[], maxBytes: number): void {
  let sum = 0;
  for (const [at, { text, value, given, made }] of items.entries()) {
    const floats = [given, ...made.values()].reduce((bytes, vector) => bytes + (vector?.byteLength ?? 0), 0);
    const bytes = text.length * 3 + (value.value?.byteLength ?? 0) + floats + 4_096;
    sum += bytes;
    if (bytes <= maxBytes && sum <= MAX_CALL_BYTES) continue;
    const which = bytes > maxBytes ? `items[${at}] takes ${bytes}` : `items[0] to items[${at}] take ${sum}`;
    const limit = bytes > maxBytes ? maxBytes : MAX_CALL_BYTES;
    const advice = "add fewer at once, split the text, or keep large files elsewhere";
    throw new CheckpointError(
      "STATE_TOO_LARGE",
      `${OPERATION}: ${which} bytes as sent, and the limit is ${limit}; ${advice}`,
    );
  }
}

/** Makes the spaces of items that are not there. Vectors are checked before that. `false`: all are. */
async function createMissing(
  engine: MemoryEngine,
  items: readonly ReadyItem[],
  found: ReadonlyMap<string, SpaceRow>,
  signal: AbortSignal,
): Promise<boolean> {
  const names = new Map(items.map((item) => [nameOf(item), item]));
  const missing = [...names].flatMap(([name, item]) => (found.has(name) ? [] : [item]));
  if (missing.length === 0) return false;
  for (const name of names.keys()) checkVectors(engine, items, name, found.get(name) ?? null);
  await createSpaces(engine, missing, signal);
  return true;
}

/** Finds the spaces of items that are there, by their names. */
async function spacesOfItems(
  engine: MemoryEngine,
  items: readonly ReadyItem[],
  signal: AbortSignal,
): Promise<Map<string, SpaceRow>> {
  const spaces = new Map<string, SpaceRow>();
  for (const owner of new Set(items.map((item) => item.owner))) {
    const collections = [...new Set(items.filter((item) => item.owner === owner).map((item) => item.collection))];
    for (const space of await findSpaces(engine, owner, collections, signal)) spaces.set(nameOf(space), space);
  }
  return spaces;
}

function nameOf({ owner, collection }: Pick<SpaceRow, "owner" | "collection">): string {
  return `${owner}\0${collection}`;
}

/**
 * Refuses vectors of one space's items that do not fit it, or each other.
 * @throws CheckpointError `DIMENSION_MISMATCH`, `MODEL_MISMATCH`
 */
function checkVectors(
  { options: { embedders } }: MemoryEngine,
  items: readonly ReadyItem[],
  name: string,
  space: SpaceRow | null,
): void {
  let first: VectorKind | null = null;
  for (const [at, item] of items.entries()) {
    const [kind] = nameOf(item) === name ? vectorsIn(embedders, item, space) : [];
    if (kind === undefined) continue;
    if (space !== null) generationFor(operationOn(at), space, kind);
    checkOfEmbedder(operationOn(at), embedders, kind);
    first ??= kind;
    checkDimensions(operationOn(at), first, kind.dimensions);
  }
}

/** Names an item in messages about its vector. */
function operationOn(at: number): string {
  return `${OPERATION}: items[${at}].embedding`;
}

interface Plan {
  readonly steps: readonly Step[];
  /** Items that the steps insert: all but those that are stored with the same content. */
  readonly inserted: ReadonlySet<ReadyItem>;
  /** The item of each request, as it is stored then. */
  readonly rows: readonly { readonly space: SpaceRow; readonly row: ItemRow }[];
}

interface Addend extends Pick<AddCall, "replace" | "analyses"> {
  readonly ready: readonly ReadyItem[];
  readonly spaces: ReadonlyMap<string, SpaceRow>;
  /** An attempt before this one may have taken place: its connection was lost, and nobody knows. */
  readonly isRetry: boolean;
  /** How far its numbers are to be ahead of those that others give now. */
  readonly aheadMs: number;
}

/** Changes of one space by a plan. */
class SpacePlan {
  readonly space: SpaceRow;
  /** The kind of the first vector that it inserts. */
  kind: VectorKind | null = null;
  items = 0;
  tokens = 0;
  readonly replaced: ItemRow[] = [];
  /** Number of the items that it leaves without a vector of the generation to come, and that were there before. */
  missed = 0;
  /** The first and the last of the numbers that it gives. */
  firstNumber: number | null = null;
  lastNumber: number;

  constructor(space: SpaceRow, aheadMs: number) {
    this.space = space;
    this.lastNumber = aheadMs === 0 ? space.lastNumber : numberClock.ahead(space.lastNumber, aheadMs);
  }

  newNumber(): number {
    this.lastNumber = numberClock.next(this.lastNumber);
    this.firstNumber ??= this.lastNumber;
    return this.lastNumber;
  }
}

/** Plans the addition on what is stored now; its guards refuse it if that has changed. */
async function planAddition(
  engine: MemoryEngine,
  { ready, replace, analyses, spaces, isRetry, aheadMs }: Addend,
  signal: AbortSignal,
): Promise<Plan> {
  const perSpace = new Map<number, SpacePlan>();
  const threads = new ThreadCounts();
  const inserted = new Map<ItemRow, ReadyItem>();
  const rows: { space: SpaceRow; row: ItemRow }[] = [];
  const known = await storedTwins(engine, ready, { spaces, isRetry }, signal);
  const now = Date.now();
  const planOf = (space: SpaceRow) => {
    const begun = perSpace.get(space.number);
    if (begun !== undefined) return begun;
    if (space.removal === 0) checkVectors(engine, ready, nameOf(space), space);
    const plan = new SpacePlan(space, aheadMs);
    perSpace.set(space.number, plan);
    return plan;
  };
  for (const [at, item] of ready.entries()) {
    const space = spaces.get(nameOf(item));
    if (space === undefined) throw new RangeError("expected each item to have its space");
    const plan = planOf(space);
    const twins = known.find(space.number, item);
    // Items that are being removed with their collection are gone, as expired ones are.
    const isLive = (row: ItemRow) => row.expiresAt > now && known.spaceOf(row).removal === 0;
    const [twin = null, ...others] = twins.filter(isLive);
    if (twins.some((row) => row.space !== space.number && isLive(row))) {
      throw conflict(OPERATION, `the id of items[${at}] is taken, in another collection of the owner`);
    }
    if (twin !== null && others.length === 0 && isSame(item, twin, replace)) {
      rows[at] = { space, row: twin };
      continue;
    }
    if (twin !== null && !replace) {
      throw conflict(OPERATION, `the ${nameInCommon(item, twin)} of items[${at}] is taken, by other content`);
    }
    const analysis = await analyses.of(space, item.newId, item.text);
    const number = twin?.number ?? plan.newNumber();
    const row = rowOf(item, { space: space.number, number, length: analysis.length, now, twin });
    for (const twin of twins) {
      const own = planOf(known.spaceOf(twin));
      known.remove(twin);
      // One of this call's own is not stored yet: only the last one is.
      if (!inserted.delete(twin)) own.replaced.push(twin);
      for (const one of rows) if (one.row === twin) one.row = row;
      own.items -= 1;
      own.tokens -= twin.length;
      threads.add(item.owner, twin.thread, -1);
    }
    plan.items += 1;
    plan.tokens += analysis.length;
    threads.add(item.owner, row.thread, 1);
    known.add(row);
    inserted.set(row, item);
    rows[at] = { space, row };
  }
  return {
    steps: await stepsOf(engine, perSpace, threads, inserted, analyses),
    inserted: new Set(inserted.values()),
    rows,
  };
}

/**
 * Finds items that have the id, the key, or, where the same text is to be one, the text of a new one. An id is looked for in all
 * collections of the owner.
 */
async function storedTwins(
  engine: MemoryEngine,
  items: readonly ReadyItem[],
  { spaces, isRetry }: Pick<Addend, "spaces" | "isRetry">,
  signal: AbortSignal,
): Promise<Twins> {
  const found: ItemRow[] = [];
  const find = async (where: Where<typeof ITEMS>, limit: number) =>
    limit > 0 && found.push(...(await engine.dialect.records.find(ITEMS, { where, limit }, signal)));
  for (const owner of new Set(items.map((item) => item.owner))) {
    const own = items.filter((item) => item.owner === owner);
    const ids = own.flatMap(({ id, newId }) => id ?? (isRetry ? newId : []));
    await find({ id: { in: ids }, owner }, ids.length);
  }
  for (const [name, { number: space }] of spaces) {
    const own = items.filter((item) => nameOf(item) === name);
    const keys = own.flatMap(({ key }) => key ?? []);
    const digests = own.flatMap(({ digest }) => digest ?? []);
    await find({ space, key: { in: keys } }, keys.length);
    await find({ space, textDigest: { in: digests } }, digests.length);
  }
  const known = new Map(Array.from(spaces.values(), (space) => [space.number, space]));
  const others = found.flatMap((row) => (known.has(row.space) ? [] : row.space));
  for (const [number, space] of await spacesByNumber(engine, others, signal)) known.set(number, space);
  // One without its space was removed since it was read.
  return new Twins(
    known,
    found.filter(({ space }) => known.has(space)),
  );
}

/** Items of the owners at hand, by what is unique in their spaces, or for the owner. */
class Twins {
  readonly #rows = new Map<string, ItemRow>();
  readonly #spaces: ReadonlyMap<number, SpaceRow>;

  constructor(spaces: ReadonlyMap<number, SpaceRow>, rows: readonly ItemRow[]) {
    this.#spaces = spaces;
    for (const row of rows) this.add(row);
  }

  spaceOf({ space }: ItemRow): SpaceRow {
    return this.#spaces.get(space) as SpaceRow;
  }

  add(row: ItemRow): void {
    for (const name of namesOf(row.space, row)) this.#rows.set(name, row);
  }

  remove(row: ItemRow): void {
    for (const name of namesOf(row.space, row)) this.#rows.delete(name);
  }

  /** Finds the items that a new one has something in common with: the one with its id first, then by its key, then by its text. */
  find(space: number, item: ReadyItem): ItemRow[] {
    const { owner, key, digest: textDigest } = item;
    const names = namesOf(space, { owner, id: item.id ?? item.newId, key, textDigest });
    return [...new Set(names.flatMap((name) => this.#rows.get(name) ?? []))];
  }
}

/** Names what an item has in common with another one, for messages. */
function nameInCommon(item: ReadyItem, twin: ItemRow): string {
  if (item.id !== null && item.id === twin.id) return "id";
  return item.key !== null && item.key === twin.key ? "key" : "text";
}

function namesOf(
  space: number,
  { owner, id, key, textDigest: digest }: Pick<ItemRow, "owner" | "id" | "key" | "textDigest">,
): string[] {
  return [
    `id ${id} ${owner}`,
    ...(key === null ? [] : [`${space} key ${key}`]),
    ...(digest === null ? [] : [`${space} text ${Buffer.from(digest).toString("base64")}`]),
  ];
}

/**
 * Returns whether an item has the content of a stored one: all that was given, but for its vector. One that replaces and was given a
 * vector is another one: what is stored may have none, or the one of another text.
 */
function isSame(item: ReadyItem, row: ItemRow, replaces: boolean): boolean {
  const isText = item.text === readText(row);
  // By its text alone: what else was given is of another occasion.
  if (item.digest !== null && isText) return true;
  if (replaces && item.embedding !== undefined) return false;
  return (
    isText &&
    sameBytes(item.value.valueDigest, row.valueDigest) &&
    item.threadId === row.thread &&
    item.role === row.role &&
    item.key === row.key &&
    item.metadata === row.metadata &&
    item.checkpointId === row.checkpointId &&
    (item.id === null || item.id === row.id) &&
    (item.importance === null || item.importance === row.importance) &&
    (item.createdAt === null || item.createdAt === row.createdAt) &&
    (item.expiresAt ?? NEVER) === row.expiresAt
  );
}

function sameBytes(one: Uint8Array | null, other: Uint8Array | null): boolean {
  if (one === null || other === null) return one === other;
  return Buffer.compare(one, other) === 0;
}

/** Makes the row of an item. One that replaces another keeps its number, id and time, unless others were given. */
function rowOf(
  item: ReadyItem,
  { now, twin, ...numbers }: Pick<ItemRow, "space" | "number" | "length"> & { now: number; twin: ItemRow | null },
): ItemRow {
  return {
    ...numbers,
    id: item.id ?? twin?.id ?? item.newId,
    owner: item.owner,
    thread: item.threadId,
    role: item.role,
    key: item.key,
    importance: item.importance ?? 0.5,
    createdAt: item.createdAt ?? twin?.createdAt ?? now,
    expiresAt: item.expiresAt ?? NEVER,
    textDigest: item.digest,
    checkpointId: item.checkpointId,
    revision: newRevision(),
    pending: null,
    metadata: item.metadata,
    ...storeText(item.text),
    ...item.value,
  };
}

async function stepsOf(
  { options: { embedders } }: MemoryEngine,
  perSpace: ReadonlyMap<number, SpacePlan>,
  threads: ThreadCounts,
  inserted: ReadonlyMap<ItemRow, ReadyItem>,
  analyses: Analyses,
): Promise<Step[]> {
  if (inserted.size === 0) return [];
  const rows = [...inserted.keys()];
  const touched = [...perSpace.values()]
    .filter(({ space, replaced }) => replaced.length > 0 || rows.some((row) => row.space === space.number))
    .sort((one, other) => one.space.number - other.space.number);
  const removals: Step[][] = [];
  for (const { space, replaced } of touched) removals.push(await removeFound(space, replaced, analyses));
  const postings: TermRow[] = [];
  const vectors: ItemVector[] = [];
  for (const [row, item] of inserted) {
    const plan = perSpace.get(row.space) as SpacePlan;
    const { space } = plan;
    const analysis = await analyses.of(space, item.newId, item.text);
    for (const posting of postingsOf(row.space, row.number, analysis)) postings.push(posting);
    const own = vectorsIn(embedders, item, space).map(({ vector, ...kind }) => {
      const generation = generationFor(OPERATION, space, kind);
      plan.kind ??= kind;
      return { space: row.space, number: row.number, generation, vector };
    });
    vectors.push(...own);
    // A re-embedding that is under way may have met the item that this one replaces.
    const hasNext = own.some(({ generation }) => generation === space.nextGeneration);
    const isMissed = space.nextGeneration !== null && !hasNext && item.text !== "";
    if (isMissed && row.number <= space.lastNumber) plan.missed += 1;
  }
  return [
    // The spaces first, in one order for all clients: writers of one space wait for each other here, and nowhere else.
    ...touched.map((plan) => updateSpace(plan)),
    ...threads.steps(),
    ...removals.flat(),
    insertRecords(ITEMS, rows),
    ...insertVectors(vectors),
    ...insertPostings(postings),
  ];
}

/**
 * Counts the items, and fixes the kind of the vectors with the first one. Guard: the space is as it was read, and no other commit has given
 * it higher numbers, behind which a reader may be already.
 */
function updateSpace({ space, kind, items, tokens, missed, firstNumber, lastNumber }: SpacePlan): Step {
  const { number, removal, generation, dimensions, model, nextGeneration } = space;
  const set = firstVectorOf(space, kind);
  return updateRecords(
    SPACES,
    {
      ...{ number, removal, generation, dimensions, model, nextGeneration },
      ...(firstNumber !== null && { lastNumber: { below: firstNumber } }),
    },
    {
      ...{ items: new Addition(items), tokens: new Addition(tokens), revision: newRevision(), ...set },
      ...(missed > 0 && { nextMissed: new Addition(missed) }),
      ...(firstNumber !== null && { lastNumber }),
    },
    1,
  );
}

/** @throws CheckpointError `NOT_FOUND` if a thread of the items is missing */
async function checkThreads(
  { dialect }: MemoryEngine,
  items: readonly PreparedItem[],
  signal: AbortSignal,
): Promise<void> {
  const threads = new Map<string, Set<string>>();
  for (const { owner, threadId } of items) {
    if (threadId !== null) threads.set(owner, (threads.get(owner) ?? new Set()).add(threadId));
  }
  for (const [owner, ids] of threads) {
    const where = { owner, id: { in: [...ids] } };
    const found = await dialect.records.find(THREADS, { where, columns: ["id"], limit: ids.size }, signal);
    for (const { id } of found) ids.delete(id);
  }
  const at = items.findIndex(({ owner, threadId }) => threadId !== null && threads.get(owner)?.has(threadId));
  if (at !== -1) throw noSuch(OPERATION, `thread with the id of items[${at}].threadId`);
}
