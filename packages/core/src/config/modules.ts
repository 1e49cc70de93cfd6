import { property } from "../contract/errors.ts";

/** Modules whose name or URL is known at run time only. */

export type Module = Readonly<Record<string, unknown>>;

/** Imports a module so that bundlers leave the import alone. */
export async function importModule(specifier: string): Promise<Module> {
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
}

/** Names the module that an import has not found, for a message; `null`: the error is another one. */
export function missingModule(error: unknown): string | null {
  const code = property(error, "code");
  if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") return null;
  const name = /^Cannot find (?:package|module) '([@\w./:-]{1,256})'/.exec(String(property(error, "message")))?.[1];
  return name === undefined ? null : `: it imports ${name}`;
}
