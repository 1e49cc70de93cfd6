import { boolean, type Given, integer } from "../contract/checks.ts";
import { invalidArgument } from "../contract/errors.ts";
import type { CommonStorageOptions } from "../contract/options.ts";
import { resolveParser, type StateParser } from "../contract/state-parser.ts";
import { checkText } from "./arguments.ts";
import { MAX_LABELS } from "./labels.ts";

const MAX_LABEL_NAME_BYTES = 128;

export const CHECKPOINT_OPTIONS = ["cacheBytes", "freeze", "indexedLabels", "parse"] as const;

/** The options of the checkpoint engine, checked and with their defaults. */
export interface ResolvedCheckpointOptions
  extends Given<Pick<CommonStorageOptions, "cacheBytes" | "freeze" | "indexedLabels">> {
  readonly parse: StateParser<unknown> | null;
}

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveCheckpointOptions(
  options: {
    readonly [name in (typeof CHECKPOINT_OPTIONS)[number]]?: unknown;
  },
): ResolvedCheckpointOptions {
  const { cacheBytes = 64_000_000, freeze = false, indexedLabels = [] } = options;
  return {
    cacheBytes: integer("options.cacheBytes", cacheBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"),
    freeze: boolean("options.freeze", freeze),
    indexedLabels: checkIndexedLabels("options.indexedLabels", indexedLabels),
    parse: resolveParser(options.parse),
  };
}

/** @throws CheckpointError `INVALID_ARGUMENT` */
export function checkIndexedLabels(field: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw invalidArgument(field, "an array of names of labels", value);
  if (value.length > MAX_LABELS) throw invalidArgument(field, `at most ${MAX_LABELS} names`, value.length);
  return Array.from(value, (name: unknown, at) => checkText(`${field}[${at}]`, name, 1, MAX_LABEL_NAME_BYTES));
}
