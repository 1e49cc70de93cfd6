import type { CheckpointStorage } from "../contract/checkpoints.ts";
import { type ObjectWithKeys, objectWithKeys, plainObject } from "../contract/checks.ts";
import { CheckpointError, describeThrown, invalidWord, quoted, withoutValues } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import type { CommonMemoryOptions } from "../memory/options.ts";
import {
  REPLICATION_OPTIONS,
  type ReplicationOptions,
  type ResolvedReplicationOptions,
  resolveReplication,
} from "../replication/options.ts";
import { type ResolvedRetention, type RetentionOptions, resolveRetention } from "../retention/options.ts";
import { callFactory, isTypeName, type MemoryFactory, type StorageFactory, TYPE_NAME } from "./registry.ts";

/**
 * The shape of a config, and its checks. Each error names the field, what was expected and the type of the value received;
 * never the value, which may be a password.
 */

/** At least one of the members. */
export interface WaymarkConfig {
  /** Needed by `openCheckpointStorage`. Left out, memory has a provider of its own. */
  readonly checkpoint?: CheckpointConfig | undefined;
  /** What an agent remembers, for `openMemoryStorage` of `@waymark/core/memory`. */
  readonly memory?: MemoryConfig | undefined;
}

/** Memory: where it is kept, and its options. */
export interface MemoryConfig extends CommonMemoryOptions {
  /**
   * Name of a provider of checkpoints, whose database keeps memory too, in tables of its own; or a provider for memory alone, whose
   * `type` may be a factory of memories. Default `"main"`; without `checkpoint` in the config it is to be given.
   */
  readonly provider?: string | ProviderConfig | undefined;
}

/** The providers, the options of main and backup, and what is pruned by itself. */
export interface CheckpointConfig extends ReplicationOptions {
  /** Prune main by itself, at intervals, in one process at a time. Default: nothing is pruned by itself. */
  readonly retention?: RetentionOptions | undefined;
  readonly providers: ProvidersConfig;
}

/**
 * Providers by name. `undefined` counts as absent, so that a provider may depend on a condition. A name that is nearly `backup` is
 * refused, unless there is a member `backup`, if only an undefined one.
 */
export interface ProvidersConfig {
  /** The storage that is used. */
  readonly main: ProviderConfig;
  /** A copy of main, which takes over while main is unreachable. */
  readonly backup?: ProviderConfig | undefined;
  readonly [name: string]: ProviderConfig | undefined;
}

export interface ProviderConfig {
  /**
   * The `x` of the package `@waymark/x`, the name of another author's package (`waymark-x`, `@acme/waymark-x`), a type of the
   * registry that was given, or a factory.
   */
  readonly type: string | StorageFactory | MemoryFactory;
  /** Options of the factory; see the README of its package. */
  readonly [option: string]: unknown;
}

/**
 * Options of each type, for TypeScript. A dialect's package adds its own by
 * `declare module "@waymark/core" { interface ProviderTypes { postgres: PostgresStorageOptions } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: others add to it
export interface ProviderTypes {}

/** A known type, which editors complete, any other name, or a factory. */
type ProviderType = keyof ProviderTypes | (string & {}) | StorageFactory;

/** A provider with the options of its type and no others. A type that TypeScript does not know has any options. */
type ProviderOf<Type> = { readonly type: Type } & (Type extends keyof ProviderTypes
  ? Omit<ProviderTypes[Type], "type">
  : { readonly [option: string]: unknown });

/** Types of the providers, by their names. */
interface TypesByName {
  readonly main: ProviderType;
  readonly backup?: ProviderType | undefined;
  readonly [name: string]: ProviderType | undefined;
}

/** A config, of which TypeScript infers the types alone: so an option that is mistyped is answered by the name of the right one. */
interface CheckedConfig<Types> {
  readonly checkpoint?:
    | (Omit<CheckpointConfig, "providers"> & {
        readonly providers: {
          readonly [Name in keyof Types]: ProviderOf<Types[Name]> | (Name extends "main" ? never : undefined);
        };
      })
    | undefined;
  readonly memory?: MemoryConfig | undefined;
}

/** Returns the config that it is given, with its types checked. For config files. */
export function defineConfig<const Types extends TypesByName>(config: CheckedConfig<Types>): WaymarkConfig {
  return config as unknown as WaymarkConfig;
}

/** One provider of a parsed config. */
export interface Provider {
  readonly name: string;
  /** Its path in the config, for messages: `checkpoint.providers.main`. */
  readonly field: string;
  readonly type: string | StorageFactory | MemoryFactory;
  /** All options as given, without `type`: a factory need not know it. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The option that is given in `field`, such as a variable with a URL. Without it, `field` is the path of all options. */
  readonly fieldOption?: string;
  /** Path of the options beside `fieldOption`, for messages. Without it, they have none. */
  readonly optionsField?: string;
  /** Scheme of the URL that its package was chosen by: the package must say that it takes such URLs. */
  readonly scheme?: string;
}

export interface ParsedConfig {
  /** Empty: the config is of memory alone. */
  readonly providers: readonly Provider[];
  readonly policy: ResolvedReplicationOptions;
  readonly retention: ResolvedRetention | null;
  /** The members of `memory` as given, checked only as far as their names. */
  readonly memory: { readonly [name in (typeof MEMORY_KEYS)[number]]?: unknown };
}

const MEMORY_KEYS = ["provider", "embedder", "collections"] as const;

/**
 * Parses a config.
 * @param source beginning of messages: "read config /app/waymark.config.ts"
 * @throws CheckpointError `INVALID_CONFIG`
 */
export function parseConfig(source: string, value: unknown): ParsedConfig {
  try {
    const isOfMemory = plainObject("config", value)["memory"] !== undefined;
    const config = isOfMemory ? value : required("config", value, "checkpoint");
    const { checkpoint, memory = {} } = objectWithKeys("config", config, ["checkpoint", "memory"]);
    const parsedMemory = objectWithKeys("memory", memory, MEMORY_KEYS);
    if (checkpoint === undefined) {
      return { policy: resolveReplication("checkpoint", {}), retention: null, memory: parsedMemory, providers: [] };
    }
    const keys = ["providers", "retention", ...REPLICATION_OPTIONS] as const;
    const { providers, retention, ...replication } = objectWithKeys(
      "checkpoint",
      required("checkpoint", checkpoint, "providers"),
      keys,
    );
    const byName = required("checkpoint.providers", providers, "main");
    const given = Object.entries(byName);
    const policy = resolveReplication("checkpoint", replication);
    checkWithoutBackup(byName, replication);
    return {
      policy,
      retention: retention === undefined ? null : resolveRetention("checkpoint.retention", retention),
      memory: parsedMemory,
      providers: given
        .filter(([, provider]) => provider !== undefined)
        .map(([name, provider]) => parseProvider(name, provider)),
    };
  } catch (error) {
    throw invalidConfig(source, error);
  }
}

/** Values of the options that have a meaning with a backup only. */
const NEEDS_BACKUP: { readonly [Name in (typeof REPLICATION_OPTIONS)[number]]?: readonly unknown[] } = {
  replication: ["async", "required"],
  failover: ["automatic", "read-only"],
  staleReads: ["allow"],
  reconcile: [true],
};

/**
 * Refuses a config without a backup that seems to mean one: its data would be in one database only, in silence. With
 * `backup: undefined` there is none by intention, and only `replication: "required"` is refused.
 */
function checkWithoutBackup(
  providers: Record<string, unknown>,
  options: ObjectWithKeys<keyof ReplicationOptions>,
): void {
  if (providers["backup"] !== undefined) return;
  const isIntended = Object.hasOwn(providers, "backup");
  const mistyped = Object.keys(providers).find((name) => nearest(name, ["backup"]) !== null);
  if (mistyped !== undefined && !isIntended) {
    const message = `expected checkpoint.providers to have no name that is nearly backup, got ${quoted(mistyped)}: did you mean backup? If not, say backup: undefined beside it`;
    throw new CheckpointError("INVALID_ARGUMENT", message);
  }
  for (const name of REPLICATION_OPTIONS) {
    const value = options[name];
    if (!NEEDS_BACKUP[name]?.includes(value) || (isIntended && value !== "required")) continue;
    const message = `checkpoint.${name}: expected a provider backup beside ${JSON.stringify(value)}, got none`;
    throw new CheckpointError("INVALID_ARGUMENT", message);
  }
}

/** Checks that an object has this key. The message lists its keys: one of them is most likely this one with a typing error. */
function required(field: string, value: unknown, member: string): Record<string, unknown> {
  const object = plainObject(field, value);
  if (object[member] !== undefined) return object;
  const others = Object.keys(object)
    .filter((key) => object[key] !== undefined)
    .map((key) => quoted(key));
  const got = others.length === 0 ? "none" : others.slice(0, 8).join(", ");
  throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have the member ${member}, got ${got}`);
}

function parseProvider(name: string, value: unknown): Provider {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name)) {
    const names = "1 to 64 letters, digits, _ and -, starting with a letter";
    throw invalidWord("each name in checkpoint.providers", names, name);
  }
  return parseProviderAt(name, `checkpoint.providers.${name}`, value);
}

/** Parses a provider at a place of the config. @throws CheckpointError `INVALID_ARGUMENT` */
export function parseProviderAt(name: string, field: string, value: unknown): Provider {
  const { type, ...options } = required(field, value, "type");
  if (typeof type === "function") return { name, field, type: type as StorageFactory, options };
  if (!isTypeName(type)) throw invalidWord(`${field}.type`, `a factory function, or ${TYPE_NAME}`, type);
  return { name, field, type, options };
}

/**
 * Creates a provider. Rewrites option names in the factory's errors to config paths: `options.x` becomes
 * `checkpoint.providers.main.x`.
 * @throws CheckpointError `INVALID_CONFIG`
 */
export function createProvider(source: string, factory: StorageFactory, provider: Provider): CheckpointStorage {
  return creating(source, provider, () => callFactory(factory, provider.options));
}

/** Calls a factory of a provider, and rewrites its errors. @throws CheckpointError `INVALID_CONFIG` */
export function creating<Created>(source: string, provider: Provider, create: () => Created): Created {
  const { field } = provider;
  try {
    return create();
  } catch (error) {
    if (!(error instanceof CheckpointError)) {
      const message = `${source}: ${field}: its factory threw ${describeThrown(error)}`;
      throw new CheckpointError("INVALID_CONFIG", message, { cause: withoutValues(error) });
    }
    const message = withPathOf(provider, error.message);
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${message}`, { cause: error.cause });
  }
}

/** Says of the option that a factory's message names where it was given. */
function withPathOf({ field, fieldOption, optionsField }: Provider, message: string): string {
  const all = /\boptions\b/;
  const given = fieldOption === undefined ? all : new RegExp(`\\boptions\\.${fieldOption}\\b`);
  if (given.test(message)) return message.replace(given, field);
  if (optionsField !== undefined && all.test(message)) return message.replace(all, optionsField);
  return `${field}: ${message}`;
}

/** Makes the error for a config that a check refused. */
function invalidConfig(source: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return new CheckpointError("INVALID_CONFIG", `${source}: ${error.message}`);
  // A getter or a proxy in the config threw: its message may hold a value.
  return new CheckpointError("INVALID_CONFIG", `${source}: reading it threw an error`, { cause: withoutValues(error) });
}
