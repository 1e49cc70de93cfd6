/** `@waymark/core/kit`: what a backend author needs beside the contract. */

export * from "./checkpoints/dialect.ts";
export { createStorage } from "./checkpoints/storage.ts";
export { boolean, identifier, integer, members, oneOf, string } from "./contract/checks.ts";
export { invalidArgument, property, rootCause } from "./contract/errors.ts";
export { defaultPoolSize } from "./database/environment.ts";
export * from "./database/migrations.ts";
export { Opening } from "./database/once.ts";
export { COMMON_OPTIONS, type ResolvedCommonOptions, resolveCommonOptions, timeout } from "./database/options.ts";
