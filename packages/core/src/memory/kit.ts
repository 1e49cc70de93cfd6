/** `@waymark/core/memory/kit`: for authors of backends of memory. */
export * from "./ranking.ts";
export * from "./signature.ts";
export * from "./words.ts";
