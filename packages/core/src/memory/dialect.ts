import type { Database } from "../database/database.ts";
import type { Records, Where } from "../records/records.ts";
import type { ITEMS } from "./tables.ts";

/**
 * Seam between the memory engine and a database: the verbs over its tables (see `records/`), and what is searched. The engine
 * checks, analyzes, scores and decides; a dialect finds candidates.
 */
export interface MemoryDialect extends Database {
  readonly records: Records;
  /**
   * Finds vectors that are near to another one, in any order: those with the most similar signatures, or by an index of the
   * database's own. All of a space, if it has no more than `limit`.
   */
  nearest(query: NearestQuery, signal: AbortSignal): Promise<number[]>;
  /**
   * Finds the nearest vectors by their cosine, computed in the database with at least float32. `null`: it has no such function, and
   * the engine reads all vectors for that.
   */
  nearestExactly(query: NearestQuery, signal: AbortSignal): Promise<number[] | null>;
  /** Counts the items of a space that have each of these terms. Terms that none has are left out. */
  countTerms(space: number, terms: readonly string[], signal: AbortSignal): Promise<TermCount[]>;
  /** Finds the items with the highest scores; of equal ones those with the highest numbers. */
  scoreTerms(query: TermQuery, signal: AbortSignal): Promise<ScoredNumber[]>;
  /** Absent: this database has no index of vectors, or none that we make. */
  readonly vectorIndex?: VectorIndex;
}

/** A filter of items. */
export type RowFilter = Where<typeof ITEMS>;

export interface NearestQuery {
  readonly space: number;
  readonly generation: number;
  readonly vector: Float32Array;
  readonly signature: Uint8Array;
  /** Only items that it selects; `null`: all. Its `space` need not be given. */
  readonly filter: RowFilter | null;
  /** Number of items in the space, about: for the choice between an index and a scan. */
  readonly size: number;
  /** Maximum number of candidates. */
  readonly limit: number;
}

export interface TermCount {
  readonly term: string;
  readonly count: number;
}

export interface TermQuery {
  readonly space: number;
  readonly terms: readonly TermWeight[];
  /** Constants of the formula, see `ranking.ts`. */
  readonly base: number;
  readonly perToken: number;
  readonly filter: RowFilter | null;
  readonly limit: number;
}

export interface TermWeight {
  readonly term: string;
  readonly weight: number;
}

export interface ScoredNumber {
  readonly number: number;
  /** A whole number: the sum of the contributions of its terms, see `ranking.ts`. */
  readonly score: number;
}

/** An index of vectors of the database's own, for spaces with so many that reading all signatures takes too long. */
export interface VectorIndex {
  /**
   * Makes the index for vectors of these dimensions, without blocking writers, and returns its name. If it is there, nothing
   * changes.
   */
  create(dimensions: number, signal: AbortSignal): Promise<string>;
  drop(dimensions: number, signal: AbortSignal): Promise<boolean>;
}
