import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { CheckpointStorage, CloseOptions, CloseReport } from "../contract/checkpoints.ts";
import { members, plainObject, string } from "../contract/checks.ts";
import { CheckpointError, describe, invalidArgument, property, withoutValues } from "../contract/errors.ts";
import { type ReplicationPolicy, resolveReplication } from "../replication/options.ts";
import { nameProvider, type ReplicatedStorage, replicate } from "../replication/storage.ts";
import { createProvider, type Provider, parseConfig, type WaymarkConfig } from "./define.ts";
import type { Registry, StorageFactory } from "./registry.ts";

/**
 * From a config file, or from the environment, to storages. The one place of core that reads either, and that knows how
 * storage packages are named.
 */

export interface OpenOptions {
  /** The config file, relative to `cwd`. Default: `waymark.config.{ts,mts,js,mjs,cjs,json}` in `cwd`, if it is there. */
  readonly configFile?: string;
  /** Where to look for a config file and, second to its own folder, for packages. Default: `process.cwd()`. */
  readonly cwd?: string;
  /** A config itself: no file and no variable is read then. Its relative paths are relative to `cwd`. */
  readonly config?: WaymarkConfig;
  /** Types of one's own, which come before those of packages. */
  readonly registry?: Registry;
  /** Read instead of `process.env`. */
  readonly env?: Environment;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The provider called main, with the one called backup behind it if there is one; and a way to each. */
export interface ConfiguredStorage extends ReplicatedStorage {
  /** The names of all providers, in the order of the config. */
  readonly providers: readonly string[];
  /** @throws CheckpointError `INVALID_ARGUMENT` if there is none of this name. */
  provider(name: string): CheckpointStorage;
  /** Closes all providers, even if one of them fails to; then throws what the first one threw. */
  close(options?: CloseOptions): Promise<CloseReport>;
}

/**
 * Opens the storage that the project is configured for: by `config`, else by a config file, else by the first of the
 * variables `WAYMARK_URL`, `DATABASE_URL`, `POSTGRES_URL` and `MYSQL_URL` that is set, else the file `agent_state.db`
 * in `cwd` (not if `NODE_ENV` is `production`). Connects to nothing: that is for the first call.
 * @throws CheckpointError `INVALID_CONFIG`; `INVALID_ARGUMENT` for its own options
 */
export async function openCheckpointStorage(options: OpenOptions = {}): Promise<ConfiguredStorage> {
  const { config, configFile, cwd, env, registry } = checkOptions(options);
  const found = config === undefined ? findConfigFile(cwd, configFile) : null;
  const plan =
    config !== undefined
      ? { source: "read config", folder: cwd, ...parseConfig("read config", config) }
      : found !== null
        ? await readConfigFile(found)
        : {
            source: "read environment",
            folder: cwd,
            providers: [providerOfEnvironment(env, cwd)],
            policy: resolveReplication("checkpoint", {}),
          };
  const storages = new Map<string, CheckpointStorage>();
  const providers = plan.providers.map((provider) => withPathsFrom(plan.folder, provider));
  checkBackup(plan.source, providers, plan.policy);
  try {
    for (const provider of providers) {
      const factory = await factoryOf(plan.source, provider, registry, placesOfPackages(plan.folder, cwd));
      const storage = createProvider(plan.source, factory, provider);
      nameProvider(storage, provider.name);
      storages.set(provider.name, storage);
    }
    return configuredStorage(plan.source, storages, plan.policy);
  } catch (error) {
    await closeAll(null, storages).catch(() => {}); // nothing has used them yet, and the error at hand says what to mend
    throw error;
  }
}

function checkOptions(value: OpenOptions) {
  const options = members("options", value, ["configFile", "cwd", "config", "registry", "env"]);
  const { configFile, config, cwd = ".", env = process.env, registry } = options;
  if (configFile !== undefined && config !== undefined) {
    throw new CheckpointError("INVALID_ARGUMENT", "expected options to have configFile or config, got both");
  }
  if (registry !== undefined && typeof property(registry, "get") !== "function") {
    throw invalidArgument("options.registry", "a registry of createRegistry()", registry);
  }
  return {
    configFile: configFile === undefined ? undefined : string("options.configFile", configFile),
    config,
    cwd: resolve(string("options.cwd", cwd)),
    env: plainObject("options.env", env) as Environment,
    registry: registry as Registry | undefined,
  };
}

const FOUND_NAMES = ["ts", "mts", "js", "mjs", "cjs", "json"].map((extension) => `waymark.config.${extension}`);
const TYPESCRIPT = [".ts", ".mts", ".cts"];
const EXTENSIONS = [...TYPESCRIPT, ".js", ".mjs", ".cjs", ".json"];

/** We look ourselves: c12 would take `.config/waymark.toml` too, and of two files the first in silence. */
function findConfigFile(cwd: string, explicit: string | undefined): string | null {
  if (explicit !== undefined) {
    const file = resolve(cwd, explicit);
    if (!isFile(file)) throw new CheckpointError("INVALID_CONFIG", `read config ${file}: there is no such file`);
    if (EXTENSIONS.includes(extname(file))) return file;
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read config ${file}: expected its name to end in ${EXTENSIONS.join(", ")}`,
    );
  }
  const [first, second] = FOUND_NAMES.map((name) => join(cwd, name)).filter(isFile);
  if (first !== undefined && second !== undefined) {
    const both = `there is ${basename(second)} beside it: keep one of them, or name one as options.configFile`;
    throw new CheckpointError("INVALID_CONFIG", `read config ${first}: ${both}`);
  }
  return first ?? null;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

async function readConfigFile(file: string) {
  const source = `read config ${file}`;
  let loaded: unknown;
  try {
    loaded = await loadConfigFile(file);
  } catch (error) {
    if (error instanceof CheckpointError && error.code === "INVALID_CONFIG") throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${faultOf(file, error)}`);
  }
  return { source, folder: dirname(file), ...parseConfig(source, loaded) };
}

/** JavaScript is the running Node's own to load, so that a config shares its modules with the program. */
async function loadConfigFile(file: string): Promise<unknown> {
  const extension = extname(file);
  if (extension === ".json") return JSON.parse(await readFile(file, "utf8"));
  const module = TYPESCRIPT.includes(extension)
    ? await loadTypeScript(file)
    : await importModule(pathToFileURL(file).href);
  const exported = Object.hasOwn(module, "default") ? module["default"] : undefined;
  // A module that was compiled to CommonJS has its default export one level down.
  if (property(exported, "__esModule") === true) return property(exported, "default");
  if (exported !== undefined || Object.hasOwn(module, "default")) return exported;
  throw new CheckpointError("INVALID_CONFIG", `read config ${file}: expected it to have a default export, got none`);
}

async function loadTypeScript(file: string): Promise<Module> {
  const { loadConfig } = await importC12(file);
  const cwd = dirname(file);
  let module: Module = {};
  await loadConfig({
    cwd,
    // The file is known, and nothing but the file is the config: not rc files, package.json, .env, what it extends, or
    // members for one NODE_ENV. (Tried: a stray `.waymarkrc` replaced `main` in silence.)
    async resolve(_source, { jiti }) {
      if (jiti !== undefined) module = await jiti.import<Module>(file);
      if (extname(file) === ".cts" && !Object.hasOwn(module, "default")) module = { default: module };
      return { config: {}, configFile: file, cwd };
    },
    // A cache on disk would keep what the config holds, readable by others.
    jitiOptions: { interopDefault: false, fsCache: false },
    rcFile: false,
    globalRc: false,
    packageJson: false,
    dotenv: false,
    envName: false,
    extend: false,
    giget: false,
  });
  return module;
}

/**
 * By a name that bundlers do not see through: c12 brings compilers that they cannot bundle, and only TypeScript needs it.
 */
async function importC12(file: string): Promise<typeof import("c12")> {
  try {
    return (await importModule("c12")) as unknown as typeof import("c12");
  } catch (error) {
    const code = property(error, "code");
    if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") throw error;
    const advice = "write it in JavaScript, hand it over as options.config, or npm install c12";
    const message = `read config ${file}: a config in TypeScript needs the package c12, which is not here: ${advice}`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
}

type Module = Readonly<Record<string, unknown>>;

async function importModule(specifier: string): Promise<Module> {
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
}

/** What went wrong in a config file, and where. The error's own message stays out of it: it may quote the config. */
function faultOf(file: string, error: unknown): string {
  if (extname(file) === ".json" && error instanceof SyntaxError) return "it is not valid JSON";
  const className = error instanceof Error ? error.constructor.name : "";
  const thrown = /^[A-Za-z_$][\w$]{0,63}$/.test(className) ? className : describe(error);
  const code = property(error, "code");
  const shownCode = typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code) ? ` (${code})` : "";
  // Node tells the place of a syntax error to its own console alone.
  const place = lineOf(file, error) ?? (error instanceof SyntaxError ? `: node --check ${file} shows where` : "");
  return `it threw ${thrown}${shownCode}${missingModule(error) ?? place}`;
}

/** The name of a module that is imported, and not there. */
function missingModule(error: unknown): string | null {
  const code = property(error, "code");
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return null;
  const name = /^Cannot find (?:package|module) '([@\w./:-]{1,256})'/.exec(String(property(error, "message")))?.[1];
  return name === undefined ? null : `: it imports ${name}`;
}

/** Where in the file an error arose, by its stack. A parser's error has no frame there, and says the place in words. */
function lineOf(file: string, error: unknown): string | null {
  const stack = String(property(error, "stack"));
  const message = String(property(error, "message"));
  for (const text of [stack.slice(stack.indexOf(message) + message.length), stack]) {
    for (const name of [pathToFileURL(file).href, file]) {
      const at = text.indexOf(`${name}:`);
      const place = at < 0 ? null : /^:(\d{1,6})(?::(\d{1,6}))?/.exec(text.slice(at + name.length));
      if (place !== null) return ` at line ${place[1]}${place[2] === undefined ? "" : `, column ${place[2]}`}`;
    }
  }
  return null;
}

/** The variables that name a database, first to last. All but the first are shared with other programs. */
const VARIABLES = ["WAYMARK_URL", "DATABASE_URL", "POSTGRES_URL", "MYSQL_URL"] as const;

/** Which storage a URL is for, by its scheme. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ["postgres", "postgres"],
  ["postgresql", "postgres"],
  ["mysql", "mysql"],
  ["mariadb", "mysql"],
  ["file", "sqlite"],
  ["sqlite", "sqlite"],
]);

const EMBEDDED_TYPE = "sqlite";
const EMBEDDED_FILE = "agent_state.db";

function providerOfEnvironment(env: Environment, cwd: string): Provider {
  const variable = VARIABLES.find((name) => env[name] !== undefined && env[name] !== "");
  if (variable === undefined) {
    if (env["NODE_ENV"] !== "production") return embedded("the default", join(cwd, EMBEDDED_FILE));
    const advice = `set ${VARIABLES[0]} to the database's URL, or add a waymark.config file to ${cwd}`;
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read environment: NODE_ENV is production, and no database is named: ${advice}`,
    );
  }
  const url = env[variable] as string;
  const scheme = /^([a-z][a-z0-9+.-]{0,31}):/i.exec(url)?.[1]?.toLowerCase();
  const type = scheme === undefined ? undefined : TYPES.get(scheme);
  if (scheme === undefined || type === undefined) {
    // Without the slashes, what stands before a colon may be a user's name as well.
    const got = scheme !== undefined && url.startsWith("//", scheme.length + 1) ? `${scheme}:` : "another string";
    const schemes = [...TYPES.keys()].map((known) => `${known}:`).join(", ");
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read environment: expected ${variable} to be a URL of ${schemes}, got ${got}`,
    );
  }
  const rest = url.slice(scheme.length);
  if (type === EMBEDDED_TYPE) return embedded(variable, databasePathOf(variable, rest, cwd));
  return { name: "main", field: variable, type, options: { type, connectionString: `${type}${rest}` } };
}

function embedded(field: string, databasePath: string): Provider {
  return { name: "main", field, type: EMBEDDED_TYPE, options: { type: EMBEDDED_TYPE, databasePath } };
}

/** @param rest of a URL, from the colon on: `:./relative.db`, `:/absolute.db`, `:///absolute.db`, `::memory:` */
function databasePathOf(variable: string, rest: string, cwd: string): string {
  const path = rest.slice(1);
  if (path === ":memory:") return path;
  try {
    if (!/^$|[?#]|\/$/.test(path)) {
      return path.startsWith("/") ? fileURLToPath(`file:${path}`) : resolve(cwd, decodeURIComponent(path));
    }
  } catch {
    // a host, or a % that encodes nothing
  }
  const forms = "file: and a path, relative or absolute, without host and parameters";
  throw new CheckpointError("INVALID_CONFIG", `read environment: expected ${variable} to be ${forms}`);
}

/** What a second copy is good for depends on its being one. The same database by another name is noticed when it is used. */
function checkBackup(source: string, providers: readonly Provider[], { replication }: ReplicationPolicy): void {
  const [main, backup] = ["main", "backup"].map((name) => providers.find((provider) => provider.name === name));
  if (main === undefined || replication === "off") return;
  if (backup === undefined) {
    if (replication !== "required") return;
    const message = 'checkpoint.replication: expected a provider backup beside "required", got none';
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${message}`);
  }
  const place = ({ type, options }: Provider) => [
    type,
    options["connectionString"] ?? options["databasePath"],
    options["schema"],
    options["tablePrefix"] ?? "",
  ];
  const [one, other] = [place(main), place(backup)];
  if (one[1] === undefined || one[1] === ":memory:" || one.some((part, index) => part !== other[index])) return;
  const message = `${backup.field}: expected another database than that of ${main.field}, got the same`;
  throw new CheckpointError("INVALID_CONFIG", `${source}: ${message}`);
}

/**
 * A relative `databasePath` is relative to the config's folder: wherever a process is started that uses this config, it
 * finds the same database, and does not make an empty one in silence.
 */
function withPathsFrom(folder: string, provider: Provider): Provider {
  const { databasePath } = provider.options;
  if (typeof databasePath !== "string" || databasePath === "" || databasePath === ":memory:") return provider;
  return { ...provider, options: { ...provider.options, databasePath: resolve(folder, databasePath) } };
}

/**
 * Where a storage package is looked for: from the config file, from `cwd`, from the program. Not from core's own place,
 * nor from a program that is itself an installed package: where packages see only what they depend on (pnpm), those see
 * no storage package, or one that nobody has chosen.
 */
function placesOfPackages(folder: string, cwd: string): string[] {
  const program = process.argv[1];
  const places = [join(folder, "waymark.config"), join(cwd, "waymark.config")];
  return program === undefined || program.split(sep).includes("node_modules") ? places : [...places, resolve(program)];
}

async function factoryOf(
  source: string,
  { type, field }: Provider,
  registry: Registry | undefined,
  places: readonly string[],
): Promise<StorageFactory> {
  if (typeof type === "function") return type;
  const registered = registry?.get(type);
  if (registered !== undefined) return registered;
  const name = `@waymark/${type}`;
  const path = findPackage(name, places);
  if (path === null) {
    const meant = TYPES.get(type) ?? type;
    const advice = meant === type ? `npm install ${name}` : `did you mean the type ${JSON.stringify(meant)}?`;
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${field}: the package ${name} is not installed: ${advice}`);
  }
  let module: Module;
  try {
    module = await importModule(pathToFileURL(path).href);
  } catch (error) {
    const message = `${source}: ${field}: loading ${path} failed${missingModule(error) ?? ""}`;
    throw new CheckpointError("INVALID_CONFIG", message, { cause: withoutValues(error) });
  }
  const factory = module["createCheckpointStorage"];
  if (typeof factory === "function") return factory as StorageFactory;
  throw new CheckpointError(
    "INVALID_CONFIG",
    `${source}: ${field}: ${path} exports no function createCheckpointStorage`,
  );
}

function findPackage(name: string, places: readonly string[]): string | null {
  for (const place of places) {
    try {
      return createRequire(place).resolve(name);
    } catch {
      // not from here; a package whose exports are not for us is none of ours either
    }
  }
  return null;
}

function configuredStorage(
  source: string,
  storages: ReadonlyMap<string, CheckpointStorage>,
  policy: ReplicationPolicy,
): ConfiguredStorage {
  const main = storages.get("main") as CheckpointStorage;
  const backup = policy.replication === "off" ? undefined : storages.get("backup");
  const both = backup === undefined ? null : replicated(source, main, backup, policy);
  const storage = both ?? main;
  let closing: Promise<CloseReport> | null = null;
  const close = (options?: CloseOptions) => {
    closing ??= closeAll(both, storages, options);
    return closing;
  };
  return {
    providers: Object.freeze([...storages.keys()]),
    provider(name) {
      const found = storages.get(name);
      if (found !== undefined) return found;
      const names = [...storages.keys()].join(", ");
      throw invalidArgument("name", `one of the providers ${names}`, name);
    },
    storeCheckpoint: (checkpoint, options) => storage.storeCheckpoint(checkpoint, options),
    retrieveCheckpoint: (id, options) => storage.retrieveCheckpoint(id, options),
    retrieveLatestCheckpoint: (agentId, query) => storage.retrieveLatestCheckpoint(agentId, query),
    listCheckpoints: (query) => storage.listCheckpoints(query),
    iterateCheckpoints: (query) => storage.iterateCheckpoints(query),
    iterateAncestors: (id, options) => storage.iterateAncestors(id, options),
    appendWrites: (checkpointId, writes, options) => storage.appendWrites(checkpointId, writes, options),
    listWrites: (checkpointId, options) => storage.listWrites(checkpointId, options),
    listAgents: (query) => storage.listAgents(query),
    deleteCheckpoint: (id, options) => storage.deleteCheckpoint(id, options),
    deleteAgent: (agentId, query) => storage.deleteAgent(agentId, query),
    pruneCheckpoints: (prunePolicy) => storage.pruneCheckpoints(prunePolicy),
    stats: (query) => storage.stats(query),
    health: (options) => storage.health(options),
    status: (options) => storage.status(options),
    on: (event, listener) => storage.on(event, listener),
    migrate: (mode) => storage.migrate(mode),
    async reconcile(options) {
      if (both !== null) return await both.reconcile(options);
      throw new CheckpointError("INVALID_CONFIG", `${source}: there is no backup to reconcile main with`);
    },
    close,
    async [Symbol.asyncDispose]() {
      await close();
    },
  };
}

function replicated(
  source: string,
  main: CheckpointStorage,
  backup: CheckpointStorage,
  policy: ReplicationPolicy,
): ReplicatedStorage {
  try {
    return replicate(main, backup, policy);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: checkpoint.providers: ${error.message}`);
  }
}

/** Main and backup together, since they have something to send to each other; then the others. */
async function closeAll(
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
