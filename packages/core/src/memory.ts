/** `@waymark/core/memory`: what an agent remembers. What authors of backends need is in `memory-kit.ts`. */
export { type OpenMemoryOptions, openMemoryStorage } from "./config/open-memory.ts";
export * from "./memory/contract.ts";
export { type ForgetOptions, type ForgottenEverywhere, forget } from "./memory/forget-everywhere.ts";
export type { CollectionOptions, CommonMemoryOptions } from "./memory/options.ts";
export type { Language } from "./memory/words.ts";
