import type { RecordOf, TableDefinition } from "../records/tables.ts";

/**
 * The tables of memory, for all dialects. Everything that is searched is an item; threads are what items hang on; a space is one
 * owner's collection, and the unit of every search.
 *
 * Numbers stand for ids wherever there are many rows of them: 8 bytes in each posting, instead of texts.
 */

/** An expiry that never comes. Not `null`: a filter is then one comparison. */
export const NEVER = Number.MAX_SAFE_INTEGER;

/** A collection of one owner. */
export const SPACES = {
  name: "agent_memory_spaces",
  columns: {
    /** Chosen at random when the space is made. */
    number: { name: "number", kind: "integer" },
    owner: { name: "owner", kind: "text", maxBytes: 255 },
    collection: { name: "collection", kind: "text", maxBytes: 1_024 },
    /** 0; or `number` once the space is being removed. Then nothing finds it by its name, which may be used anew. */
    removal: { name: "removal", kind: "integer" },
    language: { name: "language", kind: "text", maxBytes: 16 },
    /** Version of the analyzer that its terms were made with. */
    analyzer: { name: "analyzer", kind: "integer" },
    /** Number of its items, and of the terms of all their texts: BM25 needs both. Exact, since each commit changes them too. */
    items: { name: "items", kind: "integer" },
    tokens: { name: "tokens", kind: "integer" },
    /** Vectors of this generation are searched. */
    generation: { name: "generation", kind: "integer" },
    /** Dimensions and model of its vectors, set with the first one. */
    dimensions: { name: "dimensions", kind: "integer", nullable: true },
    model: { name: "model", kind: "text", maxBytes: 255, nullable: true },
    /** While it is re-embedded: the generation to come. A new item gets a vector of the model that it was embedded with. */
    nextGeneration: { name: "next_generation", kind: "integer", nullable: true },
    nextDimensions: { name: "next_dimensions", kind: "integer", nullable: true },
    nextModel: { name: "next_model", kind: "text", maxBytes: 255, nullable: true },
    /** Number of the changes, of items that were there, that left one without a vector of the generation to come. */
    nextMissed: { name: "next_missed", kind: "integer" },
    /** The highest generation that was begun: one that was given up may have left vectors. */
    lastGeneration: { name: "last_generation", kind: "integer" },
    /** The highest number of its items, ever. Those of a new commit are above it: so they come in the order of the commits. */
    lastNumber: { name: "last_number", kind: "integer" },
    createdAt: { name: "created_at", kind: "integer" },
    /** For replication, which memory does not have yet. */
    revision: { name: "revision", kind: "uuid" },
    pending: { name: "pending", kind: "integer", nullable: true },
  },
  key: ["number"],
  unique: { by_name: ["owner", "collection", "removal"] },
} as const satisfies TableDefinition;

/** A conversation or a document. */
export const THREADS = {
  name: "agent_memory_threads",
  columns: {
    owner: { name: "owner", kind: "text", maxBytes: 255 },
    id: { name: "id", kind: "text", maxBytes: 255 },
    kind: { name: "kind", kind: "text", maxBytes: 64 },
    /** Number of its items: it is removed only when it has none. */
    items: { name: "items", kind: "integer" },
    createdAt: { name: "created_at", kind: "integer" },
    updatedAt: { name: "updated_at", kind: "integer" },
    revision: { name: "revision", kind: "uuid" },
    pending: { name: "pending", kind: "integer", nullable: true },
    title: { name: "title", kind: "text", nullable: true },
    metadata: { name: "metadata", kind: "text", nullable: true },
  },
  key: ["owner", "id"],
  indexes: { by_time: ["owner", "kind", "updatedAt", "id"] },
} as const satisfies TableDefinition;

/** A message, a memory, a chunk of a document. */
export const ITEMS = {
  name: "agent_memory_items",
  columns: {
    space: { name: "space", kind: "integer" },
    /** Orders the items of a space by the commits that added them. */
    number: { name: "number", kind: "integer" },
    id: { name: "id", kind: "uuid" },
    /** That of the space: an id is unique for an owner. */
    owner: { name: "owner", kind: "text", maxBytes: 255 },
    thread: { name: "thread_id", kind: "text", maxBytes: 255, nullable: true },
    role: { name: "role", kind: "text", maxBytes: 64, nullable: true },
    key: { name: "item_key", kind: "text", maxBytes: 1_024, nullable: true },
    importance: { name: "importance", kind: "number" },
    createdAt: { name: "created_at", kind: "integer" },
    expiresAt: { name: "expires_at", kind: "integer" },
    /** Number of the terms of its text. */
    length: { name: "length", kind: "integer" },
    /** Digest of the text, where the same text is to be one item. */
    textDigest: { name: "text_digest", kind: "bytes", maxBytes: 32, nullable: true },
    checkpointId: { name: "checkpoint_id", kind: "uuid", nullable: true },
    revision: { name: "revision", kind: "uuid" },
    pending: { name: "pending", kind: "integer", nullable: true },
    metadata: { name: "metadata", kind: "text", nullable: true },
    text: { name: "text", kind: "text" },
    /** The text as UTF-16, little-endian, if it has what text columns cannot hold: NUL or lone surrogates. */
    rawText: { name: "raw_text", kind: "bytes", nullable: true },
    encoding: { name: "encoding", kind: "text", maxBytes: 64, nullable: true },
    valueBytes: { name: "value_bytes", kind: "integer", nullable: true },
    valueDigest: { name: "value_digest", kind: "bytes", maxBytes: 32, nullable: true },
    value: { name: "value", kind: "bytes", nullable: true },
  },
  key: ["space", "number"],
  // Of an owner, not of all: a taken id would say that another owner has it.
  unique: { by_id: ["id", "owner"], by_key: ["space", "key"], by_text: ["space", "textDigest"] },
  indexes: { by_thread: ["space", "thread", "number"], by_expiry: ["expiresAt"] },
} as const satisfies TableDefinition;

/** Vectors of items, to score candidates by. */
export const VECTORS = {
  name: "agent_memory_vectors",
  columns: {
    space: { name: "space", kind: "integer" },
    generation: { name: "generation", kind: "integer" },
    number: { name: "number", kind: "integer" },
    dimensions: { name: "dimensions", kind: "integer" },
    vector: { name: "vector", kind: "vector" },
  },
  // The number before the generation: an item that is removed takes its rows here with it, by these columns.
  key: ["space", "number", "generation"],
  partOf: { columns: ["space", "number"], table: ITEMS },
} as const satisfies TableDefinition;

/** Signatures of vectors, to find candidates by: a table of its own, since a search reads all those of a space. */
export const SIGNATURES = {
  name: "agent_memory_signatures",
  columns: {
    space: { name: "space", kind: "integer" },
    generation: { name: "generation", kind: "integer" },
    number: { name: "number", kind: "integer" },
    signature: { name: "signature", kind: "bits", maxBytes: 512 },
  },
  // The number before the generation: an item that is removed takes its rows here with it, by these columns.
  key: ["space", "number", "generation"],
  partOf: { columns: ["space", "number"], table: ITEMS },
  isClustered: true,
} as const satisfies TableDefinition;

/** Postings: which item of a space has which term. */
export const TERMS = {
  name: "agent_memory_terms",
  columns: {
    space: { name: "space", kind: "integer" },
    term: { name: "term", kind: "text", maxBytes: 64 },
    number: { name: "number", kind: "integer" },
    /** Occurrences of the term in the item. */
    frequency: { name: "frequency", kind: "integer" },
    /** Length of the item, so that a score needs this table alone. */
    length: { name: "length", kind: "integer" },
  },
  key: ["space", "term", "number"],
  isClustered: true,
} as const satisfies TableDefinition;

export const MEMORY_TABLES = [SPACES, THREADS, ITEMS, VECTORS, SIGNATURES, TERMS] as const;

export type SpaceRow = RecordOf<typeof SPACES>;
export type ThreadRow = RecordOf<typeof THREADS>;
export type ItemRow = RecordOf<typeof ITEMS>;
export type VectorRow = RecordOf<typeof VECTORS>;
export type SignatureRow = RecordOf<typeof SIGNATURES>;
export type TermRow = RecordOf<typeof TERMS>;
