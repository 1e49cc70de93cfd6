import { resolve } from "node:path";
import { CHECKPOINT_OPTIONS } from "../checkpoints/options.ts";
import { objectWithKeys, plainObject, refuseUndefined, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, invalidWord } from "../contract/errors.ts";
import type { Embedder, MemoryStorage } from "../memory/contract.ts";
import { type CommonMemoryOptions, resolveOwnOptions } from "../memory/options.ts";
import { creating, type Provider, parseProviderAt, type WaymarkConfig } from "./define.ts";
import type { Environment } from "./environment.ts";
import type { ConfigSource } from "./file.ts";
import { checkRegistry, findConfig, withPathsFrom } from "./open.ts";
import { memoryFactoryOf, resolvePathsOf } from "./packages.ts";
import { callMemoryFactory, type Registry } from "./registry.ts";

/** Opening the memory that a config, a config file or the environment describes. */

export interface OpenMemoryOptions {
  /** As in `openCheckpointStorage`: one config file describes both. `undefined` is refused, here and in `config`. */
  readonly configFile?: string;
  /** Folder of the config file and, second to that file's own folder, of packages. Default: `process.cwd()`. */
  readonly cwd?: string | undefined;
  /** A config object: no file and no variable is read then. Its relative paths are relative to `cwd`. */
  readonly config?: WaymarkConfig;
  /** Types of your own, each registered with a factory of memories. They take precedence over those of packages. */
  readonly registry?: Registry | undefined;
  /** Turns texts into vectors, in place of the config's: for a config in JSON, or the environment, which cannot have one. */
  readonly embedder?: Embedder | undefined;
  /** Options of collections, in place of the config's. */
  readonly collections?: CommonMemoryOptions["collections"];
  /** Environment variables. Default: `process.env`. */
  readonly env?: Environment | undefined;
}

/**
 * Opens the memory of a config: on the database of its provider `main`, or as `memory.provider` says. The config is found as
 * `openCheckpointStorage` finds it. Does not connect: the first call does.
 * @throws CheckpointError `INVALID_CONFIG`; `INVALID_ARGUMENT` for its own options
 */
export async function openMemoryStorage(options: OpenMemoryOptions = {}): Promise<MemoryStorage> {
  const { config, configFile, cwd, env, registry, given } = checkOptions(options);
  const plan = await findConfig(config, configFile, cwd, env, registry);
  const provider = withPathsFrom(plan.folder, memoryProvider(plan, given));
  const factory = await memoryFactoryOf(plan.source, provider, registry, resolvePathsOf(plan.folder, cwd));
  return creating(plan.source, provider, () => callMemoryFactory(factory, provider.options));
}

function checkOptions(value: OpenMemoryOptions) {
  const names = ["configFile", "cwd", "config", "registry", "embedder", "collections", "env"] as const;
  const options = objectWithKeys("options", value, names);
  refuseUndefined("options", options, ["configFile", "config"]);
  const { configFile, config, cwd = ".", env = process.env } = options;
  if (configFile !== undefined && config !== undefined) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have configFile or config, got both");
  }
  const { embedder, collections } = options;
  resolveOwnOptions("options", options);
  return {
    given: { ...(embedder !== undefined && { embedder }), ...(collections !== undefined && { collections }) },
    registry: checkRegistry("options.registry", options.registry),
    configFile: configFile === undefined ? undefined : string("options.configFile", configFile),
    config: config as WaymarkConfig | undefined,
    cwd: resolve(string("options.cwd", cwd)),
    env: plainObject("options.env", env) as Environment,
  };
}

/** Options of checkpoints, which say nothing to a memory on the same database. */
const ONLY_CHECKPOINTS: readonly string[] = [...CHECKPOINT_OPTIONS, "encryption"];

/**
 * Returns the provider of memory, with the options of `memory`, and those that were `given` in their place.
 * @throws CheckpointError `INVALID_CONFIG`
 */
function memoryProvider({ source, providers, memory }: ConfigSource, given: object): Provider {
  const { provider = "main", ...options } = memory;
  try {
    if (providers.length === 0 && typeof provider === "string") {
      const expected = "a provider of its own, since the config has no checkpoint";
      throw invalidArgument("memory.provider", expected, memory.provider);
    }
    const base =
      typeof provider === "string"
        ? sharedProvider(providers, provider)
        : parseProviderAt("memory", "memory.provider", provider);
    resolveOwnOptions("memory", options); // here, where their place in the config is known
    const configured = Object.entries(options).filter(([, value]) => value !== undefined);
    return { ...base, options: { ...base.options, ...Object.fromEntries(configured), ...given } };
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${error.message}`);
  }
}

function sharedProvider(providers: readonly Provider[], name: string): Provider {
  const provider = providers.find((one) => one.name === name);
  if (provider === undefined) {
    const names = providers.map((one) => JSON.stringify(one.name)).join(", ");
    throw invalidWord("memory.provider", `a provider, or the name of one in checkpoint.providers: ${names}`, name);
  }
  const { encryption = null } = provider.options;
  if (encryption !== null) {
    // It would be in plain what the same config encrypts elsewhere.
    const expected = `a provider without encryption, which memory does not have yet (${provider.field} has it)`;
    throw invalidArgument("memory.provider", expected, name);
  }
  if (typeof provider.type === "function") {
    throw invalidArgument(
      "memory.provider",
      `given: ${provider.field}.type is a function, which makes no memory`,
      name,
    );
  }
  const shared = Object.entries(provider.options).filter(([option]) => !ONLY_CHECKPOINTS.includes(option));
  return { ...provider, options: Object.fromEntries(shared) };
}
