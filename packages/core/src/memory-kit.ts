/** `@waymark/core/memory/kit`: for authors of backends of memory. */
export { createMemoryStorage } from "./memory/create-storage.ts";
export * from "./memory/dialect.ts";
export { NearestSignatures } from "./memory/nearest-signatures.ts";
export { MEMORY_OPTIONS, type ResolvedMemoryOptions, resolveMemoryOptions } from "./memory/options.ts";
// By these a test computes what a search has to find.
export { candidates, contribution, fuse, lengthNorm, SCALE, termWeights } from "./memory/ranking.ts";
export { MEMORY_SCHEMA } from "./memory/schema.ts";
export { cosine } from "./memory/signature.ts";
export * from "./memory/tables.ts";
export { type Analysis, analyze, queryTerms } from "./memory/words.ts";
