import { CheckpointError, invalidArgument } from "../contract/errors.ts";
import { nearest } from "../contract/nearest.ts";
import { warnOnce } from "./warnings.ts";

/**
 * URLs of database servers, taken apart here and not by drivers: each of them knows other parameters, reads addresses its own
 * way, and quotes the URL, with its password, in errors. The form is that of libpq
 * (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS), for all dialects.
 *
 * No error shows a part of a URL. Names of parameters are shown, since a URL in which they may be part of a password is refused
 * before.
 */

/** Address of a server: a host, or the path of a Unix socket. A port of `null` is the dialect's default. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number | null;
}

export interface DatabaseUrl {
  /** In lower case, without the colon. */
  readonly scheme: string;
  /** Several are to be tried in turn. Empty: the URL names none. A host that starts with `/` is a Unix socket, or its folder. */
  readonly addresses: readonly ServerAddress[];
  readonly user: string | null;
  readonly password: string | null;
  readonly database: string | null;
  /** All other parameters. */
  readonly parameters: readonly UrlParameter[];
}

export interface UrlParameter {
  readonly name: string;
  readonly value: string;
  /** Its name in messages: `the parameter sslmode of options.connectionString`. */
  readonly field: string;
}

/** Parameters of the parts of a URL, by which they may be given as well. */
const PART_PARAMETERS: Readonly<Record<string, keyof Parts>> = {
  host: "host",
  port: "port",
  user: "user",
  password: "password",
  dbname: "database",
  database: "database",
};

interface Parts {
  host: string;
  port: string;
  user: string;
  password: string;
  database: string;
}

const ENCODED = "is the password URL-encoded?";

/** Returns the scheme of a URL, in lower case; `null`: there is none. */
export function schemeOf(url: string): string | null {
  return /^([a-z][a-z0-9+.-]{0,31}):/i.exec(url)?.[1]?.toLowerCase() ?? null;
}

/**
 * Takes the URL of a database server apart.
 * @param field name of the option, for messages: `options.connectionString`
 * @param schemes schemes that it may have
 * @param defaults parameters that count where the URL has none of the same name, from environment variables for example
 * @throws CheckpointError `INVALID_ARGUMENT`, which says what is wrong with which part, and shows none of it
 */
export function parseDatabaseUrl(
  field: string,
  value: unknown,
  schemes: readonly string[],
  defaults: readonly UrlParameter[] = [],
): DatabaseUrl {
  const starts = schemes.map((scheme) => `${scheme}://`).join(" or ");
  if (typeof value !== "string") throw invalidArgument(field, `a URL that starts with ${starts}`, value);
  const url = value.trimEnd();
  const scheme = schemeOf(url);
  if (scheme === null || !schemes.includes(scheme) || !url.startsWith("://", scheme.length)) {
    throw invalidArgument(field, `a URL that starts with ${starts}`, value);
  }
  const [, authority = "", path = "", query = ""] =
    /^([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?/.exec(url.slice(scheme.length + 3)) ?? [];
  const rest = url.slice(scheme.length + 3 + authority.length);
  // A password with one of / ? # ends the authority too early: then its rest is no name of a parameter, and is not shown.
  if (rest.includes("@")) {
    throw refused(
      field,
      `to have no @ after the host (${ENCODED} In it / is %2F, ? is %3F and # is %23; elsewhere @ is %40)`,
    );
  }
  if (rest.includes("#")) throw refused(field, `to have no # (${ENCODED} In it # is %23)`);
  if (path.includes("/"))
    throw refused(field, `to have one / after the host, before the database's name (in it / is %2F)`);

  const at = authority.lastIndexOf("@");
  const [user, password] = splitOnce(authority.slice(0, Math.max(0, at)), ":");
  const decode = (part: string, text: string) => decodePart(field, part, text);
  const parameters = parseQuery(field, query, decode);
  const known = (list: readonly UrlParameter[]): Partial<Parts> =>
    Object.fromEntries(
      list.flatMap(({ name, value: text }) => {
        const part = Object.hasOwn(PART_PARAMETERS, name) ? PART_PARAMETERS[name] : undefined;
        return part === undefined || text === "" ? [] : [[part, text]];
      }),
    );
  const [given, otherwise] = [known(parameters), known(defaults)];
  const either = (part: "user" | "password" | "database", text: string) =>
    given[part] ?? (text === "" ? (otherwise[part] ?? null) : decode(`the ${part}`, text));

  const hosts = authority.slice(at + 1);
  const written = hosts === "" ? [] : parseHosts(field, hosts, decode);
  const elsewhere = given.host ?? (written.length > 0 ? undefined : otherwise.host);
  const addresses = elsewhere === undefined ? written : bareHosts(elsewhere, written);
  const named = new Set(parameters.map(({ name }) => plain(name)));
  return {
    scheme,
    addresses: withPorts(field, addresses, given.port, otherwise.port),
    user: either("user", user),
    password: either("password", password),
    database: either("database", path),
    parameters: [...defaults.filter(({ name }) => !named.has(plain(name))), ...parameters].filter(
      ({ name }) => !Object.hasOwn(PART_PARAMETERS, name),
    ),
  };
}

/**
 * Says in which database a storage is, for `status()`: `localhost:5432/app`, `one:5432,two:5433/app`, `/run/postgresql/app`. It
 * holds no user, no password and no parameter.
 */
export function locationOf(addresses: readonly ServerAddress[], database: string | null, defaultPort: number): string {
  const places = addresses.map(({ host, port }) => {
    // A socket without a port of its own has the one that all expect.
    if (host.startsWith("/")) return port === null ? host : `${host}:${port}`;
    return `${host.includes(":") ? `[${host}]` : host}:${port ?? defaultPort}`;
  });
  return database === null ? places.join(",") : `${places.join(",")}/${database}`;
}

function refused(field: string, expected: string): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected ${field} ${expected}`);
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + by.length)];
}

function decodePart(field: string, part: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused(field, `to have ${part} URL-encoded (a % is %25)`);
  }
}

function parseQuery(field: string, query: string, decode: (part: string, text: string) => string): UrlParameter[] {
  return query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const [name, value] = splitOnce(pair.replaceAll("+", "%20"), "=").map((text) => decode("its parameters", text));
      if (name === undefined || value === undefined || !/^[\w.-]{1,64}$/.test(name)) {
        throw refused(field, `to have parameters of the form name=value (${ENCODED} In it ? is %3F and & is %26)`);
      }
      return { name, value, field: `the parameter ${name} of ${field}` };
    });
}

/** Reads `host`, `host:1234`, `[::1]:1234`, `%2Fpath`, or several of them with commas. */
function parseHosts(field: string, text: string, decode: (part: string, text: string) => string): ServerAddress[] {
  return text.split(",").map((one) => {
    const [, ipv6, name = "", port] = /^(?:\[([\da-fA-F:.]+(?:%[\w.%-]+)?)\]|([^[\]]*?))(?::(\d*))?$/.exec(one) ?? [];
    const host = ipv6 ?? decode("the host", name);
    const isPath = host.startsWith("/");
    if (
      (host === "" && text !== "") ||
      (/[\s\p{Cc}@]/u.test(host) && !isPath) ||
      (ipv6 === undefined && host.includes(":") && !isPath)
    ) {
      throw refused(field, `to have a host, host:port or [IPv6]:port, or several with commas (${ENCODED})`);
    }
    return { host, port: port === undefined || port === "" ? null : parsePort(field, port) };
  });
}

/** Reads hosts that are given apart from their ports: an IPv6 address may have no brackets there. */
function bareHosts(text: string, written: readonly ServerAddress[]): ServerAddress[] {
  const hosts = text.split(",").map((host) => host.trim().replace(/^\[(.*)\]$/, "$1"));
  return hosts
    .filter((host) => host !== "")
    .map((host, at) => ({ host, port: written[written.length === 1 ? 0 : at]?.port ?? null }));
}

/** Adds ports that are given apart from the hosts: one for all, or one for each. */
function withPorts(
  field: string,
  addresses: readonly ServerAddress[],
  given: string | undefined,
  otherwise: string | undefined,
): ServerAddress[] {
  const listOf = (text = "") =>
    text.split(",").map((port) => (port.trim() === "" ? null : parsePort(field, port.trim())));
  const [first, last] = [listOf(given), listOf(otherwise)];
  for (const list of [first, last]) {
    if (list.length > 1 && list.length !== addresses.length) {
      throw refused(field, "to have one port for all hosts, or one for each");
    }
  }
  const pick = (list: readonly (number | null)[], at: number) => list[list.length > 1 ? at : 0] ?? null;
  const hosts = addresses.length === 0 && given !== undefined ? [{ host: "localhost", port: null }] : addresses;
  return hosts.map(({ host, port }, at) => ({ host, port: pick(first, at) ?? port ?? pick(last, at) }));
}

function parsePort(field: string, text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw refused(field, `to have a port from 1 to 65535 (${ENCODED})`);
}

/**
 * Meaning of a parameter to a dialect:
 * - a function puts its value into the settings, and refuses values with {@link invalidParameter}; if it returns words, the value
 *   has no effect, and a warning (`process.emitWarning`, code `WAYMARK_URL_PARAMETER`) says so with these words;
 * - `ignored`: it says nothing to a storage, and is left out;
 * - `warning`: it is left out, with a warning;
 * - `unsupported`: it is refused with these words, since leaving it out would be unsafe.
 */
export type UrlRule<Settings> =
  | ((value: string, settings: Settings, parameter: UrlParameter) => string | undefined)
  | "ignored"
  | { readonly warning: string }
  | { readonly unsupported: string };

/** Rules by the name of a parameter. Case, `-` and `_` in names do not matter: `ssl-mode`, `ssl_mode` and `sslMode` are one. */
export type UrlRules<Settings> = Readonly<Record<string, UrlRule<Settings>>>;

/**
 * Applies the parameters of a URL to settings, in their order.
 * @throws CheckpointError `INVALID_ARGUMENT`, which names the parameter; for an unknown one, the known ones too
 */
export function applyUrlParameters<Settings>(
  parameters: readonly UrlParameter[],
  rules: UrlRules<Settings>,
  settings: Settings,
): void {
  const byName = new Map(Object.entries(rules).map(([name, rule]) => [plain(name), rule]));
  for (const parameter of parameters) {
    const rule = byName.get(plain(parameter.name));
    if (rule === undefined) throw unknownParameter(parameter, rules);
    if (typeof rule === "object" && "unsupported" in rule) {
      throw new CheckpointError("INVALID_ARGUMENT", `${parameter.field}: ${rule.unsupported}`);
    }
    const warning =
      typeof rule === "function"
        ? rule(parameter.value, settings, parameter)
        : rule === "ignored"
          ? undefined
          : rule.warning;
    if (warning !== undefined) warnOnce("WAYMARK_URL_PARAMETER", `${parameter.field} has no effect: ${warning}`);
  }
}

/** Name of a parameter without what does not matter in it. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

function unknownParameter<Settings>({ name, field }: UrlParameter, rules: UrlRules<Settings>): CheckpointError {
  const names = Object.keys(rules);
  const near = nearest(name, names);
  const known = names.filter((one) => typeof rules[one] === "function").join(", ");
  const meant = near === null ? `known are host, port, user, password, dbname, ${known}` : `did you mean ${near}?`;
  return new CheckpointError("INVALID_ARGUMENT", `${field} is unknown: ${meant}`);
}

/** Checks that a parameter's value is one of these words. */
export function oneOfWords<const Word extends string>(parameter: UrlParameter, words: readonly Word[]): Word {
  const word = words.find((one) => one.toLowerCase() === parameter.value.toLowerCase());
  if (word === undefined) throw invalidParameter(parameter, words.join(", "));
  return word;
}

/** Checks that a parameter's value is a whole number. */
export function wholeNumber(parameter: UrlParameter, min: number, max: number, unit: string): number {
  const number = Number(parameter.value);
  if (/^\d+$/.test(parameter.value) && number >= min && number <= max) return number;
  throw invalidParameter(parameter, `a whole number from ${min} to ${max} (${unit})`);
}

/** The rule of a parameter that limits the number of connections. */
export function poolSizeRule(
  _: string,
  { options }: { readonly options: { poolSize?: number } },
  parameter: UrlParameter,
): undefined {
  options.poolSize = wholeNumber(parameter, 1, 10_000, "connections");
}

/** Makes the error for a parameter's value. It does not show the value. */
export function invalidParameter({ field, value }: UrlParameter, expected: string): CheckpointError {
  return invalidArgument(field, expected, value);
}
