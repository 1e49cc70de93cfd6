export { boolean, identifier, integer, members, oneOf, string } from "./checks.ts";
export * from "./contract.ts";
export * from "./dialect.ts";
export { CheckpointError, type CheckpointErrorCode, describe, invalidArgument, property, rootCause } from "./errors.ts";
export * from "./migrations.ts";
export { COMMON_OPTIONS, resolveCommonOptions, timeout } from "./options.ts";
export { createStorage } from "./storage.ts";
