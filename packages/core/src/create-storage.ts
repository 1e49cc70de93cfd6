import type { Dialect } from "./checkpoints/dialect.ts";
import { createEngine } from "./checkpoints/engine.ts";
import { PLAIN_DIGESTS } from "./checkpoints/equality.ts";
import { CHECKPOINT_OPTIONS, type ResolvedCheckpointOptions, resolveCheckpointOptions } from "./checkpoints/options.ts";
import { markWhenOpened } from "./checkpoints/replicated.ts";
import { EngineStorage } from "./checkpoints/storage.ts";
import type { CheckpointStorage } from "./contract/checkpoints.ts";
import { refuseUndefined } from "./contract/checks.ts";
import { invalidArgument, property } from "./contract/errors.ts";
import type { CommonStorageOptions } from "./contract/options.ts";
import { DATABASE_OPTIONS, type ResolvedDatabaseOptions, resolveDatabaseOptions } from "./database/options.ts";
import { checkNewest, encryptDialect, encryptionOf } from "./encryption/encrypted-dialect.ts";
import { type ResolvedEncryption, resolveEncryption } from "./encryption/key-ring.ts";

/** The composition root: puts the engine on an encrypted dialect, or on a plain one. */

/** Keys of the options that every dialect takes. */
export const STORAGE_OPTIONS = [...DATABASE_OPTIONS, ...CHECKPOINT_OPTIONS, "encryption"] as const;

/** Marks options that are checked, also across two copies of core in one process. */
const RESOLVED = Symbol.for("waymark.resolved-options");

/** The options that every dialect takes, checked and with their defaults: nothing is optional, and nothing is checked again. */
export interface ResolvedStorageOptions extends ResolvedDatabaseOptions, ResolvedCheckpointOptions {
  readonly encryption: ResolvedEncryption | null;
}

/** Checks the options that every dialect takes. @throws CheckpointError `INVALID_ARGUMENT`, which names the option */
export function resolveStorageOptions(
  options: { readonly [name in keyof CommonStorageOptions]?: unknown } = {},
): ResolvedStorageOptions {
  refuseUndefined("options", options, ["encryption"], "given, or null for none");
  refuseUndefined("options", options, ["parse"]);
  const resolved = {
    ...resolveDatabaseOptions(options),
    ...resolveCheckpointOptions(options),
    encryption: resolveEncryption(options.encryption),
  };
  return Object.assign(resolved, { [RESOLVED]: true });
}

/**
 * Makes a checkpoint storage of a dialect. For authors of backends; users call the factory of a dialect's package.
 * @param options made by {@link resolveStorageOptions}. Default: the defaults.
 * @throws CheckpointError `INVALID_ARGUMENT` if the dialect is of another `apiVersion`
 */
export function createStorage<State = unknown>(
  dialect: Dialect,
  options: ResolvedStorageOptions = resolveStorageOptions(),
): CheckpointStorage<State> {
  if (property(options, RESOLVED) !== true) {
    throw invalidArgument("options", "the result of resolveStorageOptions", options);
  }
  // A dialect that was written for another interface would fail at some later call, half way.
  if (property(dialect, "apiVersion") !== 1)
    throw invalidArgument("dialect.apiVersion", "1", property(dialect, "apiVersion"));
  const parts =
    options.encryption === null ? { dialect, digests: PLAIN_DIGESTS } : encryptDialect(dialect, options.encryption);
  const check = async (signal: AbortSignal) => {
    await checkNewest(dialect, encryptionOf(parts.dialect), signal);
    await markWhenOpened(engine, signal);
  };
  const engine = createEngine({ ...parts, check }, options);
  return new EngineStorage(engine) as CheckpointStorage<State>;
}
