import { boolean, checkText, type Given, integer } from "../contract/checks.ts";
import { invalidArgument } from "../contract/errors.ts";
import type { CommonStorageOptions } from "../contract/options.ts";
import { resolveParser, type StateParser } from "../contract/state-parser.ts";
import { checkName } from "./arguments.ts";
import { MAX_LABELS } from "./labels.ts";

const MAX_LABEL_NAME_BYTES = 128;

export const CHECKPOINT_OPTIONS = ["cacheBytes", "freeze", "indexedLabels", "indexedNames", "parse"] as const;

/** The options of the checkpoint engine, checked and with their defaults. */
export interface ResolvedCheckpointOptions
  extends Given<Pick<CommonStorageOptions, "cacheBytes" | "freeze" | "indexedLabels" | "indexedNames">> {
  readonly parse: StateParser<unknown> | null;
}

/** @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveCheckpointOptions(
  options: {
    readonly [name in (typeof CHECKPOINT_OPTIONS)[number]]?: unknown;
  },
): ResolvedCheckpointOptions {
  const { cacheBytes = 64_000_000, freeze = false, indexedLabels = [], indexedNames = [] } = options;
  return {
    cacheBytes: integer("options.cacheBytes", cacheBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"),
    freeze: boolean("options.freeze", freeze),
    ...checkIndexed(indexedLabels, indexedNames),
    parse: resolveParser(options.parse),
  };
}

/** @throws CheckpointError `INVALID_ARGUMENT` */
function checkIndexed(labels: unknown, names: unknown) {
  const indexedLabels = arrayOfNames("options.indexedLabels", labels, "labels", (place, name) =>
    checkText(place, name, 1, MAX_LABEL_NAME_BYTES),
  );
  const indexedNames = arrayOfNames("options.indexedNames", names, "checkpoints", checkName);
  const count = new Set(indexedLabels).size + new Set(indexedNames).size;
  if (count <= MAX_LABELS) return { indexedLabels, indexedNames };
  const fields = "options.indexedLabels and options.indexedNames";
  throw invalidArgument(fields, `at most ${MAX_LABELS} names together`, count);
}

function arrayOfNames(
  field: string,
  value: unknown,
  things: string,
  check: (field: string, name: unknown) => string,
): string[] {
  if (!Array.isArray(value)) throw invalidArgument(field, `an array of names of ${things}`, value);
  if (value.length > MAX_LABELS) throw invalidArgument(field, `at most ${MAX_LABELS} names`, value.length);
  return Array.from(value, (name: unknown, at) => check(`${field}[${at}]`, name));
}
