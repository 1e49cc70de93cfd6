import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Packages that only some programs have. */

export type Module = Readonly<Record<string, unknown>>;

/**
 * Imports a package from where the program has it, or this package; `null`: it is not installed. `through`: a package that is asked first,
 * since it may have one of its own.
 */
export async function importInstalled(name: string, through?: string): Promise<Module | null> {
  const program = process.argv[1];
  const own = fileURLToPath(import.meta.url);
  const paths = [join(process.cwd(), "package.json"), ...(program === undefined ? [] : [resolve(program)]), own];
  const place = through === undefined ? null : pathOf(through, paths);
  const found = pathOf(name, place === null ? paths : [place, ...paths]);
  if (found === null) return null;
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ pathToFileURL(found).href);
}

function pathOf(name: string, paths: readonly string[]): string | null {
  for (const path of paths) {
    try {
      return createRequire(path).resolve(name);
    } catch {
      // not from here
    }
  }
  return null;
}
