import { invalidArgument } from "../contract/errors.ts";
import { inTurns } from "../database/event-loop.ts";
import type { CheckedSearch } from "./arguments.ts";
import type { Hit, Item } from "./contract.ts";
import type { RowFilter, TermCount } from "./dialect.ts";
import { embedTexts, generationFor, modelFor } from "./embedding.ts";
import { MAX_ATTEMPTS, type MemoryEngine } from "./engine.ts";
import { changedTooOften, modelMismatch, type VectorKind } from "./failures.ts";
import { itemOf } from "./items.ts";
import { notExpired } from "./list.ts";
import type { ResolvedEmbedder } from "./options.ts";
import { languageOf } from "./postings.ts";
import {
  byScore,
  type Candidate,
  candidates,
  fuse,
  lengthNorm,
  MAX_POSTINGS,
  MORE_POSTINGS,
  nearSignatures,
  SCALE,
  termWeights,
} from "./ranking.ts";
import { cosine, signatureOf } from "./signature.ts";
import { findSpaces } from "./spaces.ts";
import { ITEMS, type ItemRow, type SpaceRow, VECTORS } from "./tables.ts";
import { queryTermSteps } from "./words.ts";

/** Searching: candidates by words and by vectors from the database; scores, fusion and order are computed here. */

const OPERATION = "search";

/** Vectors that are read at once. */
const VECTORS_AT_ONCE = 1_000;

/** Hits whose neighbours are read at once: more would wait for a connection, as would all other calls. */
const HITS_AT_ONCE = 4;

/** A vector that is searched for. */
interface WantedVector extends VectorKind {
  readonly vector: Float32Array;
}

export async function search(engine: MemoryEngine, query: CheckedSearch): Promise<Hit[]> {
  const isEmbedding = engine.options.embedders.length > 0;
  if (needsVector(query) && (query.vector === null || (query.vector === undefined && !isEmbedding))) {
    const expected = "a vector, or left out in a memory with an embedder, since words alone do not count";
    throw invalidArgument("search.vector", expected, query.vector);
  }
  if (!isEmbedding) return await embedAndSearch(engine, query);
  return await engine.longCalls.run(OPERATION, query.signal, (signal) => embedAndSearch(engine, { ...query, signal }));
}

async function embedAndSearch(engine: MemoryEngine, query: CheckedSearch): Promise<Hit[]> {
  const made = new Map<string, Float32Array>();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const answer = await searchWith(engine, query, made);
    if ("hits" in answer) return answer.hits;
    // Outside of the search, whose deadline is the database's. Once for each model.
    for (const embedder of answer.missing) made.set(embedder.model, await embedQuery(embedder, query));
  }
  throw changedTooOften(OPERATION);
}

type Answer = { readonly hits: Hit[] } | { readonly missing: readonly ResolvedEmbedder[] };

/**
 * Searches with vectors of the text, by their models. `missing`: embedders of models that the collections have, and whose vectors are not among
 * them. None: a re-embedding has ended meanwhile, and the vectors that were searched for have gone.
 */
async function searchWith(
  engine: MemoryEngine,
  query: CheckedSearch,
  made: ReadonlyMap<string, Float32Array>,
): Promise<Answer> {
  return await engine.session.run(
    OPERATION,
    query.signal,
    async (deadline) => {
      const spaces = await findSpaces(engine, query.owner, query.collections, deadline);
      const embedders = new Set(spaces.flatMap((space) => embedderToSearch(engine, query, space) ?? []));
      const missing = [...embedders].filter(({ model }) => !made.has(model));
      if (missing.length > 0) return { missing };
      const vectorOf = (space: SpaceRow) => wantedVector(engine, query, made, space);
      const wanted: Wanted = {
        text: query.text,
        vectorOf,
        isByVector: (query.vector ?? null) !== null || spaces.some((space) => vectorOf(space) !== null),
      };
      const hits = await hitsOf(engine, query, wanted, spaces, deadline);
      if (!wanted.isByVector) return { hits };
      // The vectors of a space that was re-embedded may have been exchanged, and removed, meanwhile.
      const now = await findSpaces(engine, query.owner, query.collections, deadline);
      const generations = (all: readonly SpaceRow[]) => all.map(({ number, generation }) => `${number} ${generation}`);
      const isSame = generations(now).sort().join() === generations(spaces).sort().join();
      return isSame ? { hits } : { missing: [] };
    },
    { "waymark.collections": query.collections.length },
  );
}

/** Runs a search, with more postings each time, until its answer is full or has all that there is. */
async function hitsOf(
  engine: MemoryEngine,
  query: CheckedSearch,
  wanted: Wanted,
  spaces: readonly SpaceRow[],
  deadline: AbortSignal,
): Promise<Hit[]> {
  const filter = Object.keys(query.rows).length === 0 ? null : notExpired(query.rows);
  for (let maxPostings = MAX_POSTINGS; ; ) {
    const one = new SearchRun(engine, query, wanted, maxPostings, deadline);
    const found = (await one.run(spaces, filter)) ?? (await one.run(spaces, notExpired(query.rows))) ?? [];
    if (found.length >= query.limit || one.wantedPostings === null) return found;
    // Frequent words were left out, and so were items that have no others of the query.
    maxPostings = Math.max(MORE_POSTINGS * maxPostings, one.wantedPostings);
  }
}

/** Text and vector that are searched for. */
interface Wanted {
  readonly text: string | null;
  /** Whether there is a vector for any space. */
  readonly isByVector: boolean;
  vectorOf(space: SpaceRow): WantedVector | null;
}

/** Returns the vector to search a space with; `null`: none, it is searched by words alone. */
function wantedVector(
  { options: { embedders } }: MemoryEngine,
  query: CheckedSearch,
  made: ReadonlyMap<string, Float32Array>,
  space: SpaceRow,
): WantedVector | null {
  const isGiven = query.vector !== undefined;
  const vector = isGiven ? query.vector : (made.get(space.model ?? "") ?? null); // no model's name is empty
  if (vector === null) return null;
  const model = isGiven ? (query.model ?? modelFor(embedders, space)) : space.model;
  return { vector, model, dimensions: vector.length };
}

/**
 * Returns the embedder of the text, for one space; `null`: it is not searched by a vector, or none fits and its words do.
 * @throws CheckpointError `MODEL_MISMATCH` if none fits, and words do not count
 */
function embedderToSearch(
  { options: { embedders } }: MemoryEngine,
  query: CheckedSearch,
  { dimensions, model }: SpaceRow,
): ResolvedEmbedder | null {
  const { text, vector, fusion, requireVector } = query;
  const [first] = embedders;
  const isByVector = requireVector || fusion === "rrf" || fusion.vector > 0;
  const isEmbedded = vector === undefined && text !== null && text !== "" && isByVector;
  if (first === undefined || !isEmbedded || dimensions === null) return null;
  const embedder = embedders.find((one) => one.model === model);
  if (embedder !== undefined) return embedder;
  if (needsVector(query)) throw modelMismatch(OPERATION, model, first.model);
  return null;
}

/** Returns whether a search by words alone is none: they do not count. */
function needsVector({ fusion, requireVector }: CheckedSearch): boolean {
  return requireVector || (fusion !== "rrf" && fusion.text === 0);
}

async function embedQuery(embedder: ResolvedEmbedder, { text, signal }: CheckedSearch): Promise<Float32Array> {
  const nameOf = () => "search.text";
  const [vector] = await embedTexts(OPERATION, embedder, [text as string], { purpose: "search", nameOf, signal });
  return vector as Float32Array;
}

/** A candidate in one of several spaces. Its position stands for both where only numbers do. */
interface Found {
  readonly space: SpaceRow;
  readonly number: number;
  similarity: number | null;
  textScore: number | null;
}

/** One search, whose statements have the same deadline. */
class SearchRun {
  readonly #engine: MemoryEngine;
  readonly #query: CheckedSearch;
  readonly #wanted: Wanted;
  readonly #maxPostings: number;
  readonly #signal: AbortSignal;
  #wantedPostings: number | null = null;

  constructor(engine: MemoryEngine, query: CheckedSearch, wanted: Wanted, maxPostings: number, signal: AbortSignal) {
    this.#engine = engine;
    this.#query = query;
    this.#wanted = wanted;
    this.#maxPostings = maxPostings;
    this.#signal = signal;
  }

  /** Postings with which another word takes part in the search; `null`: none that could add a hit was left out. */
  get wantedPostings(): number | null {
    return this.#query.requireVector ? null : this.#wantedPostings;
  }

  /**
   * Runs the search. `null`: an item whose time has come took the place of another one, since nothing was filtered (`filter` is `null`):
   * most collections have no such items, and a search without a filter reads less.
   */
  async run(spaces: readonly SpaceRow[], filter: RowFilter | null): Promise<Hit[] | null> {
    const { limit, fusion, requireVector, minSimilarity } = this.#query;
    const found = new Map<string, Found>();
    const byText: Found[] = [];
    const byVector: Found[] = [];
    for (const space of spaces) {
      for (const { number, score } of await this.#nearVectors(space, filter)) {
        byVector.push(entryOf(found, space, number, { similarity: score }));
      }
      for (const { number, score } of await this.#withTerms(space, filter)) {
        byText.push(entryOf(found, space, number, { textScore: score }));
      }
    }
    // Numbers of different spaces may be the same: positions in their common order are not.
    const all = [...found.values()].sort(
      (one, other) => one.number - other.number || one.space.number - other.space.number,
    );
    const positions = new Map(all.map((one, at) => [one, at]));
    const candidatesOf = (side: readonly Found[], score: (one: Found) => number | null) =>
      side.map((one): Candidate => ({ number: positions.get(one) as number, score: score(one) as number }));
    if (requireVector) await this.#addSimilarities(byText);
    const ranked = fuse(
      this.#wanted.text === null ? null : candidatesOf(byText, ({ textScore }) => textScore),
      !this.#wanted.isByVector ? null : candidatesOf(byVector, ({ similarity }) => similarity),
      fusion,
    )
      .map(({ number, score }) => ({ found: all[number] as Found, score }))
      .filter(({ found: { similarity } }) => !requireVector || (similarity !== null && similarity >= minSimilarity));
    const rows = await this.#read(ranked, { limit, isFiltered: filter !== null });
    if (rows === null) return null;
    await this.#addSimilarities(rows.map((hit) => hit.found));
    const hits: Hit[] = [];
    for (let at = 0; at < rows.length; at += HITS_AT_ONCE) {
      hits.push(...(await Promise.all(rows.slice(at, at + HITS_AT_ONCE).map((hit) => this.#hitOf(hit)))));
    }
    return hits;
  }

  /** Returns the nearest vectors of a space with their cosines, the nearest first. */
  async #nearVectors(space: SpaceRow, filter: RowFilter | null): Promise<Candidate[]> {
    const wanted = this.#wanted.vectorOf(space);
    const { limit, isExact, minSimilarity, fusion, requireVector } = this.#query;
    if (wanted === null || space.dimensions === null) return [];
    const { vector } = wanted;
    // Also where the vector only tells the similarity of hits by words: vectors of other models are compared nowhere.
    const operation = `${OPERATION}: search.collections[${this.#query.collections.indexOf(space.collection)}]`;
    const generation = generationFor(operation, { ...space, nextModel: null }, wanted);
    if (fusion !== "rrf" && fusion.vector === 0 && !requireVector) return [];
    const query = {
      space: space.number,
      generation,
      vector,
      signature: signatureOf(vector),
      filter,
      size: space.items,
      limit: nearSignatures(limit),
    };
    const { dialect } = this.#engine;
    const numbers = isExact
      ? await dialect.nearestExactly(query, this.#signal)
      : await dialect.nearest(query, this.#signal);
    const scored = numbers === null ? await this.#allVectors(query) : await this.#cosines(query, numbers);
    return scored
      .filter(({ score }) => score >= minSimilarity)
      .sort(byScore)
      .slice(0, candidates(limit));
  }

  async #cosines(
    { space, generation, vector }: { space: number; generation: number; vector: Float32Array },
    numbers: readonly number[],
  ): Promise<Candidate[]> {
    const scored: Candidate[] = [];
    for (let at = 0; at < numbers.length; at += VECTORS_AT_ONCE) {
      const some = numbers.slice(at, at + VECTORS_AT_ONCE);
      const rows = await this.#engine.dialect.records.find(
        VECTORS,
        { where: { space, generation, number: { in: some } }, columns: ["number", "vector"], limit: some.length },
        this.#signal,
      );
      for (const row of rows) scored.push({ number: row.number, score: cosine(row.vector, vector) });
    }
    return scored;
  }

  /** Compares all vectors of a space, where the database cannot. */
  async #allVectors({
    space,
    generation,
    vector,
    filter,
  }: {
    space: number;
    generation: number;
    vector: Float32Array;
    filter: RowFilter | null;
  }): Promise<Candidate[]> {
    const { records } = this.#engine.dialect;
    const scored: Candidate[] = [];
    for (let after = 0; ; ) {
      const rows = await records.find(
        VECTORS,
        {
          where: { space, generation, number: { above: after } },
          columns: ["number", "vector"],
          order: [["number", "asc"]],
          limit: VECTORS_AT_ONCE,
        },
        this.#signal,
      );
      const selected = filter === null ? null : await this.#selected(space, rows, filter);
      for (const row of rows) {
        if (selected === null || selected.has(row.number))
          scored.push({ number: row.number, score: cosine(row.vector, vector) });
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < VECTORS_AT_ONCE) return scored;
      after = last.number;
    }
  }

  /** Returns which of these items a filter selects. */
  async #selected(
    space: number,
    rows: readonly { readonly number: number }[],
    filter: RowFilter,
  ): Promise<Set<number>> {
    const where = { ...filter, space, number: { in: rows.map(({ number }) => number) } };
    const query = { where, columns: ["number"], limit: VECTORS_AT_ONCE } as const;
    const found = await this.#engine.dialect.records.find(ITEMS, query, this.#signal);
    return new Set(found.map(({ number }) => number));
  }

  /** Returns the items of a space that have any of the words, with their BM25 in units of `ranking.ts`; the best first. */
  async #withTerms(space: SpaceRow, filter: RowFilter | null): Promise<Candidate[]> {
    const { text } = this.#wanted;
    const { fusion, limit } = this.#query;
    if (text === null || (fusion !== "rrf" && fusion.text === 0)) return [];
    const terms = await inTurns(queryTermSteps(text, languageOf(space)));
    if (terms.length === 0) return [];
    const { dialect } = this.#engine;
    const counts = await dialect.countTerms(space.number, terms, this.#signal);
    const weights = termWeights(
      new Map(counts.map(({ term, count }) => [term, count])),
      space.items,
      this.#maxPostings,
    );
    if (weights.size === 0) return [];
    this.#noteLeftOut(counts, weights);
    return await dialect.scoreTerms(
      {
        space: space.number,
        terms: Array.from(weights, ([term, weight]) => ({ term, weight })),
        ...lengthNorm(space.tokens / Math.max(1, space.items)),
        filter,
        limit: candidates(limit),
      },
      this.#signal,
    );
  }

  #noteLeftOut(counts: readonly TermCount[], weights: ReadonlyMap<string, number>): void {
    const leftOut = counts.filter(({ term }) => !weights.has(term)).map(({ count }) => count);
    if (leftOut.length === 0) return;
    const read = counts.reduce((sum, { term, count }) => sum + (weights.has(term) ? count : 0), 0);
    const wanted = read + Math.min(...leftOut);
    this.#wantedPostings = Math.min(wanted, this.#wantedPostings ?? wanted);
  }

  /**
   * Reads the items of the best candidates. One that was deleted since it was found makes room for the next, as does one whose time has
   * come since it was filtered. `null`: the time of one has come, and nothing was filtered.
   */
  async #read(
    ranked: readonly { readonly found: Found; readonly score: number }[],
    { limit, isFiltered }: { limit: number; isFiltered: boolean },
  ): Promise<Ranked[] | null> {
    const hits: Ranked[] = [];
    const now = Date.now();
    for (let at = 0; at < ranked.length && hits.length < limit; ) {
      const some = ranked.slice(at, at + limit - hits.length);
      at += some.length;
      const rows = await this.#rowsOf(some.map(({ found }) => found));
      for (const { found, score } of some) {
        const row = rows.get(found);
        if (row === undefined || (row.expiresAt <= now && isFiltered)) continue;
        if (row.expiresAt <= now) return null;
        hits.push({ found, score, row });
      }
    }
    return hits;
  }

  async #rowsOf(found: readonly Found[]): Promise<Map<Found, ItemRow>> {
    const rows = new Map<Found, ItemRow>();
    for (const space of new Set(found.map((one) => one.space))) {
      const own = found.filter((one) => one.space === space);
      const where = { space: space.number, number: { in: own.map(({ number }) => number) } };
      const stored = await this.#engine.dialect.records.find(ITEMS, { where, limit: own.length }, this.#signal);
      const byNumber = new Map(stored.map((row) => [row.number, row]));
      for (const one of own) {
        const row = byNumber.get(one.number);
        if (row !== undefined) rows.set(one, row);
      }
    }
    return rows;
  }

  /** Adds the similarities of hits that were found by their words. */
  async #addSimilarities(hits: readonly Found[]): Promise<void> {
    const missing = hits.filter(({ similarity, space }) => similarity === null && space.dimensions !== null);
    for (const space of new Set(missing.map((one) => one.space))) {
      const wanted = this.#wanted.vectorOf(space);
      if (wanted === null) continue;
      const own = missing.filter((one) => one.space === space);
      const { number, generation } = space;
      const scored = await this.#cosines(
        { space: number, generation, vector: wanted.vector },
        own.map((one) => one.number),
      );
      const byNumber = new Map(scored.map((one) => [one.number, one.score]));
      for (const one of own) one.similarity = byNumber.get(one.number) ?? null;
    }
  }

  async #hitOf({ found, score, row }: Ranked): Promise<Hit> {
    const { space, similarity, textScore } = found;
    const { around } = this.#query;
    return {
      item: await itemOf(OPERATION, space, row),
      score,
      ...(similarity !== null && { similarity }),
      ...(textScore !== null && { textScore: textScore / SCALE }),
      ...(around > 0 &&
        row.thread !== null && {
          before: (await this.#neighbours(space, row, "desc")).reverse(),
          after: await this.#neighbours(space, row, "asc"),
        }),
    };
  }

  /** Reads the items before (`desc`) or after (`asc`) one in its thread, the nearest first. */
  async #neighbours(space: SpaceRow, row: ItemRow, direction: "asc" | "desc"): Promise<Item[]> {
    const rows = await this.#engine.dialect.records.find(
      ITEMS,
      {
        where: notExpired({ space: space.number, thread: row.thread as string }),
        order: [["number", direction]],
        after: [row.number],
        limit: this.#query.around,
      },
      this.#signal,
    );
    return await Promise.all(rows.map((one) => itemOf(OPERATION, space, one)));
  }
}

interface Ranked {
  readonly found: Found;
  readonly score: number;
  readonly row: ItemRow;
}

/** Returns the candidate of a number, with a score of one side. */
function entryOf(
  found: Map<string, Found>,
  space: SpaceRow,
  number: number,
  score: Partial<Pick<Found, "similarity" | "textScore">>,
): Found {
  const key = `${space.number} ${number}`;
  const one = found.get(key) ?? { space, number, similarity: null, textScore: null };
  found.set(key, one);
  return Object.assign(one, score);
}
