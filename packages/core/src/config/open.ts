import { resolve, sep } from "node:path";
import type { CheckpointStorage, CloseOptions } from "../contract/checkpoints.ts";
import { objectWithKeys, plainObject, refuseUndefined, string } from "../contract/checks.ts";
import { CheckpointError, invalidArgument, invalidWord, property } from "../contract/errors.ts";
import { parseState, resolveParser, type StateParser } from "../contract/state-parser.ts";
import type { CloseReport } from "../contract/status.ts";
import { forward } from "../database/forward.ts";
import { type ResolvedReplicationOptions, resolveReplication } from "../replication/options.ts";
import { nameProvider, shareMain } from "../replication/pair.ts";
import { type ReplicatedStorage, replicate } from "../replication/storage.ts";
import type { ResolvedRetention } from "../retention/options.ts";
import { type RetentionRunner, runRetention } from "../retention/runner.ts";
import { IN_MEMORY, PATH_OPTIONS } from "./database-urls.ts";
import { createProvider, type Provider, parseConfig, type WaymarkConfig } from "./define.ts";
import { type Environment, providerOfEnvironment } from "./environment.ts";
import { type ConfigSource, findConfigFile, readConfigFile } from "./file.ts";
import { factoryOf, resolvePathsOf } from "./packages.ts";
import type { Registry } from "./registry.ts";

/** Opening the storage that a config, a config file or the environment describes. */

export interface OpenOptions<State = unknown> {
  /**
   * Path of the config file, relative to `cwd`. Default: `waymark.config.{ts,mts,js,mjs,cjs,json}` in `cwd`, if it is there.
   * `undefined` is refused, here and in `config`: another database would be opened.
   */
  readonly configFile?: string;
  /** Folder of the config file and, second to that file's own folder, of packages. Default: `process.cwd()`. */
  readonly cwd?: string | undefined;
  /** A config object: no file and no variable is read then. Its relative paths are relative to `cwd`. */
  readonly config?: WaymarkConfig;
  /** Storage types of your own, which take precedence over those of packages. */
  readonly registry?: Registry | undefined;
  /**
   * Parses every state that `retrieveCheckpoint` and `retrieveLatestCheckpoint` return, see `CommonStorageOptions`. Not for the
   * storages that `provider` returns. Default: none. `undefined` is refused.
   */
  readonly parse?: StateParser<State>;
  /** Environment variables. Default: `process.env`. */
  readonly env?: Environment | undefined;
}

/** The provider `main`, with the provider `backup` behind it if there is one; and access to each provider. */
export interface ConfiguredStorage<State = unknown> extends ReplicatedStorage<State> {
  /** Names of all providers, in the order of the config. */
  readonly providers: readonly string[];
  /** Returns a provider. @throws CheckpointError `INVALID_ARGUMENT` if there is none of this name */
  provider(name: string): CheckpointStorage;
  /** Closes all providers, even if one fails to close; then throws the first error. */
  close(options?: CloseOptions): Promise<CloseReport>;
}

/**
 * Opens the configured storage: by `config`, else by a config file, else by the first of the variables `WAYMARK_URL`,
 * `DATABASE_URL`, `POSTGRES_URL`, `MYSQL_URL` and `PGLITE_DATA_DIR` that is set, else the file `agent_state.db` in `cwd` (not if `NODE_ENV` is
 * `production`). Does not connect: the first call does.
 * @throws CheckpointError `INVALID_CONFIG`; `INVALID_ARGUMENT` for its own options
 */
export async function openCheckpointStorage<State = unknown>(
  options: OpenOptions<State> = {},
): Promise<ConfiguredStorage<State>> {
  const { config, configFile, cwd, env, registry, parse } = checkOptions(options);
  const plan = await findConfig(config, configFile, cwd, env, registry);
  if (plan.providers.length === 0) {
    const message = `${plan.source}: expected config to have the member checkpoint, got memory alone`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
  const storages = new Map<string, CheckpointStorage>();
  const providers = plan.providers.map((provider) => withPathsFrom(plan.folder, provider));
  checkBackup(plan.source, providers, plan.policy);
  try {
    for (const provider of providers) {
      const factory = await factoryOf(plan.source, provider, registry, resolvePathsOf(plan.folder, cwd));
      const storage = createProvider(plan.source, factory, provider);
      nameProvider(storage, provider.name);
      storages.set(provider.name, storage);
    }
    return configuredStorage(plan.source, storages, plan.policy, plan.retention, parse) as ConfiguredStorage<State>;
  } catch (error) {
    await closeProviders(null, storages).catch(() => {}); // unused so far; the error at hand is the one to report
    throw error;
  }
}

/** Finds the config: the one that was given, a config file, or the environment. */
export async function findConfig(
  config: WaymarkConfig | undefined,
  configFile: string | undefined,
  cwd: string,
  env: Environment,
  registry: Registry | undefined,
): Promise<ConfigSource> {
  if (config !== undefined) return { source: "read config", folder: cwd, ...parseConfig("read config", config) };
  const file = findConfigFile(cwd, configFile);
  if (file !== null) return await readConfigFile(file);
  return {
    source: "read environment",
    folder: cwd,
    providers: [providerOfEnvironment(env, cwd, registry)],
    policy: resolveReplication("checkpoint", {}),
    retention: null,
    memory: {},
  };
}

function checkOptions(value: OpenOptions<unknown>) {
  const options = objectWithKeys("options", value, ["configFile", "cwd", "config", "registry", "parse", "env"]);
  refuseUndefined("options", options, ["configFile", "config", "parse"]);
  const { configFile, config, cwd = ".", env = process.env, registry } = options;
  if (configFile !== undefined && config !== undefined) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have configFile or config, got both");
  }
  return {
    configFile: configFile === undefined ? undefined : string("options.configFile", configFile),
    config: config as WaymarkConfig | undefined,
    cwd: resolve(string("options.cwd", cwd)),
    env: plainObject("options.env", env) as Environment,
    registry: checkRegistry("options.registry", registry),
    parse: resolveParser(options.parse),
  };
}

export function checkRegistry(field: string, registry: unknown): Registry | undefined {
  if (registry === undefined) return undefined;
  const isRegistry = ["get", "getMemory"].every((name) => typeof property(registry, name) === "function");
  if (!isRegistry) throw invalidArgument(field, "a registry of createRegistry()", registry);
  return registry as Registry;
}

/** Refuses a backup that is the same database as main. Under another name that is noticed when it is used. */
function checkBackup(
  source: string,
  providers: readonly Provider[],
  { replication }: ResolvedReplicationOptions,
): void {
  const [main, backup] = ["main", "backup"].map((name) => providers.find((provider) => provider.name === name));
  if (main === undefined || backup === undefined || replication === "off") return;
  const place = ({ type, options }: Provider) => [
    type,
    ["connectionString", ...PATH_OPTIONS.keys()].map((name) => options[name]).find((value) => value !== undefined),
    options["schema"],
    options["tablePrefix"] ?? "",
  ];
  const [one, other] = [place(main), place(backup)];
  if (one[1] === undefined || IN_MEMORY.has(one[1]) || one.some((part, index) => part !== other[index])) return;
  const message = `${backup.field}: expected another database than that of ${main.field}, got the same`;
  throw new CheckpointError("INVALID_CONFIG", `${source}: ${message}`);
}

/**
 * Makes relative paths relative to the config's folder: so all processes with this config find the same database, wherever they
 * are started, and none silently creates an empty one.
 */
export function withPathsFrom(folder: string, provider: Provider): Provider {
  const paths = [...PATH_OPTIONS].flatMap(([name, kind]) => {
    const path = provider.options[name];
    // A URL, ~ and the folder of a file are no paths: the dialect refuses them.
    if (typeof path !== "string" || /^$|^:memory:$|^[a-z]{2,}:|^~/i.test(path)) return [];
    return kind === "file" && /[/]$/.test(path.replaceAll(sep, "/")) ? [] : [[name, resolve(folder, path)]];
  });
  return paths.length === 0
    ? provider
    : { ...provider, options: { ...provider.options, ...Object.fromEntries(paths) } };
}

const FORWARDED = [
  "storeCheckpoint",
  "restoreCheckpoint",
  "listCheckpoints",
  "iterateCheckpoints",
  "iterateAncestors",
  "appendWrites",
  "listWrites",
  "listAgents",
  "deleteCheckpoint",
  "deleteAgent",
  "deleteAgents",
  "indexLabels",
  "pruneCheckpoints",
  "stats",
  "health",
  "status",
  "on",
  "migrate",
] as const satisfies readonly (keyof CheckpointStorage)[];

function configuredStorage(
  source: string,
  storages: ReadonlyMap<string, CheckpointStorage>,
  policy: ResolvedReplicationOptions,
  retention: ResolvedRetention | null,
  parse: StateParser<unknown> | null,
): ConfiguredStorage {
  const main = storages.get("main") as CheckpointStorage;
  const backup = policy.replication === "off" ? undefined : storages.get("backup");
  const both = backup === undefined ? null : replicated(source, main, backup, policy);
  const storage = both ?? main;
  const pruning = retention === null ? null : pruneByItself(source, storage, retention);
  const stopAndClose = async (options?: CloseOptions) => {
    await pruning?.stop(options);
    return await closeProviders(both, storages, options);
  };
  let closing: Promise<CloseReport> | null = null;
  const close = (options?: CloseOptions) => {
    closing ??= stopAndClose(options);
    return closing;
  };
  const configured: ConfiguredStorage = {
    providers: Object.freeze([...storages.keys()]),
    provider(name) {
      const found = storages.get(name);
      if (found !== undefined) return found;
      const names = [...storages.keys()].join(", ");
      throw invalidWord("name", `one of the providers ${names}`, name);
    },
    ...forward(storage, FORWARDED),
    retrieveCheckpoint: async (id, options) => await parseState(parse, await storage.retrieveCheckpoint(id, options)),
    async retrieveLatestCheckpoint(agentId, query) {
      return await parseState(parse, await storage.retrieveLatestCheckpoint(agentId, query));
    },
    async reconcile(options) {
      if (both !== null) return await both.reconcile(options);
      throw new CheckpointError("INVALID_CONFIG", `${source}: there is no backup to reconcile main with`);
    },
    close,
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
  shareMain(configured, storage);
  return configured;
}

function pruneByItself(source: string, storage: CheckpointStorage, retention: ResolvedRetention): RetentionRunner {
  try {
    return runRetention(storage, retention);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: checkpoint.retention: ${error.message}`);
  }
}

function replicated(
  source: string,
  main: CheckpointStorage,
  backup: CheckpointStorage,
  policy: ResolvedReplicationOptions,
): ReplicatedStorage {
  try {
    return replicate(main, backup, policy);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: checkpoint.providers: ${error.message}`);
  }
}

/** Closes main and backup together, which send each other their backlogs; then the others. */
async function closeProviders(
  both: ReplicatedStorage | null,
  storages: ReadonlyMap<string, CheckpointStorage>,
  options?: CloseOptions,
): Promise<CloseReport> {
  const [together] = await Promise.allSettled([both?.close(options)]);
  const closings = [...storages.values()].map(async (storage) => await storage.close(options));
  for (const outcome of [together, ...(await Promise.allSettled(closings))]) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
  return (together.status === "fulfilled" ? together.value : undefined) ?? { unsent: null };
}
