import type { CheckpointStorage } from "../contract/checkpoints.ts";
import { CheckpointError, describe, invalidArgument } from "../contract/errors.ts";

/**
 * Makes a storage of its options, at once: what needs a connection waits for first use. Each factory checks its options
 * itself, so callers that hold factories of many kinds know nothing of them: hence `never`, which every one accepts.
 */
export type StorageFactory = (options: never) => CheckpointStorage;

/**
 * Storage factories by the `type` that a config names them with. A type that is registered here is not looked for among
 * the installed packages: for backends of one's own, and for bundles, which have no packages to look in.
 */
export interface Registry {
  /** @throws CheckpointError `INVALID_ARGUMENT` if the type is taken, or is not as {@link isTypeName} says. */
  register(type: string, factory: StorageFactory): void;
  /** `undefined` if there is none. */
  get(type: string): StorageFactory | undefined;
  /** In the order of registration. */
  types(): readonly string[];
}

export function createRegistry(): Registry {
  const factories = new Map<string, StorageFactory>();
  return {
    register(type, factory) {
      if (!isTypeName(type)) throw invalidArgument("type", TYPE_NAME, type);
      if (typeof factory !== "function") throw invalidArgument("factory", "a function", factory);
      if (factories.has(type)) {
        throw new CheckpointError(
          "INVALID_ARGUMENT",
          `register storage type: ${JSON.stringify(type)} is registered already`,
        );
      }
      factories.set(type, factory);
    },
    get: (type) => factories.get(type),
    types: () => [...factories.keys()],
  };
}

export const TYPE_NAME = "1 to 64 of the characters a-z, 0-9 and -, starting with a letter";

/** Strict, since a type becomes part of a package's name. */
export function isTypeName(value: unknown): value is string {
  return typeof value === "string" && /^[a-z][a-z0-9-]{0,63}$/.test(value);
}

/** Calls a factory with options that only it can check. What comes back is looked at: it may be anybody's. */
export function callFactory(factory: StorageFactory, options: Readonly<Record<string, unknown>>): CheckpointStorage {
  const storage: unknown = factory(options as never);
  if (
    typeof storage === "object" &&
    storage !== null &&
    typeof Reflect.get(storage, "storeCheckpoint") === "function"
  ) {
    return storage as CheckpointStorage;
  }
  const promise =
    storage instanceof Promise ? "a promise (opening is the first call's, not the factory's)" : describe(storage);
  throw new CheckpointError(
    "INVALID_ARGUMENT",
    `call storage factory: expected it to return a storage, got ${promise}`,
  );
}
