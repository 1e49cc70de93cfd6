import { boolean, type Given, integer } from "../contract/checks.ts";
import type { CommonStorageOptions } from "../contract/options.ts";
import { resolveParser, type StateParser } from "../contract/state-parser.ts";

export const CHECKPOINT_OPTIONS = ["cacheBytes", "freeze", "parse"] as const;

/** The options of the checkpoint engine, checked and with their defaults. */
export interface ResolvedCheckpointOptions extends Given<Pick<CommonStorageOptions, "cacheBytes" | "freeze">> {
  readonly parse: StateParser<unknown> | null;
}

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveCheckpointOptions(
  options: {
    readonly [name in (typeof CHECKPOINT_OPTIONS)[number]]?: unknown;
  },
): ResolvedCheckpointOptions {
  const { cacheBytes = 64_000_000, freeze = false } = options;
  return {
    cacheBytes: integer("options.cacheBytes", cacheBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"),
    freeze: boolean("options.freeze", freeze),
    parse: resolveParser(options.parse),
  };
}
