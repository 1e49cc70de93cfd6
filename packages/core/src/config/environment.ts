import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, describe, quoted } from "../contract/errors.ts";
import { FILE_TYPE, URL_SCHEMES, URL_VARIABLES } from "./database-urls.ts";
import type { Provider } from "./define.ts";

/** Environment variables that name a database. */

export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_FILE = "agent_state.db";

/** Makes a provider of the first variable that is set; without any, of a file in `cwd`. @throws CheckpointError `INVALID_CONFIG` */
export function providerOfEnvironment(env: Environment, cwd: string): Provider {
  const variable = URL_VARIABLES.find((name) => env[name] !== undefined && env[name] !== "");
  if (variable === undefined) {
    if (env["NODE_ENV"] !== "production") return fileProvider("the default", join(cwd, DEFAULT_FILE));
    const advice = `set ${URL_VARIABLES[0]} to the database's URL, or add a waymark.config file to ${cwd}`;
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read environment: NODE_ENV is production, and no database is configured: ${advice}`,
    );
  }
  const url = env[variable] as string;
  const scheme = /^([a-z][a-z0-9+.-]{0,31}):/i.exec(url)?.[1]?.toLowerCase();
  const type = scheme === undefined ? undefined : URL_SCHEMES.get(scheme);
  if (scheme === undefined || type === undefined) {
    const schemes = [...URL_SCHEMES.keys()].map((scheme) => `${scheme}:`).join(", ");
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read environment: expected ${variable} to be a URL of ${schemes}, got ${shown(url, scheme)}`,
    );
  }
  const rest = url.slice(scheme.length);
  if (type === FILE_TYPE) return fileProvider(variable, databasePathOf(variable, rest, cwd));
  return { name: "main", field: variable, type, options: { type, connectionString: `${type}${rest}` } };
}

/** Shows as much of a text that is no URL of a database as can hold no password. */
function shown(url: string, scheme: string | undefined): string {
  // Without slashes, the text before the colon may be a user's name.
  if (scheme !== undefined && url.startsWith("//", scheme.length + 1)) return `${scheme}:`;
  if (/^[\s"']/.test(url)) return `a string that begins with ${quoted(url.slice(0, 1))}`;
  return /^[.~]?\//.test(url) && !/[:@]/.test(url) ? `the path ${quoted(url)} without file:` : describe(url);
}

function fileProvider(field: string, databasePath: string): Provider {
  return { name: "main", field, type: FILE_TYPE, options: { type: FILE_TYPE, databasePath } };
}

/** Reads the path of a URL. `rest`: the URL from the colon on, `:./relative.db`, `:/absolute.db`, `:///absolute.db`, `::memory:` */
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
