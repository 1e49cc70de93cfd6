import { CheckpointError } from "@waymark/core";
import {
  applyUrlParameters,
  newTlsSettings,
  oneOfWords,
  parseDatabaseUrl,
  planTls,
  poolSizeRule,
  type ServerAddress,
  TLS_RULES,
  type TlsPlan,
  type TlsSettings,
  tlsFileRule,
  tlsModeRule,
  type UrlParameter,
  type UrlRule,
  type UrlRules,
  wholeNumber,
} from "@waymark/core/kit";

/** URLs of PostgreSQL, with the parameters of libpq, postgres.js, Prisma and JDBC. */

/** Sessions that a connection may be: `target_session_attrs` of libpq. */
type TargetSession = "read-write" | "read-only" | "primary" | "standby" | "prefer-standby";

/** The part of a URL that this dialect's options do not have. */
export interface ServerUrl {
  readonly addresses: readonly ServerAddress[];
  readonly user: string | null;
  readonly password: string | null;
  readonly database: string | null;
  readonly tls: TlsPlan | null;
  readonly hasDirectTls: boolean;
  readonly targetSession: TargetSession | null;
  /** Settings of the server for each session, sent when a connection starts. */
  readonly serverSettings: Readonly<Record<string, string>>;
  /** Options of postgres.js that this dialect has none for. */
  readonly driverOptions: Readonly<Record<string, number>>;
}

/** Options that a URL sets where they are not given. */
export interface UrlOptions {
  schema?: string;
  poolSize?: number;
  connectTimeoutMs?: number;
  idleTimeoutMs?: number;
  prepare?: boolean;
}

interface Settings {
  readonly tls: TlsSettings;
  readonly options: UrlOptions;
  readonly serverSettings: Record<string, string>;
  readonly driverOptions: Record<string, number>;
  hasDirectTls: boolean;
  targetSession: TargetSession | null;
}

const SCHEMES = ["postgres", "postgresql"];

/** Variables of libpq with the parameters that they stand for, and two more of postgres.js. */
const VARIABLES = {
  PGHOST: "host",
  PGPORT: "port",
  PGUSERNAME: "user",
  PGUSER: "user",
  PGPASSWORD: "password",
  PGDATABASE: "dbname",
  PGSSL: "ssl",
  PGSSLMODE: "sslmode",
  PGSSLROOTCERT: "sslrootcert",
  PGSSLCERT: "sslcert",
  PGSSLKEY: "sslkey",
  PGSSLCRL: "sslcrl",
  PGSSLNEGOTIATION: "sslnegotiation",
  PGSSLMINPROTOCOLVERSION: "ssl_min_protocol_version",
  PGSSLMAXPROTOCOLVERSION: "ssl_max_protocol_version",
  PGCHANNELBINDING: "channel_binding",
  PGGSSENCMODE: "gssencmode",
  PGTARGETSESSIONATTRS: "target_session_attrs",
  PGCONNECT_TIMEOUT: "connect_timeout",
  PGAPPNAME: "application_name",
  PGOPTIONS: "options",
} as const;

/** Settings of the server that a URL may have by their own names. All others go into `options`: `-c name=value`. */
const SERVER_SETTINGS = [
  "application_name",
  "options",
  "search_path",
  "role",
  "timezone",
  "statement_timeout",
  "lock_timeout",
  "transaction_timeout",
  "idle_session_timeout",
  "idle_in_transaction_session_timeout",
  "default_transaction_isolation",
  "default_transaction_read_only",
  "synchronous_commit",
  "work_mem",
  "jit",
];

const TLS_MODES = {
  disable: "disable",
  allow: "prefer", // libpq tries it the other way round
  prefer: "prefer",
  require: "require",
  "no-verify": "require", // node-postgres
  "verify-ca": "verify-ca",
  "verify-full": "verify-full",
} as const;

const TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;

const setSchema: UrlRule<Settings> = (value, { options }) => {
  options.schema = value;
};

/** Makes the rule of a time in seconds; 0, which is no limit to libpq, leaves it at the default. */
function setTime(option: "connectTimeoutMs" | "idleTimeoutMs"): UrlRule<Settings> {
  return (_, { options }, parameter) => {
    const seconds = wholeNumber(parameter, 0, 2_000_000, "seconds");
    if (seconds > 0) options[option] = seconds * 1_000;
  };
}

function setOfDriver(name: string): UrlRule<Settings> {
  return (_, { driverOptions }, parameter) => {
    driverOptions[name] = wholeNumber(parameter, 0, 1_000_000_000, "as postgres.js takes it");
  };
}

function setOfServer(name: string): UrlRule<Settings> {
  return (value, { serverSettings }) => {
    serverSettings[name] = value;
  };
}

const RULES: UrlRules<Settings> = {
  sslmode: tlsModeRule(TLS_MODES),
  // What `true` is for Node's drivers: the certificate is verified.
  ssl: tlsModeRule({ true: "verify-full", "1": "verify-full", false: "disable", "0": "disable", ...TLS_MODES }),
  sslrootcert: tlsFileRule("ca"),
  sslcert: tlsFileRule("cert"),
  sslkey: tlsFileRule("key"),
  sslcrl: tlsFileRule("crl"),
  ...TLS_RULES,
  sslnegotiation: (_, settings, parameter) => {
    settings.hasDirectTls = oneOfWords(parameter, ["postgres", "direct"]) === "direct";
  },
  ssl_min_protocol_version: (_, { tls }, parameter) => {
    tls.options.minVersion = oneOfWords(parameter, TLS_VERSIONS);
  },
  ssl_max_protocol_version: (_, { tls }, parameter) => {
    tls.options.maxVersion = oneOfWords(parameter, TLS_VERSIONS);
  },
  target_session_attrs: (_, settings, parameter) => {
    const words = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] as const;
    const word = oneOfWords(parameter, words);
    settings.targetSession = word === "any" ? null : word;
  },
  connect_timeout: setTime("connectTimeoutMs"),
  idle_timeout: setTime("idleTimeoutMs"),
  max: poolSizeRule,
  connection_limit: poolSizeRule, // Prisma
  schema: setSchema, // Prisma
  currentSchema: setSchema, // JDBC
  prepare: (_, { options }, parameter) => {
    options.prepare = oneOfWords(parameter, ["true", "false"]) === "true";
  },
  pgbouncer: (_, { options }, parameter) => {
    if (oneOfWords(parameter, ["true", "false"]) === "true") options.prepare = false;
  },
  max_lifetime: setOfDriver("max_lifetime"),
  max_pipeline: setOfDriver("max_pipeline"),
  keep_alive: setOfDriver("keep_alive"),
  ...Object.fromEntries(SERVER_SETTINGS.map((name) => [name, setOfServer(name)])),
  ApplicationName: setOfServer("application_name"), // JDBC
  fallback_application_name: (value, { serverSettings }) => {
    serverSettings["application_name"] ??= value;
  },
  client_encoding: (_, __, parameter) => void oneOfWords(parameter, ["UTF8", "UTF-8", "auto"]),
  channel_binding: (_, __, parameter) => {
    const word = oneOfWords(parameter, ["disable", "prefer", "require"]);
    return word === "require" ? "the driver does not bind logins to the TLS connection" : undefined;
  },
  gssencmode: (_, __, parameter) => void oneOfWords(parameter, ["disable", "prefer"]),
  // They ask for less than there is anyway, or are meant for programs of another kind.
  pool_timeout: "ignored",
  statement_cache_size: "ignored",
  uselibpqcompat: "ignored",
  supa: "ignored",
  workaround: "ignored",
  sslcompression: "ignored",
  keepalives: "ignored",
  keepalives_idle: "ignored",
  keepalives_interval: "ignored",
  keepalives_count: "ignored",
  gsslib: "ignored",
  gssdelegation: "ignored",
  krbsrvname: "ignored",
  socket_timeout: { warning: "the option operationTimeoutMs limits a call" },
  tcp_user_timeout: { warning: "the option operationTimeoutMs limits a call" },
  load_balance_hosts: { warning: "hosts are tried in turn" },
  sslsni: { warning: "TLS always names the host" },
  passfile: { warning: "the password is that of the URL, or of PGPASSWORD" },
  fetch_types: { warning: "no types are fetched" },
  debug: { warning: "the driver prints nothing" },
  publications: { warning: "there are no subscriptions" },
  hostaddr: { unsupported: "it is not supported: give the address as the host" },
  service: { unsupported: "it is not supported: give host, user and database in the URL" },
  require_auth: { unsupported: "it is not supported: the driver answers whatever the server asks for" },
  requirepeer: { unsupported: "it is not supported: the driver does not know who owns a socket" },
  sslcrldir: { unsupported: "it is not supported: give one file as sslcrl" },
  sslidentity: { unsupported: "it is not supported: give the certificate as sslcert, and its key as sslkey" },
  replication: { unsupported: "it is not supported: checkpoints are stored over ordinary connections" },
};

/**
 * Takes a URL apart. Where it leaves something out, libpq's environment variables count (`PGHOST`, `PGSSLMODE`, …).
 * @throws CheckpointError `INVALID_ARGUMENT`
 */
export function parseUrl(field: string, value: unknown): { server: ServerUrl; options: UrlOptions } {
  const { addresses, user, password, database, parameters } = parseDatabaseUrl(field, value, SCHEMES, environment());
  const settings: Settings = {
    tls: newTlsSettings(),
    options: {},
    serverSettings: {},
    driverOptions: {},
    hasDirectTls: false,
    targetSession: null,
  };
  // A name with a dot is a setting of an extension, or of the application's own.
  const isOwn = ({ name }: { name: string }) => name.includes(".");
  for (const { name, value: own } of parameters.filter(isOwn)) settings.serverSettings[name] = own;
  applyUrlParameters(
    parameters.filter((one) => !isOwn(one)),
    RULES,
    settings,
  );
  const sockets = addresses.filter(({ host }) => host.startsWith("/"));
  if (sockets.length > 0 && addresses.length > 1) {
    throw new CheckpointError("INVALID_ARGUMENT", `expected ${field} to have one Unix socket, or hosts, got both`);
  }
  const { tls, options, serverSettings, driverOptions, hasDirectTls, targetSession } = settings;
  const plan = planTls(field, tls);
  if (hasDirectTls && (plan === null || plan.isOptional)) {
    throw new CheckpointError(
      "INVALID_ARGUMENT",
      `expected ${field} to have sslmode=require or more beside sslnegotiation=direct`,
    );
  }
  return {
    server: {
      addresses: addresses.length > 0 ? addresses : [{ host: "localhost", port: null }],
      user,
      password,
      database,
      tls: plan,
      hasDirectTls,
      targetSession,
      serverSettings,
      driverOptions,
    },
    options,
  };
}

function environment(): UrlParameter[] {
  return Object.entries(VARIABLES).flatMap(([variable, name]) => {
    const value = process.env[variable];
    return value === undefined || value === "" ? [] : [{ name, value, field: `the variable ${variable}` }];
  });
}
