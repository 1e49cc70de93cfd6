import { boolean, identifier, integer, oneOf } from "./checks.ts";
import type { CommonStorageOptions } from "./contract.ts";

/** The options that every dialect takes, as they are listed in its README. */
export const COMMON_OPTIONS = ["operationTimeoutMs", "migrate", "tablePrefix", "cacheBytes", "freeze"] as const;

/** Timers hold 31 bits. */
export const MAX_TIMEOUT_MS = 2_147_483_647;

/** MySQL's identifiers end at 64 characters, PostgreSQL's at 63; the longest of ours has 37. */
const MAX_PREFIX_LENGTH = 24;

export type ResolvedCommonOptions = Readonly<Required<CommonStorageOptions>>;

/** The common options with their defaults: inside, nothing is optional. */
export function resolveCommonOptions(
  options: { readonly [name in keyof CommonStorageOptions]?: unknown },
): ResolvedCommonOptions {
  const {
    operationTimeoutMs = 30_000,
    migrate = "auto",
    tablePrefix = "",
    cacheBytes = 64_000_000,
    freeze = false,
  } = options;
  return {
    operationTimeoutMs: timeout("options.operationTimeoutMs", operationTimeoutMs),
    migrate: oneOf("options.migrate", migrate, ["auto", "verify", "off"]),
    tablePrefix: tablePrefix === "" ? "" : identifier("options.tablePrefix", tablePrefix, MAX_PREFIX_LENGTH),
    cacheBytes: integer("options.cacheBytes", cacheBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"),
    freeze: boolean("options.freeze", freeze),
  };
}

export function timeout(field: string, value: unknown): number {
  return integer(field, value, 1, MAX_TIMEOUT_MS, "milliseconds");
}
