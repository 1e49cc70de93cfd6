import { newRevision } from "../database/ids.ts";
import { expectRecords, removeKeys, updateRecords } from "../records/records.ts";
import type { CheckedReembed } from "./arguments.ts";
import type { ReembedResult } from "./contract.ts";
import { embedTexts, insertVectors } from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine, REMOVED_AT_ONCE } from "./engine.ts";
import { changedTooOften, dimensionMismatch, noSuch } from "./failures.ts";
import { readText } from "./items.ts";
import { findSpace } from "./spaces.ts";
import { ITEMS, type ItemRow, SIGNATURES, SPACES, type SpaceRow, VECTORS } from "./tables.ts";

/**
 * Re-embedding: all items of a space get vectors of another generation, beside those that are searched; then one update makes that the
 * generation that is searched. It asks for what is missing, so it may end anywhere and go on from there.
 */

const OPERATION = "re-embed";

/** Items without a text that are looked up at once. */
const COUNTED_AT_ONCE = 1_000;

type Unembedded = Pick<ItemRow, "number" | "text" | "rawText" | "revision">;

export async function reembed(engine: MemoryEngine, options: CheckedReembed): Promise<ReembedResult> {
  const { signal, onProgress } = options;
  let embedded = 0;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const space = await begin(engine, options);
    const generation = space.nextGeneration ?? space.generation;
    // Counted once for each pass: a count looks at all of the space.
    let progress = onProgress === undefined ? null : await progressOf(engine, space, generation, signal);
    for await (const items of missingItems(engine, space, generation, options)) {
      const texts = items.map(readText);
      const vectors = await embedTexts(OPERATION, options.embedder, texts, "store", signal);
      const inserted = await insertMissing(engine, space, generation, { items, vectors }, signal);
      embedded += inserted;
      if (progress === null) continue;
      progress = { done: progress.done + inserted, total: Math.max(progress.total, progress.done + inserted) };
      onProgress?.(progress);
    }
    if (await finish(engine, options, space, generation)) {
      await removeOtherGenerations(engine, space.number, generation, signal);
      return { embedded };
    }
  }
  throw changedTooOften(OPERATION);
}

/** Returns the space, with the generation to come if its vectors are of another model. @throws CheckpointError */
async function begin({ dialect, session, ...engine }: MemoryEngine, options: CheckedReembed): Promise<SpaceRow> {
  const { owner, collection, embedder, signal } = options;
  const { model, dimensions } = embedder;
  return await session.run(OPERATION, signal, async (deadline) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const space = await findSpace({ dialect, session, ...engine }, owner, collection, deadline);
      if (space === null) throw noSuch(OPERATION, "collection of this name");
      if (space.nextModel === model && space.nextGeneration !== null) {
        if (space.nextDimensions !== dimensions) {
          throw dimensionMismatch(OPERATION, "the collection has", space.nextDimensions as number, dimensions);
        }
        return space;
      }
      // Of the model that it has: only items without a vector get one. Another re-embedding that was begun is given up.
      const isCurrent = space.model === model || space.dimensions === null;
      if (isCurrent && space.dimensions !== null && space.dimensions !== dimensions) {
        throw dimensionMismatch(OPERATION, "the collection has", space.dimensions, dimensions);
      }
      if (isCurrent && space.nextGeneration === null && space.dimensions !== null) return space;
      const next = isCurrent
        ? { nextGeneration: null, nextModel: null, nextDimensions: null, model, dimensions }
        : {
            nextGeneration: (await lastGeneration({ dialect, session, ...engine }, space, deadline)) + 1,
            nextModel: model,
            nextDimensions: dimensions,
          };
      const isRead = { number: space.number, removal: 0, revision: space.revision };
      const set = { ...next, revision: newRevision() };
      const changed = await dialect.records.change([updateRecords(SPACES, isRead, set, 1)], deadline);
      if (changed !== null) return { ...space, ...set };
    }
    throw changedTooOften(OPERATION);
  });
}

/** Returns the highest generation that vectors of a space are of: one that was given up may have left some. */
async function lastGeneration({ dialect }: MemoryEngine, space: SpaceRow, signal: AbortSignal): Promise<number> {
  const query = { where: { space: space.number }, columns: ["generation"], order: [["generation", "desc"]] } as const;
  const [last] = await dialect.records.find(SIGNATURES, { ...query, limit: 1 }, signal);
  return Math.max(space.generation, space.nextGeneration ?? 0, last?.generation ?? 0);
}

/** Iterates over the items with a text that have no vector of a generation, in batches. */
async function* missingItems(
  { dialect, session }: MemoryEngine,
  { number: space }: SpaceRow,
  generation: number,
  { batchSize, signal }: CheckedReembed,
): AsyncIterableIterator<Unembedded[]> {
  for (let after = 0; ; ) {
    const { items, missing } = await session.run(OPERATION, signal, async (deadline) => {
      const read = await dialect.records.find(
        ITEMS,
        {
          where: { space, number: { above: after }, text: { not: "" } },
          columns: ["number", "text", "rawText", "revision"],
          order: [["number", "asc"]],
          limit: batchSize,
        },
        deadline,
      );
      const where = { space, generation, number: { in: read.map(({ number }) => number) } };
      const vectors =
        read.length === 0
          ? []
          : await dialect.records.find(SIGNATURES, { where, columns: ["number"], limit: read.length }, deadline);
      const have = new Set(vectors.map(({ number }) => number));
      return { items: read, missing: read.filter(({ number }) => !have.has(number)) };
    });
    if (missing.length > 0) yield missing;
    const last = items.at(-1);
    if (last === undefined || items.length < batchSize) return;
    after = last.number;
  }
}

/** Inserts vectors of items whose text is still the one that was embedded. Those that have changed are met again. */
async function insertMissing(
  { dialect, session }: MemoryEngine,
  { number: space, nextGeneration, generation: current }: SpaceRow,
  generation: number,
  { items, vectors }: { readonly items: readonly Unembedded[]; readonly vectors: readonly Float32Array[] },
  signal: AbortSignal | undefined,
): Promise<number> {
  const insertSome = async (from: number, to: number, deadline: AbortSignal) => {
    const some = items.slice(from, to);
    const numbers = some.map(({ number }) => number);
    const isRead = { space, number: { in: numbers }, revision: { in: some.map(({ revision }) => revision) } };
    const rows = some.map(({ number }, at) => ({
      space,
      number,
      generation,
      vector: vectors[from + at] as Float32Array,
    }));
    try {
      const steps = [
        // Locks the space, as every writer does first: so nothing is switched meanwhile.
        updateRecords(
          SPACES,
          { number: space, removal: 0, generation: current, nextGeneration },
          { revision: newRevision() },
          1,
        ),
        expectRecords(ITEMS, isRead, some.length),
        ...insertVectors(rows),
      ];
      return (await dialect.records.change(steps, deadline)) === null ? 0 : some.length;
    } catch (error) {
      if (session.isDuplicate(error) || session.isForeignKey(error)) return 0; // another process was faster
      throw error;
    }
  };
  return await session.run(OPERATION, signal, async (deadline) => {
    const inserted = await insertSome(0, items.length, deadline);
    if (inserted > 0 || items.length === 1) return inserted;
    // One of them has changed: the others get theirs one by one.
    let count = 0;
    for (let at = 0; at < items.length; at++) count += await insertSome(at, at + 1, deadline);
    return count;
  });
}

async function progressOf(
  { dialect, session }: MemoryEngine,
  { number: space }: SpaceRow,
  generation: number,
  signal: AbortSignal | undefined,
): Promise<{ done: number; total: number }> {
  return await session.run(OPERATION, signal, async (deadline) => ({
    done: await countEmbedded(dialect, space, generation, deadline),
    total: await dialect.records.count(ITEMS, { space, text: { not: "" } }, deadline),
  }));
}

/** Counts the items with a text that have a vector of a generation. An item without a text may have one too, which was given. */
async function countEmbedded(
  { records }: MemoryEngine["dialect"],
  space: number,
  generation: number,
  signal: AbortSignal,
): Promise<number> {
  let count = await records.count(SIGNATURES, { space, generation }, signal);
  for (let after = 0; ; ) {
    const where = { space, number: { above: after }, text: "" };
    const order = [["number", "asc"]] as const;
    const page = await records.find(ITEMS, { where, columns: ["number"], order, limit: COUNTED_AT_ONCE }, signal);
    const numbers = page.map(({ number }) => number);
    if (numbers.length > 0)
      count -= await records.count(SIGNATURES, { space, generation, number: { in: numbers } }, signal);
    if (numbers.length < COUNTED_AT_ONCE) return count;
    after = numbers.at(-1) as number;
  }
}

/** Switches to the new generation if no item lacks a vector of it, in one update. `false`: some do. */
async function finish(
  engine: MemoryEngine,
  { owner, collection, embedder, signal }: CheckedReembed,
  { number: space, nextGeneration }: SpaceRow,
  generation: number,
): Promise<boolean> {
  const { dialect, session } = engine;
  return await session.run(OPERATION, signal, async (deadline) => {
    const now = await findSpace(engine, owner, collection, deadline);
    if (now === null || now.number !== space) throw noSuch(OPERATION, "collection of this name");
    const done = await countEmbedded(dialect, space, generation, deadline);
    const total = await dialect.records.count(ITEMS, { space, text: { not: "" } }, deadline);
    if (done < total) return false;
    if (nextGeneration === null || now.generation === generation) return true;
    // Guard: no item came since the count, whose vector would be of the old generation alone.
    const isRead = { number: space, removal: 0, revision: now.revision };
    const set = {
      generation,
      model: embedder.model,
      dimensions: embedder.dimensions,
      nextGeneration: null,
      nextModel: null,
      nextDimensions: null,
      revision: newRevision(),
    };
    return (await dialect.records.change([updateRecords(SPACES, isRead, set, 1)], deadline)) !== null;
  });
}

/** Removes vectors of generations that are not searched any more. */
async function removeOtherGenerations(
  { dialect, session }: MemoryEngine,
  space: number,
  generation: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const table of [SIGNATURES, VECTORS] as const) {
    for (let after = 0; ; ) {
      const last = await session.run(OPERATION, signal, async (deadline) => {
        const keys = await dialect.records.find(
          table as typeof SIGNATURES,
          {
            where: { space, number: { above: after }, generation: { below: generation } },
            columns: ["space", "number", "generation"],
            order: [["number", "asc"]],
            limit: REMOVED_AT_ONCE,
          },
          deadline,
        );
        if (keys.length > 0) await dialect.records.change([removeKeys(table as typeof SIGNATURES, keys)], deadline);
        return keys.length < REMOVED_AT_ONCE ? null : (keys.at(-1)?.number ?? null);
      });
      if (last === null) break;
      after = last - 1; // an item may have several generations
    }
  }
}
