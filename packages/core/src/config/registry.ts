import type { CheckpointStorage } from "../contract/checkpoints.ts";
import { CheckpointError, describe, invalidArgument, invalidWord } from "../contract/errors.ts";
import type { DomainSchema } from "../database/migrations.ts";
import type { MemoryStorage } from "../memory/contract.ts";
import type { RecordStore } from "../record-store/store.ts";

/**
 * Creates a storage of its options, synchronously: it connects at first use. Each factory checks its options itself; callers
 * with factories of many kinds do not know them: hence `never`, which every factory accepts.
 */
export type StorageFactory = (options: never) => CheckpointStorage;

/** Creates a memory of its options, in the same way. */
export type MemoryFactory = (options: never) => MemoryStorage;

/**
 * Factories of storages, and of memories, by the `type` of a config. A registered type is not looked for among the installed packages: for backends
 * of your own, and for bundles, which have no packages.
 */
export interface Registry {
  /**
   * Registers a type. `memory`: its factory of memories, for `openMemoryStorage`. Default: it makes none.
   * @throws CheckpointError `INVALID_ARGUMENT` if it is taken, or is not as {@link isTypeName} says
   */
  register(type: string, factory: StorageFactory, memory?: MemoryFactory): void;
  /** Returns the factory of a type; `undefined`: there is none. */
  get(type: string): StorageFactory | undefined;
  /** Returns the factory of memories of a type; `undefined`: there is none. */
  getMemory(type: string): MemoryFactory | undefined;
  /** Lists the types, in the order of registration. */
  types(): readonly string[];
}

export function createRegistry(): Registry {
  const factories = new Map<string, StorageFactory>();
  const memoryFactories = new Map<string, MemoryFactory>();
  return {
    register(type, factory, memory) {
      if (!isTypeName(type)) throw invalidWord("type", TYPE_NAME, type);
      if (typeof factory !== "function") throw invalidArgument("factory", "a function", factory);
      if (memory !== undefined && typeof memory !== "function") throw invalidArgument("memory", "a function", memory);
      if (factories.has(type)) {
        throw new CheckpointError(
          "INVALID_ARGUMENT",
          `register storage type: ${JSON.stringify(type)} is registered already`,
        );
      }
      factories.set(type, factory);
      if (memory !== undefined) memoryFactories.set(type, memory);
    },
    get: (type) => factories.get(type),
    getMemory: (type) => memoryFactories.get(type),
    types: () => [...factories.keys()],
  };
}

export const TYPE_NAME =
  "1 to 64 of the characters a-z, 0-9 and -, starting with a letter, or the name of a package waymark-… or @…/waymark-…";

/**
 * Checks a type: a short name, or that of a package whose own name begins with `waymark-`. Strict, since a package of this name
 * is loaded.
 */
export function isTypeName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    /^(?:[a-z][a-z0-9-]{0,63}|@[a-z0-9][a-z0-9._-]{0,63}\/waymark-[a-z0-9-]{1,63})$/.test(value)
  );
}

/** Returns whether a type is a short name: of a package `@waymark/…`, or of a registry. */
export function isShortName(type: string): boolean {
  return !/^(?:@[^/]+\/)?waymark-/.test(type);
}

/** Calls a factory with options that only it can check, and checks its result. */
export function callFactory(factory: StorageFactory, options: Readonly<Record<string, unknown>>): CheckpointStorage {
  return withMethod("storeCheckpoint", factory(options as never)) as CheckpointStorage;
}

/** Makes the tables of a schema in the database that its options name. */
export type RecordsFactory = (options: never, schema: DomainSchema) => RecordStore;

/** Calls a factory of memories in the same way. */
export function callMemoryFactory(factory: MemoryFactory, options: Readonly<Record<string, unknown>>): MemoryStorage {
  return withMethod("addItems", factory(options as never)) as MemoryStorage;
}

function withMethod(method: string, storage: unknown): object {
  if (typeof storage === "object" && storage !== null && typeof Reflect.get(storage, method) === "function") {
    return storage;
  }
  const promise =
    storage instanceof Promise ? "a promise (opening is the first call's, not the factory's)" : describe(storage);
  throw new CheckpointError(
    "INVALID_ARGUMENT",
    `call storage factory: expected it to return a storage, got ${promise}`,
  );
}
