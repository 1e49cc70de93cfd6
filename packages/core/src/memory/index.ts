/** `@waymark/core/memory`: what an agent remembers. What authors of backends need is in `kit.ts`. */
export * from "./contract.ts";
export type { CollectionOptions, CommonMemoryOptions } from "./options.ts";
export type { Language } from "./words.ts";
