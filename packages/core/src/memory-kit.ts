/** `@waymark/core/memory/kit`: for authors of backends of memory. */
export { createMemoryStorage } from "./memory/create-storage.ts";
export * from "./memory/dialect.ts";
export { MEMORY_OPTIONS, type ResolvedMemoryOptions, resolveMemoryOptions } from "./memory/options.ts";
export * from "./memory/ranking.ts";
export { MEMORY_SCHEMA } from "./memory/schema.ts";
export * from "./memory/signature.ts";
export * from "./memory/tables.ts";
export * from "./memory/words.ts";
