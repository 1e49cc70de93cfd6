import type { CheckpointError } from "../contract/errors.ts";
import { newRevision } from "../database/ids.ts";
import { expectRecords, removeKeys, updateRecords } from "../records/records.ts";
import type { CheckedReembed } from "./arguments.ts";
import type { ReembedProgress, ReembedResult } from "./contract.ts";
import { checkDimensions, embedTexts, insertVectors, isOfTexts } from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine, REMOVED_AT_ONCE } from "./engine.ts";
import { changedTooOften, conflict, noSuch } from "./failures.ts";
import { readText } from "./items.ts";
import { ITEMS, type ItemRow, SIGNATURES, SPACES, type SpaceRow, VECTORS } from "./tables.ts";

/**
 * Re-embedding: all items of a space get vectors of another generation, beside those that are searched; then one update makes that the
 * generation that is searched. It asks for what is missing, so it may end anywhere and go on from there.
 *
 * Nothing is counted for that. Numbers of items grow in the order of commits, so a walk up to the space's last number has met all of
 * them; and changes of those that it may have met are counted in `nextMissed`. If both are as they were before the walk, nothing is missing.
 * For vectors that are searched no changes are counted: an item whose text changes behind the walk, without a vector, is left.
 */

const OPERATION = "re-embed";

/** Items whose numbers are read at once. */
const PAGE = 1_000;

/** After so many texts in a row that the embedder failed with, each by itself, it is not the texts. */
const MAX_FAILURES_IN_A_ROW = 20;

/** Failures that are told. */
const MAX_TOLD = 100;

type Unembedded = Pick<ItemRow, "number" | "id" | "text" | "rawText" | "revision">;

/** An item whose text the embedder failed with. */
interface Failure {
  readonly id: string;
  readonly revision: string;
  readonly error: CheckpointError;
}

export async function reembed(engine: MemoryEngine, options: CheckedReembed): Promise<ReembedResult> {
  const { number, generation } = await begin(engine, options);
  const run = new Reembedding(engine, options, number, generation);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (!(await run.pass())) continue;
    await removeOtherGenerations(engine, number, options.signal);
    return run.result();
  }
  throw changedTooOften(OPERATION);
}

/**
 * Returns the number of the space, and the generation of the embedder's model: the one that is searched, or one to come.
 * @throws CheckpointError `NOT_FOUND`, `DIMENSION_MISMATCH`, `CONFLICT`
 */
async function begin(
  { dialect, session }: MemoryEngine,
  { owner, collection, embedder, restart, signal }: CheckedReembed,
): Promise<Pick<SpaceRow, "number" | "generation">> {
  const { model, dimensions } = embedder;
  const decide = (space: SpaceRow): Partial<SpaceRow> | null => {
    const { nextGeneration, nextModel, nextDimensions, lastGeneration } = space;
    const isBegun = nextGeneration !== null && nextModel === model;
    if (isBegun && (nextDimensions === dimensions || !restart)) {
      checkDimensions(OPERATION, { model, dimensions: nextDimensions as number }, dimensions);
      return null;
    }
    if (nextGeneration !== null && !restart) {
      const other = `the collection is being re-embedded with the model ${JSON.stringify(nextModel)}`;
      throw conflict(OPERATION, `${other}: finish that, or give it up with \`restart: true\``);
    }
    const none = { nextGeneration: null, nextModel: null, nextDimensions: null, revision: newRevision() };
    if (space.dimensions === null) return { ...none, model, dimensions };
    if (space.model === model) {
      // Of the model that it has: only items without a vector get one.
      checkDimensions(OPERATION, { model, dimensions: space.dimensions }, dimensions);
      return nextGeneration === null ? null : none;
    }
    const next = lastGeneration + 1;
    return { ...none, nextGeneration: next, nextModel: model, nextDimensions: dimensions, lastGeneration: next };
  };
  return await session.run(OPERATION, signal, async (deadline) => {
    const space = await dialect.records.modify(SPACES, { owner, collection, removal: 0 }, decide, deadline);
    if (space === null) throw noCollection();
    return { number: space.number, generation: space.nextGeneration ?? space.generation };
  });
}

const noCollection = () => noSuch(OPERATION, "collection of this name");

/** @throws CheckpointError `CONFLICT` if the vectors of a generation are neither searched nor to come */
function checkNotGivenUp(space: SpaceRow, generation: number): void {
  if (space.generation === generation || space.nextGeneration === generation) return;
  throw conflict(OPERATION, "another call has given up this one's model");
}

/** One call's work on one space. */
class Reembedding {
  readonly #engine: MemoryEngine;
  readonly #options: CheckedReembed;
  readonly #space: number;
  readonly #generation: number;
  #embedded = 0;
  /** By the items' numbers. */
  #failures = new Map<number, Failure>();
  #failuresInARow = 0;
  #done = 0;

  constructor(engine: MemoryEngine, options: CheckedReembed, space: number, generation: number) {
    this.#engine = engine;
    this.#options = options;
    this.#space = space;
    this.#generation = generation;
  }

  result(): ReembedResult {
    const failures = [...this.#failures.values()];
    return {
      embedded: this.#embedded,
      failed: failures.length,
      failures: failures.slice(0, MAX_TOLD).map(({ id, error }) => ({ id, error })),
    };
  }

  /** Walks over all items, and switches to the generation. `false`: some have changed behind the walk. */
  async pass(): Promise<boolean> {
    const failedBefore = this.#failures;
    this.#failures = new Map();
    this.#done = 0;
    const { nextMissed, lastNumber } = await this.#run((deadline) => this.#readSpace(deadline));
    let isWhole = true;
    let after = 0;
    for (let upTo = lastNumber; ; ) {
      for (let isLast = false; !isLast; ) {
        const numbers = await this.#numbersBehind(after);
        const missing = await this.#missing(numbers);
        this.#done += numbers.length - missing.length;
        for (let at = 0; at < missing.length; at += this.#options.batchSize) {
          const isEmbedded = await this.#embedSome(missing.slice(at, at + this.#options.batchSize), failedBefore);
          isWhole &&= isEmbedded;
        }
        after = numbers.at(-1) ?? after;
        isLast = numbers.length < PAGE;
      }
      after = Math.max(after, upTo);
      const { state, last } = await this.#finish({ after, nextMissed, isWhole });
      if (state !== "behind") return state === "done";
      upTo = last;
    }
  }

  async #run<Result>(work: (deadline: AbortSignal) => Promise<Result>): Promise<Result> {
    return await this.#engine.session.run(OPERATION, this.#options.signal, work);
  }

  async #readSpace(deadline: AbortSignal): Promise<SpaceRow> {
    const where = { number: this.#space, removal: 0 };
    const [space] = await this.#engine.dialect.records.find(SPACES, { where, limit: 1 }, deadline);
    if (space === undefined) throw noCollection();
    checkNotGivenUp(space, this.#generation);
    return space;
  }

  async #numbersBehind(after: number): Promise<number[]> {
    const where = { space: this.#space, number: { above: after } };
    const query = { where, columns: ["number"], order: [["number", "asc"]], limit: PAGE } as const;
    const rows = await this.#run((deadline) => this.#engine.dialect.records.find(ITEMS, query, deadline));
    return rows.map(({ number }) => number);
  }

  /** Returns which of these items have no vector of the generation: those without a text too. */
  async #missing(numbers: readonly number[]): Promise<number[]> {
    if (numbers.length === 0) return [];
    const where = { space: this.#space, generation: this.#generation, number: { in: numbers } };
    const query = { where, columns: ["number"], limit: numbers.length } as const;
    const rows = await this.#run((deadline) => this.#engine.dialect.records.find(SIGNATURES, query, deadline));
    const have = new Set(rows.map(({ number }) => number));
    return numbers.filter((number) => !have.has(number));
  }

  /** Gives items their vectors. `false`: some have changed meanwhile, and may have none. */
  async #embedSome(numbers: readonly number[], failedBefore: ReadonlyMap<number, Failure>): Promise<boolean> {
    const { space, items } = await this.#read(numbers);
    const toEmbed = items.filter(({ number, revision }) => {
      const failure = failedBefore.get(number);
      if (failure?.revision !== revision) return true;
      this.#failures.set(number, failure);
      return false;
    });
    const embedded: EmbeddedItem[] = [];
    const { maxBatch } = this.#options.embedder;
    for (let at = 0; at < toEmbed.length; at += maxBatch) {
      embedded.push(...(await this.#embed(toEmbed.slice(at, at + maxBatch))));
    }
    const inserted = embedded.length === 0 ? 0 : await this.#insert(embedded);
    this.#embedded += inserted;
    this.#done += numbers.length;
    const progress: ReembedProgress = { done: this.#done, total: Math.max(space.items, this.#done) };
    this.#options.onProgress?.(progress);
    return inserted === embedded.length;
  }

  /** Reads the texts of items, as far as there is still something to embed: another process may be at it too. */
  async #read(numbers: readonly number[]): Promise<{ space: SpaceRow; items: Unembedded[] }> {
    const missing = await this.#missing(numbers);
    const where = { space: this.#space, number: { in: missing }, text: { not: "" } };
    const columns = ["number", "id", "text", "rawText", "revision"] as const;
    const order = [["number", "asc"]] as const;
    const query = { where, columns, order, limit: numbers.length };
    return await this.#run(async (deadline) => ({
      space: await this.#readSpace(deadline),
      items: missing.length === 0 ? [] : await this.#engine.dialect.records.find(ITEMS, query, deadline),
    }));
  }

  /** Embeds texts; if that fails, one by one. Those that fail are left out. @throws CheckpointError */
  async #embed(items: readonly Unembedded[]): Promise<EmbeddedItem[]> {
    const { embedder, signal } = this.#options;
    const nameOf = () => (items.length === 1 ? "an item" : `${items.length} items`);
    try {
      const vectors = await embedTexts(OPERATION, embedder, items.map(readText), { purpose: "store", nameOf, signal });
      this.#failuresInARow = 0;
      return items.map((item, at) => ({ item, vector: vectors[at] as Float32Array }));
    } catch (error) {
      if (!isOfTexts(error)) throw error;
      const [item, ...others] = items as readonly [Unembedded, ...Unembedded[]];
      if (others.length === 0) {
        this.#failures.set(item.number, { ...item, error: error as CheckpointError });
        this.#failuresInARow += 1;
        if (this.#failuresInARow < MAX_FAILURES_IN_A_ROW) return [];
        throw error;
      }
    }
    const embedded: EmbeddedItem[] = [];
    for (const item of items) embedded.push(...(await this.#embed([item])));
    return embedded;
  }

  /** Inserts vectors of items that are as they were read, and returns how many. */
  async #insert(embedded: readonly EmbeddedItem[]): Promise<number> {
    if (await this.#run((deadline) => this.#tryInsert(embedded, deadline))) return embedded.length;
    if (embedded.length === 1) return 0;
    // One of them has changed: the others get theirs one by one, each within a deadline of its own.
    let count = 0;
    for (const one of embedded) if (await this.#run((deadline) => this.#tryInsert([one], deadline))) count += 1;
    return count;
  }

  async #tryInsert(embedded: readonly EmbeddedItem[], deadline: AbortSignal): Promise<boolean> {
    const { dialect, session } = this.#engine;
    const [space, generation] = [this.#space, this.#generation];
    const items = embedded.map(({ item }) => item);
    const isRead = {
      space,
      number: { in: items.map(({ number }) => number) },
      revision: { in: items.map(({ revision }) => revision) },
    };
    const rows = embedded.map(({ item: { number }, vector }) => ({ space, number, generation, vector }));
    const now = await this.#readSpace(deadline);
    const isOfSpace = { number: space, removal: 0, generation: now.generation, nextGeneration: now.nextGeneration };
    try {
      const steps = [
        // Locks the space, as every writer does first: so nothing is switched or given up meanwhile.
        updateRecords(SPACES, isOfSpace, { revision: newRevision() }, 1),
        expectRecords(ITEMS, isRead, items.length),
        ...insertVectors(rows),
      ];
      return (await dialect.records.change(steps, deadline)) !== null;
    } catch (error) {
      if (session.isDuplicate(error) || session.isForeignKey(error)) return false; // another process was faster
      throw error;
    }
  }

  /**
   * Switches to the generation if nothing is missing. The row is locked: no item comes, and none changes, meanwhile. `last`: the last number
   * that the space has now.
   */
  async #finish({ after, nextMissed, isWhole }: Walk): Promise<{ state: "done" | "behind" | "again"; last: number }> {
    const generation = this.#generation;
    const { model, dimensions } = this.#options.embedder;
    const where = { number: this.#space, removal: 0 };
    let state: "done" | "behind" | "again" = "done";
    const decide = (space: SpaceRow): Partial<SpaceRow> | null => {
      checkNotGivenUp(space, generation);
      const isSearched = space.generation === generation;
      if (space.lastNumber > after) state = "behind";
      else if (!isWhole || space.nextMissed !== nextMissed) state = "again";
      else state = "done";
      if (state !== "done" || isSearched || this.#failures.size > 0) return null;
      const next = { nextGeneration: null, nextModel: null, nextDimensions: null };
      return { generation, model, dimensions, ...next, revision: newRevision() };
    };
    return await this.#run(async (deadline) => {
      const space = await this.#engine.dialect.records.modify(SPACES, where, decide, deadline);
      if (space === null) throw noCollection();
      return { state, last: space.lastNumber };
    });
  }
}

interface EmbeddedItem {
  readonly item: Unembedded;
  readonly vector: Float32Array;
}

/** State of a walk: it has met all items up to a number, as they were when so many changes had been missed. */
interface Walk {
  readonly after: number;
  readonly nextMissed: number;
  /** Whether all that lacked a vector got one, or failed. */
  readonly isWhole: boolean;
}

/** Removes vectors that are neither searched nor of a generation to come: of the model before, and of those that were given up. */
async function removeOtherGenerations(
  { dialect, session }: MemoryEngine,
  number: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { records } = dialect;
  for (let after = 0; ; ) {
    const last = await session.run(OPERATION, signal, async (deadline) => {
      const [space] = await records.find(SPACES, { where: { number }, limit: 1 }, deadline);
      if (space === undefined) return null;
      const { generation, nextGeneration } = space;
      const page = await records.find(
        SIGNATURES,
        {
          where: { space: number, number: { above: after } },
          columns: ["space", "number", "generation"],
          order: [["number", "asc"]],
          limit: REMOVED_AT_ONCE,
        },
        deadline,
      );
      const others = page.filter((row) => row.generation !== generation && row.generation !== nextGeneration);
      // Guard: a generation that another call begins meanwhile is none of them.
      const isRead = expectRecords(SPACES, { number, generation, nextGeneration }, 1);
      const steps = [isRead, removeKeys(SIGNATURES, others), removeKeys<typeof VECTORS>(VECTORS, others)];
      if (others.length > 0 && (await records.change(steps, deadline)) === null) return after;
      const { number: end = null } = page.at(-1) ?? {};
      return page.length < REMOVED_AT_ONCE ? null : end;
    });
    if (last === null) return;
    // The rows of one item may be on two pages.
    after = Math.max(after, last - 1);
  }
}
