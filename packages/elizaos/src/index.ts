/** `@waymark/elizaos`: a database adapter for ElizaOS. */
export { CheckpointError, type CheckpointErrorCode } from "@waymark/core";
export type { WaymarkAdapter } from "./adapter.ts";
export type * from "./contract.ts";
export {
  type ImportOptions,
  type ImportProblem,
  type ImportProgress,
  type ImportReport,
  type ImportSource,
  importPluginSql,
  type TableReport,
} from "./import/import.ts";
export type { DialectOptions, Environment, LogRetention, WaymarkOptions } from "./options.ts";
/** A loader of plugins by name calls what a module has as its default. */
export { type Waymark, type WaymarkPlugin, waymark, waymark as default } from "./plugin.ts";
