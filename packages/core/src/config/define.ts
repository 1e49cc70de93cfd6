import type { CheckpointStorage } from "../contract/checkpoints.ts";
import { members, plainObject } from "../contract/checks.ts";
import { CheckpointError, describe, invalidArgument, withoutValues } from "../contract/errors.ts";
import {
  REPLICATION_OPTIONS,
  type ReplicationOptions,
  type ReplicationPolicy,
  resolveReplication,
} from "../replication/options.ts";
import { callFactory, isTypeName, type StorageFactory, TYPE_NAME } from "./registry.ts";

/**
 * The shape of a config, and what is said of one that has another shape: always by the field's name, what was expected
 * and the kind of what came. Values are never shown, since any of them may be a password.
 */

export interface WaymarkConfig {
  readonly checkpoint: CheckpointConfig;
}

/** Beside the providers, what is done with main and backup. */
export interface CheckpointConfig extends ReplicationOptions {
  readonly providers: ProvidersConfig;
}

/** Storages by name. One that is `undefined` is as good as absent, so that it may depend on a condition. */
export interface ProvidersConfig {
  /** The one that is used. */
  readonly main: ProviderConfig;
  /** Gets all that main gets, and steps in while main is out of reach. */
  readonly backup?: ProviderConfig | undefined;
  readonly [name: string]: ProviderConfig | undefined;
}

export interface ProviderConfig {
  /** The `x` of the package `@waymark/x`, or a type of the registry that was given, or a factory itself. */
  readonly type: string | StorageFactory;
  /** What the factory takes; see the README of its package. */
  readonly [option: string]: unknown;
}

/**
 * The options of each type that TypeScript knows of. A dialect's package adds its own, by
 * `declare module "@waymark/core" { interface ProviderTypes { postgres: PostgresStorageOptions } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: others add to it
export interface ProviderTypes {}

/** Of a provider: the options of its type, and no others. A type that is not known has any. */
type CheckedProvider<Provider> = Provider extends { readonly type: infer Type extends keyof ProviderTypes }
  ? {
      readonly [Option in keyof Provider]: Option extends keyof ProviderTypes[Type]
        ? ProviderTypes[Type][Option]
        : never;
    }
  : Provider;

interface CheckedConfig<Providers> {
  readonly checkpoint: ReplicationOptions & {
    readonly providers: Providers & { readonly [Name in keyof Providers]: CheckedProvider<Providers[Name]> };
  };
}

/** Returns what it is given, with the types checked: for config files. */
export function defineConfig<const Providers extends ProvidersConfig>(config: CheckedConfig<Providers>): WaymarkConfig {
  return config;
}

/** One provider of a config whose shape was found right. */
export interface Provider {
  readonly name: string;
  /** Where it stands, for messages: `checkpoint.providers.main`. */
  readonly field: string;
  readonly type: string | StorageFactory;
  /** All that was given, `type` too if it is a name: what a factory's own user would hand to it. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface ParsedConfig {
  readonly providers: readonly Provider[];
  readonly policy: ReplicationPolicy;
}

/**
 * @param source where the config comes from, as messages begin: "read config /app/waymark.config.ts"
 * @throws CheckpointError `INVALID_CONFIG`
 */
export function parseConfig(source: string, value: unknown): ParsedConfig {
  try {
    const { checkpoint } = members("config", required("config", value, "checkpoint"), ["checkpoint"]);
    const known = ["providers", ...REPLICATION_OPTIONS] as const;
    const { providers, ...replication } = members("checkpoint", required("checkpoint", checkpoint, "providers"), known);
    const given = Object.entries(required("checkpoint.providers", providers, "main"));
    return {
      policy: resolveReplication("checkpoint", replication),
      providers: given
        .filter(([, provider]) => provider !== undefined)
        .map(([name, provider]) => parseProvider(name, provider)),
    };
  } catch (error) {
    throw invalidConfig(source, error);
  }
}

/** An object that has this member at least. What it has instead is most likely the member with a typing error. */
function required(field: string, value: unknown, member: string): Record<string, unknown> {
  const object = plainObject(field, value);
  if (object[member] !== undefined) return object;
  const others = Object.keys(object).map((key) => JSON.stringify(key.slice(0, 64)));
  const got = others.length === 0 ? "none" : others.slice(0, 8).join(", ");
  throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have the member ${member}, got ${got}`);
}

function parseProvider(name: string, value: unknown): Provider {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name)) {
    const names = "1 to 64 letters, digits, _ and -, starting with a letter";
    throw invalidArgument("each name in checkpoint.providers", names, name);
  }
  const field = `checkpoint.providers.${name}`;
  const { type, ...options } = required(field, value, "type");
  if (typeof type === "function") return { name, field, type: type as StorageFactory, options };
  if (!isTypeName(type)) throw invalidArgument(`${field}.type`, `a factory function, or ${TYPE_NAME}`, type);
  return { name, field, type, options: { type, ...options } };
}

/**
 * Has a factory make a provider. Its complaints about `options.x` are the config's about `checkpoint.providers.main.x`.
 * @throws CheckpointError `INVALID_CONFIG`
 */
export function createProvider(
  source: string,
  factory: StorageFactory,
  { field, options }: Provider,
): CheckpointStorage {
  try {
    return callFactory(factory, options);
  } catch (error) {
    if (!(error instanceof CheckpointError)) {
      const kind = error instanceof Error ? `an error of class ${error.constructor.name}` : describe(error);
      const message = `${source}: ${field}: its factory threw ${kind}`;
      throw new CheckpointError("INVALID_CONFIG", message, { cause: withoutValues(error) });
    }
    const named = error.message.replace(/^expected options\b/, `expected ${field}`);
    const message = named === error.message ? `${field}: ${named}` : named;
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${message}`, { cause: error.cause });
  }
}

/** What our own checks found, as a fault of the config. */
function invalidConfig(source: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return new CheckpointError("INVALID_CONFIG", `${source}: ${error.message}`);
  // A getter or a proxy in the config threw: its message is the user's, and may hold a value.
  return new CheckpointError("INVALID_CONFIG", `${source}: reading it threw an error`, { cause: withoutValues(error) });
}
