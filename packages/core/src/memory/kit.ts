/** `@waymark/core/memory/kit`: for authors of backends of memory. */
export { createMemoryStorage } from "./create-storage.ts";
export * from "./dialect.ts";
export { NearestSignatures } from "./nearest-signatures.ts";
export { MEMORY_OPTIONS, type ResolvedMemoryOptions, resolveMemoryOptions } from "./options.ts";
export { MEMORY_SCHEMA } from "./schema.ts";
export * from "./tables.ts";
