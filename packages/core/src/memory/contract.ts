import type { CallOptions, CheckpointMetadata, CloseOptions, MigrateMode } from "../contract/checkpoints.ts";
import type { CheckpointError } from "../contract/errors.ts";
import type { CircuitState, StorageEvents, StorageHealth } from "../contract/status.ts";
import type { Language } from "./words.ts";

/**
 * The contract of memory: what an agent remembers, beside the checkpoints that let it go on.
 *
 * Everything belongs to an owner (a user, a tenant, an agent: the application's id), and every call names it, but for an operator's:
 * `listOwners`, `prune({ expired: true })` and the two of vector indexes. No other call reads, finds, counts or reports anything of
 * another owner. A search finds items: messages, memories, chunks of documents. Items are kept in collections; a collection has one
 * analyzer language, and vectors of one model.
 *
 * Errors that any call may have are not listed with each: `INVALID_ARGUMENT`, `CLOSED`, `ABORTED`, `TIMEOUT`, `CONTENTION` (others
 * changed the same rows too often), and those of a database that cannot be reached.
 */
export interface MemoryStorage {
  /**
   * Creates a conversation or document. The same id with the same content (kind, title, metadata, and `createdAt` if it is given) is one
   * thread, and creating it again returns the one that is there.
   * @throws CheckpointError `CONFLICT` if the owner has one with this id and other content
   */
  createThread(thread: NewThread, options?: CallOptions): Promise<Thread>;
  getThread(owner: string, id: string, options?: CallOptions): Promise<Thread | null>;
  /** Lists an owner's threads, the last updated one first. A new item updates its thread. */
  listThreads(query: ThreadQuery): Promise<Thread[]>;
  /** Changes what is given. @throws CheckpointError `NOT_FOUND`; `CONFLICT` if `ifRevision` is another one's */
  updateThread(owner: string, id: string, change: ThreadChange, options?: IfRevision): Promise<Thread>;
  /**
   * Deletes a thread with its items, in commits of at most 500 items; a search finds none of those that are gone. Returns whether
   * there was one.
   */
  deleteThread(owner: string, id: string, options?: DeleteThreadOptions): Promise<boolean>;

  /**
   * Adds items in one commit, in this order: text, vector and terms together or not at all. Returns them as they are stored.
   *
   * The same id or key with the same content is one item, and adding it again returns the one that is there, without embedding its text;
   * with other content it is a `CONFLICT`, or, with `replace`, replaces it. An id of another collection of the owner is a `CONFLICT`. With `dedup` the same text is one item.
   * @throws CheckpointError `INVALID_ARGUMENT`, `DIMENSION_MISMATCH`, `MODEL_MISMATCH`, `CONFLICT`, `NOT_FOUND` (a thread),
   * `EMBEDDING_FAILED`, `EMBEDDING_INVALID` (the embedder; they name the items),
   * `UNSUPPORTED_VALUE` (a value), `STATE_TOO_LARGE`; then nothing is added
   */
  addItems(items: readonly NewItem[], options?: AddOptions): Promise<Item[]>;
  /**
   * Changes the members that are given. Another text without an embedding is embedded, or loses its vector if there is no embedder.
   * @throws CheckpointError `NOT_FOUND` (the item, or a thread); `CONFLICT` if `ifRevision` is another one's, or another item has the
   * key, or the text that is to be one item; `DIMENSION_MISMATCH`, `MODEL_MISMATCH`, `EMBEDDING_FAILED`, `EMBEDDING_INVALID`,
   * `UNSUPPORTED_VALUE`, `STATE_TOO_LARGE`; then nothing is changed
   */
  updateItem(owner: string, id: string, change: ItemChange, options?: IfRevision): Promise<Item>;
  getItem(owner: string, id: string, options?: CallOptions): Promise<Item | null>;
  /** Lists items in the order in which they were added, or the newest first. */
  listItems(query: ItemQuery): Promise<Item[]>;
  /** Counts the items that a list would show: without those whose time has come. */
  countItems(filter: ItemFilter): Promise<number>;
  /**
   * Deletes items, in commits of at most 500, and returns how many there were. Ids that are not there are
   * skipped. An item whose time has come is deleted too.
   */
  deleteItems(owner: string, ids: readonly string[], options?: CallOptions): Promise<number>;
  /** Deletes the items that a filter selects, in commits of at most 500, and returns how many. */
  deleteItemsWhere(filter: ItemFilter): Promise<number>;

  /**
   * Finds items by their words, by meaning, or both; the best first.
   * @throws CheckpointError `MODEL_MISMATCH`, `DIMENSION_MISMATCH` if the vector is not as those of a collection; `EMBEDDING_FAILED`,
   * `EMBEDDING_INVALID`
   */
  search(search: MemorySearch): Promise<Hit[]>;

  getCollection(owner: string, collection: string, options?: CallOptions): Promise<Collection | null>;
  /** Lists an owner's collections, in the order of their names' bytes. */
  listCollections(query: CollectionQuery): Promise<Collection[]>;
  /** Lists the owners that have collections, in the order of their names' bytes: for who operates the application, not for its users. */
  listOwners(query?: OwnerQuery): Promise<string[]>;
  deleteCollection(owner: string, collection: string, options?: CallOptions): Promise<boolean>;
  /**
   * Gives all items of a collection vectors of another model. It may be interrupted at any moment, and goes on where it was when it is
   * called again. Until it has finished, searches use the vectors that were there.
   *
   * Texts that the embedder fails with are skipped, and told; after 20 in a row the call fails as the last one did.
   * @throws CheckpointError `NOT_FOUND`; `DIMENSION_MISMATCH`; `CONFLICT` if the collection is being re-embedded with another model, or
   * another call gives up what this one does; `EMBEDDING_FAILED`, `EMBEDDING_INVALID`, `TIMEOUT`
   */
  reembed(options: ReembedOptions): Promise<ReembedResult>;

  /**
   * Makes an index of all vectors of these dimensions, for collections with very many, without blocking writers, and returns its name.
   * PostgreSQL with the extension pgvector only. It may take hours; if it is interrupted, call it again.
   * @throws CheckpointError `INVALID_CONFIG` if the database has no such index; `INVALID_ARGUMENT` above 4,000 dimensions
   */
  createVectorIndex(dimensions: number, options?: VectorIndexOptions): Promise<string>;
  /** Drops it. `false`: there was none. */
  dropVectorIndex(dimensions: number, options?: VectorIndexOptions): Promise<boolean>;

  /** Deletes all that an owner has. The first commits hide it from all calls; the rows follow. */
  forgetOwner(owner: string, options?: CallOptions): Promise<ForgetResult>;
  /** Deletes what the rules do not keep, in bounded commits. */
  prune(policy: MemoryPrunePolicy): Promise<MemoryPruneResult>;

  health(options?: CallOptions): Promise<StorageHealth>;
  status(): Promise<MemoryStatus>;
  /** See `CheckpointStorage.migrate`. Memory has a schema and a history of its own. */
  migrate(mode?: MigrateMode): Promise<string[]>;
  /** Calls back at each such event; returns an unsubscribe function. */
  on<Name extends "retry" | "circuit" | "created">(
    event: Name,
    listener: (event: StorageEvents[Name]) => void,
  ): () => void;
  /**
   * Waits for the calls under way, then closes what the memory has opened itself. Those that embed texts, make an index, delete or prune are
   * waited for at most `timeoutMs`, and are `CLOSED` then. Later calls are `CLOSED` at once.
   */
  close(options?: CloseOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface NewThread {
  /** The owner: 1 to 255 bytes of UTF-8, compared byte for byte. */
  readonly owner: string;
  /** 1 to 255 bytes of UTF-8, unique for the owner. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  /** `"conversation"`, `"document"` or a kind of your own: 1 to 64 bytes. Default `"conversation"`. */
  readonly kind?: string | undefined;
  /** Up to 16 KiB. */
  readonly title?: string | undefined;
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. */
  readonly createdAt?: number | undefined;
}

/** A thread as it is stored. Members that were not given are absent. */
export interface Thread {
  readonly owner: string;
  readonly id: string;
  readonly kind: string;
  readonly title?: string;
  readonly metadata?: CheckpointMetadata;
  readonly createdAt: number;
  /** When it, or its items, were changed last. */
  readonly updatedAt: number;
  /** Number of its items; with those whose time has come, until they are pruned. */
  readonly items: number;
  /** Changes with every update of the thread itself. */
  readonly revision: string;
}

export interface ThreadQuery extends CallOptions {
  readonly owner: string;
  readonly kind?: string;
  /** Only threads that have all of these labels with exactly these values. */
  readonly metadata?: CheckpointMetadata;
  /** Only threads behind this one in the list: the cursor of the next page. */
  readonly before?: Pick<Thread, "id" | "updatedAt"> | undefined;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

/** `null` removes a member. */
export interface ThreadChange {
  readonly title?: string | null;
  readonly metadata?: CheckpointMetadata | null;
}

export interface IfRevision extends CallOptions {
  /** Change only if this is still its revision, else `CONFLICT`. `undefined` is refused. */
  readonly ifRevision?: string;
}

export interface DeleteThreadOptions extends CallOptions {
  /** Delete it only if it has no items, else return `false`. Default `false`. */
  readonly ifEmpty?: boolean | undefined;
}

export interface NewItem {
  readonly owner: string;
  /** `"messages"`, `"memories"`, `"documents"`: 1 to 1,024 bytes of UTF-8. It is made by its first item. */
  readonly collection: string;
  /** The text that is searched, of any length and any content; `""` is never found by text. */
  readonly text: string;
  /** Any value that a checkpoint's `state` may have. */
  readonly value?: unknown;
  /** A thread of the owner's. */
  readonly threadId?: string | undefined;
  /** Who said it (`"user"`, `"assistant"`): 1 to 64 bytes. */
  readonly role?: string | undefined;
  /** A name that is unique in the collection: 1 to 1,024 bytes. */
  readonly key?: string | undefined;
  /** A UUIDv7 that no other item of the owner has, for calls that somebody may repeat. Default: a new one. */
  readonly id?: string | undefined;
  /**
   * A vector of 1 to 4,096 dimensions: finite, not all zero. The first one fixes the collection's dimensions. Default: made by the
   * options' embedder if the text is not empty; without one the item has none. `null`: none, and the text is not embedded
   * until a `reembed`.
   */
  readonly embedding?: Float32Array | readonly number[] | null | undefined;
  /** 0 to 1. Default 0.5. */
  readonly importance?: number | undefined;
  /** Flat labels to filter by: up to 16 KiB when encoded as JSON lines. */
  readonly metadata?: CheckpointMetadata | undefined;
  /** In milliseconds since 1970-01-01 UTC. Default: now. Never an order: items are ordered as they were added. */
  readonly createdAt?: number | undefined;
  /** From this time on nothing finds it, and `prune` removes it. Default: never. */
  readonly expiresAt?: number | undefined;
  /** The checkpoint that it belongs to. A label: the checkpoint need not exist. */
  readonly checkpointId?: string | undefined;
  /**
   * Make the same text one item of the collection, among those that were added with `dedup`. An item with an id or a key is one by these
   * alone. Default `false`.
   */
  readonly dedup?: boolean | undefined;
}

export interface AddOptions extends CallOptions {
  /** Replace items with the same id or key, instead of refusing other content. Default `false`. */
  readonly replace?: boolean | undefined;
  /**
   * Name of the model that the given embeddings are of. Default: that of the embedder or of the collection. If the first vector of a
   * collection names none, those that name one are a `MODEL_MISMATCH` until it is re-embedded: nobody knows whether they are the same.
   */
  readonly model?: string | undefined;
}

/** An item as it is stored. Members that were not given are absent. */
export interface Item {
  readonly owner: string;
  readonly collection: string;
  readonly id: string;
  /** Orders the items of a collection as they were added, by whichever process. */
  readonly position: number;
  readonly text: string;
  readonly value?: unknown;
  readonly threadId?: string;
  readonly role?: string;
  readonly key?: string;
  readonly importance: number;
  readonly metadata?: CheckpointMetadata;
  readonly createdAt: number;
  readonly expiresAt?: number;
  readonly checkpointId?: string;
  /** Changes with every update. */
  readonly revision: string;
}

/**
 * Members that are absent stay as they are, and `null` removes one. The text, the importance and `value` cannot be removed;
 * `value: undefined` is a value too.
 */
export interface ItemChange {
  /** Another text is embedded by the options' embedder, unless `embedding` is given; without an embedder the item loses its vector. */
  readonly text?: string;
  readonly value?: unknown;
  /** Moves the item to another thread of the owner's. */
  readonly threadId?: string | null;
  readonly role?: string | null;
  /** A key that no other item of the collection has. */
  readonly key?: string | null;
  readonly embedding?: Float32Array | readonly number[] | null;
  /** Name of the model that `embedding` is of. Default: that of the embedder or of the collection. */
  readonly model?: string;
  readonly importance?: number;
  readonly metadata?: CheckpointMetadata | null;
  readonly expiresAt?: number | null;
  readonly checkpointId?: string | null;
}

/** A filter, all of whose members narrow. `undefined` is refused: it would select what was not meant. */
export interface ItemConditions {
  readonly threadId?: string;
  readonly role?: string;
  /** Only items with this key, or with one of 1 to 1,000 of them. */
  readonly key?: string | readonly string[];
  /** Only items that have all of these labels with exactly these values. */
  readonly metadata?: CheckpointMetadata;
  /** Only items of this importance or more. */
  readonly minImportance?: number;
  /** Only items with a `createdAt` of at least this, or below this. */
  readonly createdFrom?: number;
  readonly createdBefore?: number;
}

export interface ItemFilter extends ItemConditions, CallOptions {
  readonly owner: string;
  /** Default: all of the owner's collections. */
  readonly collection?: string;
}

export interface ItemQuery extends ItemFilter {
  /** `"oldest"` or `"newest"` first. Default `"oldest"`. */
  readonly order?: "oldest" | "newest" | undefined;
  /**
   * Only items behind this position in the list: the cursor of the next page. Needs `collection`. An item that is added later is behind all
   * that were there.
   */
  readonly after?: number | undefined;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

export interface MemorySearch extends CallOptions {
  readonly owner: string;
  /** 1 to 16 of them; those that do not exist have no hits. */
  readonly collections: readonly string[];
  /** Words: an item that has any of them is a hit. There are no operators, and no text is an error. */
  readonly text?: string;
  /**
   * A vector of the collections' model. Default: with an embedder, that of `text`, made once for each model; a collection whose model has none
   * is searched by words alone, and is a `MODEL_MISMATCH` if words do not count. `null`: none, search by words alone.
   */
  readonly vector?: Float32Array | readonly number[] | null;
  /** Name of the model that `vector` is of. Default: that of the embedder or of the collection. */
  readonly model?: string;
  /**
   * How to merge hits by text and by vector: weights of their scores, each normalised over its hits; or reciprocal ranks (k = 60).
   * Default: 0.5 each.
   */
  readonly fusion?: { readonly text: number; readonly vector: number } | "rrf" | undefined;
  /** Lowest cosine similarity of hits by vector, -1 to 1. A hit by text alone passes, unless `requireVector` is set. */
  readonly minSimilarity?: number;
  /** Only hits by vector; text then only raises their scores. Default `false`. */
  readonly requireVector?: boolean | undefined;
  readonly filter?: ItemConditions;
  /** 1 to 1,000. Default 10. */
  readonly limit?: number | undefined;
  /** Neighbours in the thread to return with each hit, before and after it: 0 to 50. Default 0. */
  readonly around?: number | undefined;
  /** Compare all vectors, instead of those with similar signatures. Default `false`. */
  readonly exact?: boolean | undefined;
}

export interface Hit {
  readonly item: Item;
  /** 0 to 1; comparable within one answer only. */
  readonly score: number;
  /** Cosine of the item's vector and the one that was searched for; absent without one of them. */
  readonly similarity?: number;
  /** BM25; absent if it was not found by its words. */
  readonly textScore?: number;
  /** The hit's neighbours in its thread, in order; absent without `around`. */
  readonly before?: readonly Item[];
  readonly after?: readonly Item[];
}

export interface Collection {
  readonly owner: string;
  readonly collection: string;
  readonly language: Language;
  /** Dimensions and model of its vectors; absent until its first one, or until it is re-embedded. */
  readonly dimensions?: number;
  readonly model?: string;
  /** Number of its items; with those whose time has come, until they are pruned. */
  readonly items: number;
  /** Set while it is being re-embedded. */
  readonly reembedding?: { readonly model: string; readonly dimensions: number };
  readonly createdAt: number;
}

export interface CollectionQuery extends CallOptions {
  readonly owner: string;
  /** Only collections behind this name. */
  readonly after?: string | undefined;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

export interface OwnerQuery extends CallOptions {
  /** Only owners behind this one. */
  readonly after?: string | undefined;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

/** Turns texts into vectors. */
export interface Embedder {
  /**
   * Name of the model: vectors of different models are never compared. 1 to 255 bytes. It is the model's identity: with other dimensions, or
   * another prefix, it needs another name.
   */
  readonly model: string;
  readonly dimensions: number;
  /** Returns a vector for each text. Never called within a transaction. */
  embed(texts: readonly string[], options: EmbedOptions): Promise<readonly (Float32Array | readonly number[])[]>;
  /** The most texts of one call. Default 96. */
  readonly maxBatch?: number | undefined;
  /** Deadline of one call, in milliseconds. Default 60,000. */
  readonly timeoutMs?: number | undefined;
}

export interface EmbedOptions {
  /** Some models embed what is stored and what is searched for differently. */
  readonly purpose: "store" | "search";
  readonly signal: AbortSignal;
}

export interface ReembedOptions extends CallOptions {
  readonly owner: string;
  readonly collection: string;
  /** Default: the first of the memory's own. */
  readonly embedder?: Embedder | undefined;
  /** Items that are embedded and written at once: 1 to 1,000. Default 96, or the embedder's `maxBatch`. */
  readonly batchSize?: number | undefined;
  /** Give up what was begun with another model. Default `false`: that is a `CONFLICT`. */
  readonly restart?: boolean | undefined;
  readonly onProgress?: ((progress: ReembedProgress) => void) | undefined;
}

export interface ReembedProgress {
  /** Items of the collection that were looked at, and have a vector of the model, or no text. */
  readonly done: number;
  /** Items of the collection. */
  readonly total: number;
}

export interface ReembedResult {
  /** Items that this call has embedded. */
  readonly embedded: number;
  /**
   * Items whose texts the embedder failed with, each by itself. They keep the vectors that they have, and while there are any, searches use
   * the vectors that were there.
   */
  readonly failed: number;
  /** The first 100 of them, and the errors: `EMBEDDING_FAILED`, `EMBEDDING_INVALID`, `TIMEOUT`. */
  readonly failures: readonly { readonly id: string; readonly error: CheckpointError }[];
}

export interface VectorIndexOptions extends CallOptions {
  /** Deadline in milliseconds. Default: 24 days, since an index of a million vectors takes long. */
  readonly timeoutMs?: number | undefined;
}

export interface ForgetResult {
  readonly threads: number;
  readonly items: number;
}

/** Rules of what to delete; at least one. */
export interface MemoryPrunePolicy extends CallOptions {
  /** Whose items. Default: all owners'; then only `expired` may be given. */
  readonly owner?: string;
  /** Only items of this collection. Needs `owner`. */
  readonly collection?: string;
  /** Delete items whose time has come. */
  readonly expired?: boolean | undefined;
  /** Keep only this many of the newest items of each collection: of those that no other rule deletes, and that have not expired. */
  readonly keepLast?: number;
  /** Delete items of less importance. */
  readonly minImportance?: number;
  /** Delete items with a `createdAt` more than this many milliseconds ago. */
  readonly olderThanMs?: number;
  /** Only count. Default `false`. */
  readonly dryRun?: boolean | undefined;
}

export type MemoryPruneRule = "expired" | "minImportance" | "olderThanMs" | "keepLast";

export interface MemoryPruneResult {
  /** Number of the items that were deleted; with `dryRun` of those that would be. */
  readonly removed: number;
  /** The same for each rule of the policy. An item counts for the first rule that names it, in the order of {@link MemoryPruneRule}. */
  readonly byRule: { readonly [rule in MemoryPruneRule]?: number };
}

export interface MemoryStatus {
  readonly circuit: CircuitState;
  readonly lastError: { readonly code: string; readonly at: number } | null;
  readonly latencyMs: number | null;
  readonly location: string | null;
  readonly driver: string | null;
}
