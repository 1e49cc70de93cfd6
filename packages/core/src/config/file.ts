import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CheckpointError, describeThrown, property } from "../contract/errors.ts";
import { type ParsedConfig, parseConfig } from "./define.ts";
import { jsonErrorAt } from "./json-position.ts";
import { importModule, type Module, missingModule } from "./modules.ts";

/** Config files: finding and loading them. */

const FOUND_NAMES = ["ts", "mts", "js", "mjs", "cjs", "json"].map((extension) => `waymark.config.${extension}`);
const TYPESCRIPT = [".ts", ".mts", ".cts"];
const EXTENSIONS = [...TYPESCRIPT, ".js", ".mjs", ".cjs", ".json"];

/**
 * Finds the config file; `null`: there is none. Not with c12, which would also take `.config/waymark.toml`, and of two files
 * silently the first.
 */
export function findConfigFile(cwd: string, explicit: string | undefined): string | null {
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

/** A config, with where it comes from: `source` begins messages, relative paths are relative to `folder`. */
export interface ConfigSource extends ParsedConfig {
  readonly source: string;
  readonly folder: string;
}

/** Loads and parses a config file. @throws CheckpointError `INVALID_CONFIG` */
export async function readConfigFile(file: string): Promise<ConfigSource> {
  const source = `read config ${file}`;
  let loaded: unknown;
  try {
    loaded = await loadConfigFile(file);
  } catch (error) {
    if (error instanceof CheckpointError && error.code === "INVALID_CONFIG") throw error;
    throw new CheckpointError("INVALID_CONFIG", `${source}: ${describeLoadError(file, error)}`);
  }
  return { source, folder: dirname(file), ...parseConfig(source, loaded) };
}

/** Loads a config. JavaScript is imported by Node itself, so that the config shares its modules with the program. */
async function loadConfigFile(file: string): Promise<unknown> {
  const extension = extname(file);
  if (extension === ".json") return parseJson(file, await readFile(file, "utf8"));
  const module = TYPESCRIPT.includes(extension)
    ? await loadTypeScript(file)
    : await importModule(pathToFileURL(file).href);
  const exported = Object.hasOwn(module, "default") ? module["default"] : undefined;
  // A module compiled to CommonJS has its default export one level down.
  if (property(exported, "__esModule") === true) return property(exported, "default");
  if (exported !== undefined || Object.hasOwn(module, "default")) return exported;
  throw new CheckpointError("INVALID_CONFIG", `read config ${file}: expected it to have a default export, got none`);
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const lines = text.slice(0, jsonErrorAt(text)).split("\n");
    const place = at(lines.length, (lines.at(-1) as string).length + 1);
    throw new CheckpointError("INVALID_CONFIG", `read config ${file}: it is not valid JSON${place}`);
  }
}

async function loadTypeScript(file: string): Promise<Module> {
  const { loadConfig } = await importC12(file);
  const cwd = dirname(file);
  let module: Module = {};
  await loadConfig({
    cwd,
    // Only this file is the config: no rc files, package.json, .env, extended configs, or members for one NODE_ENV. (Tried:
    // a stray `.waymarkrc` silently replaced `main`.)
    async resolve(_source, { jiti }) {
      if (jiti !== undefined) module = await jiti.import<Module>(file);
      if (extname(file) === ".cts" && !Object.hasOwn(module, "default")) module = { default: module };
      return { config: {}, configFile: file, cwd };
    },
    // A cache on disk would keep the config's content, readable by others.
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

/** Imports c12 only for TypeScript: it brings compilers that bundlers cannot bundle. */
async function importC12(file: string): Promise<typeof import("c12")> {
  try {
    return (await importModule("c12")) as unknown as typeof import("c12");
  } catch (error) {
    const code = property(error, "code");
    if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") throw error;
    const advice = "write it in JavaScript, hand it over as options.config, or npm install c12";
    const message = `read config ${file}: a config in TypeScript needs the package c12, which is not installed: ${advice}`;
    throw new CheckpointError("INVALID_CONFIG", message);
  }
}

/** Describes an error of loading a config file, and its position. Not by its message, which may quote the config. */
function describeLoadError(file: string, error: unknown): string {
  const isTypeScript = TYPESCRIPT.includes(extname(file));
  const syntaxError = isTypeScript ? describeSyntaxError(file, error) : null;
  if (syntaxError !== null) return syntaxError;
  // Node prints the position of a syntax error to its console only.
  const advice = error instanceof SyntaxError && !isTypeScript ? `: node --check ${file} shows where` : "";
  const place = positionOf(file, error, isTypeScript) ?? advice;
  return `it threw ${describeThrown(error)}${missingModule(error) ?? place}`;
}

/** Describes an error of the parser of TypeScript, a plain `Error` with the position in its message; `null`: it is another one. */
function describeSyntaxError(file: string, error: unknown): string | null {
  const found = /^ParseError: .* \n (.+):(\d{1,6}):(\d{1,6})$/s.exec(String(property(error, "message")));
  if (found === null) return null;
  const [, path = "", line, column] = found;
  if (!isFile(path)) return null; // the config's own error
  const subject = resolve(path) === file ? "it" : `it imports ${path}, which`;
  return `${subject} has a syntax error${at(Number(line), Number(column) + 1)}`; // the parser counts columns from 0
}

/**
 * Finds the position of an error in the file, by its stack. A parser's error has no frame there, but text. Compiled TypeScript
 * keeps its lines, not its columns.
 */
function positionOf(file: string, error: unknown, isTypeScript: boolean): string | null {
  const stack = String(property(error, "stack"));
  const message = String(property(error, "message"));
  for (const text of [stack.slice(stack.indexOf(message) + message.length), stack]) {
    for (const name of [pathToFileURL(file).href, file]) {
      const start = text.indexOf(`${name}:`);
      const place = start < 0 ? null : /^:(\d{1,6})(?::(\d{1,6}))?/.exec(text.slice(start + name.length));
      if (place !== null) return at(Number(place[1]), isTypeScript ? undefined : place[2]);
    }
  }
  return null;
}

function at(line: number, column: number | string | undefined): string {
  return ` at line ${line}${column === undefined ? "" : `, column ${column}`}`;
}
