/** `@waymark/core/dialect-kit`: what a backend author needs beside the contract. */
export { boolean, identifier, integer, members, oneOf, string } from "./checks.ts";
export * from "./dialect.ts";
export { defaultPoolSize } from "./environment.ts";
export { invalidArgument, property, rootCause } from "./errors.ts";
export * from "./migrations.ts";
export { Opening } from "./opening.ts";
export { COMMON_OPTIONS, type ResolvedCommonOptions, resolveCommonOptions, timeout } from "./options.ts";
export { createStorage } from "./storage.ts";
