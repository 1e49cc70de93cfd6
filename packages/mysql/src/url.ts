import { CheckpointError } from "@waymark/core";
import {
  applyUrlParameters,
  invalidParameter,
  newTlsSettings,
  oneOfWords,
  parseDatabaseUrl,
  planTls,
  poolSizeRule,
  type ServerAddress,
  TLS_RULES,
  type TlsMode,
  type TlsSettings,
  tlsFileRule,
  tlsModeRule,
  type UrlParameter,
  type UrlRule,
  type UrlRules,
  warnOnce,
  wholeNumber,
} from "@waymark/core/kit";

/** URLs of MySQL and MariaDB, with the parameters of their own clients, mysql2, Prisma and JDBC. */

/** The part of a URL that this dialect's options do not have. */
export interface ServerUrl {
  readonly isMariaDb: boolean;
  /** A host that starts with `/` is a Unix socket. */
  readonly address: ServerAddress;
  readonly user: string | null;
  readonly password: string | null;
  readonly database: string;
  /** TLS options of mysql2, or the name of a set of them; `null`: no TLS. */
  readonly tls: Readonly<Record<string, unknown>> | string | null;
  /** Options of mysql2 that this dialect has none for. */
  readonly driverOptions: Readonly<Record<string, unknown>>;
}

/** Options that a URL sets where they are not given. */
export interface UrlOptions {
  poolSize?: number;
  connectTimeoutMs?: number;
  idleTimeoutMs?: number;
}

interface Settings {
  readonly tls: TlsSettings;
  readonly options: UrlOptions;
  readonly driverOptions: Record<string, unknown>;
  /** mysql2's own way of asking for TLS. */
  driverTls: ServerUrl["tls"];
  socketPath: string | null;
}

const SCHEMES = ["mysql", "mariadb"];

/** `ssl-mode` of MySQL's client, `sslMode` of both JDBC drivers. */
const TLS_MODES = {
  disabled: "disable",
  disable: "disable",
  preferred: "prefer",
  prefer: "prefer",
  required: "require",
  require: "require",
  trust: "require",
  "verify-ca": "verify-ca",
  "verify-identity": "verify-full",
  "verify-full": "verify-full",
} as const;

/** Options of mysql2 that a URL may have, as before: what it reads is not what a storage depends on. */
const DRIVER_OPTIONS = [
  "bigNumberStrings",
  "charset",
  "charsetNumber",
  "compress",
  "connectAttributes",
  "dateStrings",
  "decimalNumbers",
  "disableEval",
  "enableCleartextPlugin",
  "enableKeepAlive",
  "flags",
  "gracefulEnd",
  "insecureAuth",
  "jsonStrings",
  "keepAliveInitialDelay",
  "localAddress",
  "maxPreparedStatements",
  "multipleStatements",
  "namedPlaceholders",
  "nestTables",
  "password1",
  "password2",
  "password3",
  "passwordSha1",
  "queueLimit",
  "resetOnRelease",
  "rowsAsArray",
  "stringifyObjects",
  "supportBigNumbers",
  "timezone",
  "trace",
  "typeCast",
  "waitForConnections",
];

/** Makes the rule of an option of mysql2, which reads a value as JSON if it is some. */
function setOfDriver(name: string): UrlRule<Settings> {
  return (value, { driverOptions }) => {
    driverOptions[name] = parseJson(value) ?? value;
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JDBC and mysql2 count milliseconds (`connectTimeout`), Prisma and MySQL's client seconds (`connect_timeout`). */
function setTime(option: "connectTimeoutMs" | "idleTimeoutMs"): UrlRule<Settings> {
  return (_, { options }, parameter) => {
    const unitMs = hasSeparator(parameter) ? 1_000 : 1;
    const max = Math.floor(2_147_483_647 / unitMs);
    const time = wholeNumber(parameter, 0, max, unitMs === 1 ? "milliseconds" : "seconds");
    if (time > 0) options[option] = time * unitMs; // 0 is no limit to some: it leaves the default
  };
}

const hasSeparator = ({ name }: UrlParameter) => /[-_]/.test(name);

const setSocket: UrlRule<Settings> = (value, settings) => {
  settings.socketPath = value;
};

const setMode = tlsModeRule(TLS_MODES);
const [setRoot, setCertificate] = [tlsFileRule("ca"), tlsFileRule("cert")];
// Without a word about the host, mysql2 verifies only who has signed the certificate.
const setModeOfDriver = tlsModeRule({
  ...TLS_MODES,
  true: "verify-ca",
  "1": "verify-ca",
  false: "disable",
  "0": "disable",
});

/** Makes the rule of a switch. */
function setModeIf(word: "true" | "false", mode: TlsMode, otherwise?: TlsMode): UrlRule<Settings> {
  return (_, { tls }, parameter) => {
    const isOn = ["true", "1"].includes(oneOfWords(parameter, ["true", "false", "1", "0"]));
    const chosen = isOn === (word === "true") ? mode : otherwise;
    if (chosen !== undefined) tls.mode = chosen;
  };
}

const RULES: UrlRules<Settings> = {
  "ssl-mode": setMode, // also sslmode, sslMode
  ssl: (value, settings, parameter) => {
    const parsed = parseJson(value);
    if (typeof parsed === "object" && parsed !== null) settings.driverTls = parsed as Record<string, unknown>;
    else if (value === "Amazon RDS") settings.driverTls = value;
    else setModeOfDriver(value, settings, parameter);
  },
  "ssl-ca": setRoot,
  // The server's to Prisma and PlanetScale, as sslcert; the client's to MySQL's own programs, as ssl-cert.
  "ssl-cert": (value, settings, parameter) =>
    (hasSeparator(parameter) ? setCertificate : setRoot)(value, settings, parameter),
  "ssl-key": tlsFileRule("key"),
  "ssl-crl": tlsFileRule("crl"),
  "ssl-cipher": (value, { tls }) => {
    tls.options.ciphers = value;
  },
  serverSslCert: setRoot, // JDBC
  ...TLS_RULES,
  tls: tlsModeRule({ true: "verify-full", false: "disable", "skip-verify": "require", preferred: "prefer" }), // Go
  useSSL: setModeIf("true", "require", "disable"), // JDBC
  requireSSL: setModeIf("true", "require"),
  verifyServerCertificate: setModeIf("true", "verify-ca"),
  trustServerCertificate: setModeIf("true", "require"),
  "ssl-verify-server-cert": setModeIf("true", "verify-full"),
  "ssl-verify-cert": setModeIf("true", "verify-ca"),
  "ssl-verify-identity": setModeIf("true", "verify-full"),
  socketPath: setSocket,
  socket: setSocket,
  "unix-socket": setSocket,
  connectTimeout: setTime("connectTimeoutMs"),
  idleTimeout: setTime("idleTimeoutMs"),
  connectionLimit: poolSizeRule,
  ...Object.fromEntries(DRIVER_OPTIONS.map((name) => [name, setOfDriver(name)])),
  timezone: (value, { driverOptions }, parameter) => {
    if (!/^(?:local|Z|[ +-]\d\d:\d\d)$/.test(value)) throw invalidParameter(parameter, "local, Z or ±hh:mm");
    driverOptions["timezone"] = value;
  },
  // They ask for less than there is anyway, or are meant for programs of another kind.
  pool_timeout: "ignored",
  statement_cache_size: "ignored",
  useUnicode: "ignored",
  characterEncoding: "ignored",
  serverTimezone: "ignored",
  connectionTimeZone: "ignored",
  zeroDateTimeBehavior: "ignored",
  autoReconnect: "ignored",
  reconnect: "ignored",
  allowPublicKeyRetrieval: "ignored",
  "get-server-public-key": "ignored",
  rewriteBatchedStatements: "ignored",
  cachePrepStmts: "ignored",
  useServerPrepStmts: "ignored",
  parseTime: "ignored",
  loc: "ignored",
  maxIdle: { warning: "one fewer than all connections may be idle" },
  socket_timeout: { warning: "the option operationTimeoutMs limits a call" },
  socketTimeout: { warning: "the option operationTimeoutMs limits a call" },
  "auth-plugin": { warning: "the server's choice counts" },
  "default-auth": { warning: "the server's choice counts" },
  collation: { warning: "text is compared byte for byte" },
  debug: { warning: "the driver prints nothing" },
  "tls-version": { warning: "Node's versions count, TLSv1.2 and later" },
  enabledTLSProtocols: { warning: "Node's versions count, TLSv1.2 and later" },
  sslidentity: { unsupported: "it is not supported: give the certificate as ssl-cert, and its key as ssl-key" },
};

/**
 * Takes a URL apart.
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function parseUrl(field: string, value: unknown): { server: ServerUrl; options: UrlOptions } {
  const { scheme, addresses, user, password, database, parameters } = parseDatabaseUrl(field, value, SCHEMES);
  const settings: Settings = {
    tls: newTlsSettings(),
    options: {},
    driverOptions: {},
    driverTls: null,
    socketPath: null,
  };
  applyUrlParameters(parameters, RULES, settings);
  if (addresses.length > 1) {
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have one host, got ${addresses.length}`);
  }
  if (database === null)
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to name a database, as its path`);
  const [address = { host: "localhost", port: null }] = addresses;
  const { socketPath } = settings;
  return {
    server: {
      isMariaDb: scheme === "mariadb",
      address: socketPath === null ? address : { host: socketPath, port: null },
      user,
      password,
      database,
      tls: settings.driverTls ?? tlsOf(field, settings.tls),
      driverOptions: settings.driverOptions,
    },
    options: settings.options,
  };
}

/** TLS in the words of mysql2. */
function tlsOf(field: string, settings: TlsSettings): ServerUrl["tls"] {
  const plan = planTls(field, settings);
  if (plan === null) return null;
  if (plan.isOptional) {
    const advice =
      "the driver cannot try TLS and go on without, so it connects without: ask for REQUIRED, or for DISABLED";
    warnOnce("WAYMARK_URL_PARAMETER", `the preferred TLS of ${field} has no effect: ${advice}`);
    return null;
  }
  const verifyIdentity = plan.verifies === "chain and host";
  return { ...plan.options, rejectUnauthorized: plan.verifies !== "nothing", verifyIdentity };
}
