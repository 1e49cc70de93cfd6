/** `@waymark/core/memory/kit`: for authors of backends of memory. */
export { createMemoryStorage } from "./create-storage.ts";
export * from "./dialect.ts";
export { NearestSignatures } from "./nearest-signatures.ts";
export { MEMORY_OPTIONS, type ResolvedMemoryOptions, resolveMemoryOptions } from "./options.ts";
// By these a test computes what a search has to find.
export { candidates, contribution, fuse, lengthNorm, SCALE, termWeights } from "./ranking.ts";
export { MEMORY_SCHEMA } from "./schema.ts";
export { cosine } from "./signature.ts";
export * from "./tables.ts";
export { analyze, queryTerms } from "./words.ts";
