import { existsSync, realpathSync } from "node:fs";
import { register } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { WaymarkSaver } from "@waymark/langgraph";
import type { System } from "./systems/system.ts";
import type { Storages } from "./systems/waymark.ts";

/** Another checkout of this repository, with its packages as they are built there. */
export interface Checkout extends Storages {
  readonly folder: string;
  readonly WaymarkSaver: typeof WaymarkSaver;
}

const PACKAGES = ["core", "sqlite", "postgres", "mysql", "langgraph"];

function filesOf(folder: string): string[] {
  return PACKAGES.map((name) => join(folder, "packages", name, "dist", "index.js"));
}

/** Returns the first file that a built checkout has and this folder lacks. */
export function missingIn(folder: string): string | undefined {
  return filesOf(folder).find((file) => !existsSync(file));
}

/**
 * Imports the packages that are built there. They get LangChain, their peer, from this checkout: the graphs are made with it, and
 * those with messages of two copies of its classes would be slower.
 */
export async function importCheckout(folder: string): Promise<Checkout> {
  const [there, here] = [pathToFileURL(realpathSync(join(folder, "packages"))).href, import.meta.url].map((url) =>
    JSON.stringify(url),
  );
  const hooks = `export const resolve = (name, context, next) => {
    const isPeer = name.startsWith("@langchain/") && context.parentURL?.startsWith(${there});
    return next(name, isPeer ? { ...context, parentURL: ${here} } : context);
  };`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
  const modules = await Promise.all(filesOf(folder).map((file) => import(pathToFileURL(file).href)));
  return Object.assign({ folder }, ...modules) as Checkout;
}

/** Names a system of this checkout as the other one has it: its twin. */
export function namesOfTwin({ id, title }: Pick<System, "id" | "title">, { folder }: Checkout) {
  return { id: `${id}-against`, title: `${title}, in ${folder}`, twinOf: id };
}
