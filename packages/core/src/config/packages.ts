import { createRequire } from "node:module";
import { join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { CheckpointError, withoutValues } from "../contract/errors.ts";
import { URL_SCHEMES } from "./database-urls.ts";
import type { Provider } from "./define.ts";
import { importModule, type Module, missingModule } from "./modules.ts";
import type { Registry, StorageFactory } from "./registry.ts";

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
  { type, field }: Provider,
  registry: Registry | undefined,
  paths: readonly string[],
): Promise<StorageFactory> {
  if (typeof type === "function") return type;
  const registered = registry?.get(type);
  if (registered !== undefined) return registered;
  const name = `@waymark/${type}`;
  const path = findPackage(name, paths);
  if (path === null) {
    const meant = URL_SCHEMES.get(type) ?? type;
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
