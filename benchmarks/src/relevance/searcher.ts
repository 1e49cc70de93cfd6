/**
 * A memory of one collection, as the measurement of relevance needs it: texts and vectors go in, and a search returns which of them it
 * found. A storage joins the measurement by a function that makes one.
 */
export interface Searcher {
  readonly title: string;
  add(items: readonly SearchedItem[]): Promise<void>;
  /** Returns the positions of the items found, in the order in which they were added: from 0. The best comes first. */
  search(query: Query): Promise<number[]>;
  close(): Promise<void>;
}

export interface SearchedItem {
  readonly text: string;
  readonly vector: Float32Array;
}

/** At least one of text and vector is given. */
export interface Query {
  readonly text: string | null;
  readonly vector: Float32Array | null;
  readonly fusion: { readonly text: number; readonly vector: number } | "rrf";
  readonly limit: number;
  /** Number of vectors that are compared exactly, chosen by their signatures; `null`: the default. */
  readonly compared: number | null;
}
