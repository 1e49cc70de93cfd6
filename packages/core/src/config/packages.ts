import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { CheckpointError, withoutValues } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import { URL_SCHEMES } from "./database-urls.ts";
import type { Provider } from "./define.ts";
import { importModule, type Module, missingModule } from "./modules.ts";
import {
  isShortName,
  isTypeName,
  type MemoryFactory,
  type RecordsFactory,
  type Registry,
  type StorageFactory,
} from "./registry.ts";

/** Storage packages: finding and loading the package of a provider's type. */

/**
 * Returns the paths from which storage packages are resolved: the config file, `cwd`, the program. Not core's own path, nor
 * a program that is itself an installed package: where packages see only their own dependencies (pnpm), these see no
 * storage package, or one that the user has not chosen.
 */
export function resolvePathsOf(folder: string, cwd: string): string[] {
  const program = process.argv[1];
  const paths = [join(folder, "waymark.config"), join(cwd, "waymark.config")];
  return program === undefined || program.split(sep).includes("node_modules") ? paths : [...paths, resolve(program)];
}

/** Finds the factory of a provider's type. @throws CheckpointError `INVALID_CONFIG` */
export async function factoryOf(
  source: string,
  provider: Provider,
  registry: Registry | undefined,
  paths: readonly string[],
): Promise<StorageFactory> {
  const { type } = provider;
  if (typeof type === "function") return type as StorageFactory;
  const registered = registry?.get(type);
  if (registered !== undefined) return registered;
  return (await exportOf(source, { ...provider, type }, CHECKPOINT_ENTRY, registry, paths)) as StorageFactory;
}

/** Finds the factory of memories of a provider's type. @throws CheckpointError `INVALID_CONFIG` */
export async function memoryFactoryOf(
  source: string,
  provider: Provider,
  registry: Registry | undefined,
  paths: readonly string[],
): Promise<MemoryFactory> {
  const { type, field } = provider;
  if (typeof type === "function") return type as MemoryFactory;
  const registered = registry?.getMemory(type);
  if (registered !== undefined) return registered;
  if (registry?.get(type) !== undefined) {
    const message = `${source}: ${field}: the type ${JSON.stringify(type)} is registered without a factory of memories`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
  return (await exportOf(source, { ...provider, type }, MEMORY_ENTRY, registry, paths)) as MemoryFactory;
}

/** Modules of a dialect's package, after its name, and the factories that they export. */
const CHECKPOINT_ENTRY = { module: "", factory: "createCheckpointStorage" };
const MEMORY_ENTRY = { module: "/memory", factory: "createMemoryStorage" };
const RECORDS_ENTRY = { module: "/records", factory: "createRecords" };

/** Finds the factory of other packages' tables in a provider's database. @throws CheckpointError `INVALID_CONFIG` */
export async function recordsFactoryOf(
  source: string,
  provider: Provider & { readonly type: string },
  paths: readonly string[],
): Promise<RecordsFactory> {
  return (await exportOf(source, provider, RECORDS_ENTRY, undefined, paths)) as RecordsFactory;
}

async function exportOf(
  source: string,
  { type, field, scheme }: Provider & { readonly type: string },
  entry: typeof CHECKPOINT_ENTRY,
  registry: Registry | undefined,
  paths: readonly string[],
): Promise<unknown> {
  const fail = (message: string, cause?: unknown): CheckpointError =>
    new CheckpointError("INVALID_CONFIG", `${source}: ${field}: ${message}`, { cause });
  const name = packageOf(type);
  const path = findPackage(`${name}${entry.module}`, paths);
  if (path === null && findPackage(name, paths) !== null) {
    throw fail(`the package ${name} keeps no ${entry === MEMORY_ENTRY ? "memory" : "tables of other packages"}`);
  }
  if (path === null) throw fail(`the package ${name} is not installed${adviceFor(type, scheme, registry, paths)}`);
  let module: Module;
  try {
    module = await importModule(pathToFileURL(path).href);
  } catch (error) {
    throw fail(`loading ${path} failed${missingModule(error) ?? ""}`, withoutValues(error));
  }
  if (scheme !== undefined && !declaresScheme(module, scheme)) {
    // A package of this name that is not made for such URLs must not get the password in one.
    throw fail(`${path} does not list ${JSON.stringify(scheme)} in an export urlSchemes`);
  }
  const factory = module[entry.factory];
  if (typeof factory === "function") return factory;
  throw fail(`${path} exports no function ${entry.factory}`);
}

/** Returns the name of a type's package: `x` is `@waymark/x`, other names are names of packages. */
function packageOf(type: string): string {
  return isShortName(type) ? `@waymark/${type}` : type;
}

/**
 * Says what to do about a package that is not installed. The command to install it only for packages of this project: a name
 * with a typing error may be a stranger's.
 */
function adviceFor(
  type: string,
  scheme: string | undefined,
  registry: Registry | undefined,
  paths: readonly string[],
): string {
  const own = [...new Set(URL_SCHEMES.values())];
  if (own.includes(type)) return `: npm install ${packageOf(type)}`;
  if (scheme !== undefined) {
    const schemes = [...URL_SCHEMES.keys()];
    const near = nearest(scheme, schemes);
    const known = `known are ${schemes.map((one) => `${one}:`).join(", ")}`;
    return `, which would take ${scheme}: URLs: ${near === null ? known : `did you mean ${near}:?`}`;
  }
  const meant =
    URL_SCHEMES.get(type) ?? nearest(type, [...own, ...(registry?.types() ?? []), ...installedTypes(paths)]);
  if (meant !== null) return `: did you mean the type ${JSON.stringify(meant)}?`;
  return `: types of this project are ${own.join(", ")}; other packages are named in full, as their authors say`;
}

/** Lists the types of installed packages of other authors. */
function installedTypes(paths: readonly string[]): string[] {
  const folders = paths.flatMap((path) => createRequire(path).resolve.paths("waymark") ?? []);
  return [...new Set(folders)].flatMap((folder) => {
    const names = namesIn(folder);
    const scoped = names
      .filter((name) => name.startsWith("@"))
      .flatMap((scope) => namesIn(join(folder, scope)).map((name) => `${scope}/${name}`));
    return [...names, ...scoped].filter((name) => isTypeName(name) && !isShortName(name));
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // there is none
  }
}

function declaresScheme(module: Module, scheme: string): boolean {
  const schemes = module["urlSchemes"];
  return Array.isArray(schemes) && schemes.includes(scheme);
}

function findPackage(name: string, paths: readonly string[]): string | null {
  for (const path of paths) {
    try {
      return createRequire(path).resolve(name);
    } catch {
      // not from here; nor is a package without the export that we need
    }
  }
  return null;
}
