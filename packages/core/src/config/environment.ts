import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, describe, quoted } from "../contract/errors.ts";
import { schemeOf } from "../database/url.ts";
import { FILE_TYPE, PATH_VARIABLES, URL_SCHEMES, URL_VARIABLES } from "./database-urls.ts";
import type { Provider } from "./define.ts";
import { isTypeName, type Registry } from "./registry.ts";

/** Environment variables that name a database. */

export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_FILE = "agent_state.db";

/** Makes a provider of the first variable that is set; without any, of a file in `cwd`. @throws CheckpointError `INVALID_CONFIG` */
export function providerOfEnvironment(env: Environment, cwd: string, registry: Registry | undefined): Provider {
  const isSet = (name: string) => env[name] !== undefined && env[name] !== "";
  const variable = URL_VARIABLES.find(isSet);
  if (variable === undefined) {
    for (const [name, { type, option }] of PATH_VARIABLES) {
      if (isSet(name)) {
        return { name: "main", field: name, fieldOption: option, type, options: { [option]: env[name] } };
      }
    }
    if (env["NODE_ENV"] !== "production") return fileProvider("the default", join(cwd, DEFAULT_FILE));
    const advice = `set ${URL_VARIABLES[0]} to the database's URL, or add a waymark.config file to ${cwd}`;
    throw new CheckpointError(
      "INVALID_CONFIG",
      `read environment: NODE_ENV is production, and no database is configured: ${advice}`,
    );
  }
  return providerOfUrl("read environment", variable, env[variable] as string, cwd, registry);
}

/** Makes a provider of a URL. `field`: where it stands, for messages. @throws CheckpointError `INVALID_CONFIG` */
export function providerOfUrl(
  source: string,
  field: string,
  url: string,
  cwd: string,
  registry: Registry | undefined,
): Provider {
  const provider = knownProviderOfUrl(source, field, url, cwd, registry);
  if (provider === null) throw unknownUrl(source, field, url);
  return provider;
}

/** As {@link providerOfUrl}; `null` for a URL that names no database. */
export function knownProviderOfUrl(
  source: string,
  field: string,
  url: string,
  cwd: string,
  registry: Registry | undefined,
): Provider | null {
  const scheme = schemeOf(url);
  // Without slashes, the text before the colon may be a user's name, or that of a machine.
  const isUrl = scheme !== null && url.startsWith("//", scheme.length + 1);
  const type = scheme === null ? undefined : URL_SCHEMES.get(scheme);
  if (scheme !== null && type === FILE_TYPE) {
    return fileProvider(field, databasePathOf(source, field, url.slice(scheme.length), cwd));
  }
  const provider = { name: "main", field, fieldOption: "connectionString", options: { connectionString: url } };
  if (type !== undefined && isUrl) return { ...provider, type };
  if (isUrl && registry?.get(scheme) !== undefined) return { ...provider, type: scheme };
  if (isUrl && isTypeName(`waymark-${scheme}`)) return { ...provider, type: `waymark-${scheme}`, scheme };
  return null;
}

/** Makes the error for a URL that names no database, or none of these types. */
export function unknownUrl(source: string, field: string, url: string, types?: readonly string[]): CheckpointError {
  const known = [...URL_SCHEMES].filter(([, type]) => types?.includes(type) ?? true);
  const schemes = known.map(([scheme]) => `${scheme}:`).join(", ");
  const message = `expected ${field} to be a URL of ${schemes}, got ${shown(url, schemeOf(url))}`;
  return new CheckpointError("INVALID_CONFIG", `${source}: ${message}`);
}

/** Shows as much of a text that is no URL of a database as can hold no password. */
function shown(url: string, scheme: string | null): string {
  // Without slashes, the text before the colon may be a user's name.
  if (scheme !== null && url.startsWith("//", scheme.length + 1)) return `${scheme}:`;
  if (/^[\s"']/.test(url)) return `a string that begins with ${quoted(url.slice(0, 1))}`;
  return /^[.~]?\//.test(url) && !/[:@]/.test(url) ? `the path ${quoted(url)} without file:` : describe(url);
}

function fileProvider(field: string, databasePath: string): Provider {
  return { name: "main", field, fieldOption: "databasePath", type: FILE_TYPE, options: { databasePath } };
}

/** Parameters that Prisma's URLs of files have, and that say nothing to a storage. */
const FILE_PARAMETERS = /^(?:(?:connection_limit|pool_timeout|connect_timeout|socket_timeout)=\d+(?:&|$))+$/;

/** Reads the path of a URL. `rest`: the URL from the colon on, `:./relative.db`, `:/absolute.db`, `:///absolute.db`, `::memory:` */
function databasePathOf(source: string, field: string, rest: string, cwd: string): string {
  const [, path = "", query] = /^:([^?]*)(?:\?(.*))?$/s.exec(rest) ?? [];
  try {
    if (!/^$|^~|#|\/$/.test(path) && (query === undefined || FILE_PARAMETERS.test(query))) {
      if (path === ":memory:") return path;
      return path.startsWith("/") ? fileURLToPath(`file:${path}`) : resolve(cwd, decodeURIComponent(path));
    }
  } catch {
    // a host, or a % that encodes nothing
  }
  const forms = "file: and a path, relative or absolute, without ~, host and parameters";
  throw new CheckpointError("INVALID_CONFIG", `${source}: expected ${field} to be ${forms}`);
}
