import { type Fault, property, rootCause } from "@waymark/core/kit";

/** Code of our own: TLS is asked for, and the server has none. The same as mysql2's. */
export const NO_TLS = "HANDSHAKE_NO_SSL_SUPPORT";

/** Code of our own: another process has PGlite's folder open. */
export const FOLDER_IN_USE = "FOLDER_IN_USE";

/** Codes of node:tls for a certificate that is not the server's, or cannot be verified. */
const CERTIFICATE_FAULTS: Readonly<Record<string, Fault>> = {
  CERT_HAS_EXPIRED: "tls",
  CERT_NOT_YET_VALID: "tls",
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls",
  SELF_SIGNED_CERT_IN_CHAIN: "tls",
  UNABLE_TO_GET_ISSUER_CERT: "tls",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls",
  ERR_TLS_CERT_ALTNAME_INVALID: "tls",
};

/**
 * Meanings of PostgreSQL's SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html), of postgres.js's own
 * codes and of the operating system's. Where a whole class means the same, its two characters stand for it.
 */
const FAULTS: Readonly<Record<string, Fault>> = {
  "23505": "duplicate",
  "23503": "foreign-key",
  "40": "serialization", // on a standby too: a query in the way of what the primary has done
  "40003": "connection", // whether the statement was done is unknown
  "08": "connection", // also what pgbouncer says of itself: 08P01
  // Class 53, insufficient resources.
  "53": "overload",
  "53100": "full",
  "53400": "other", // a limit of one statement, as that on temporary files: it fails the same way again
  // Class 55, an object that is not in the state for this statement. 55000 as the end of a connection: see ENDS_CONNECTION.
  "55006": "busy", // in use by another session, or by an open cursor
  "55P03": "busy",
  // Class 57, somebody intervened.
  "57": "connection",
  "57014": "timeout",
  "57P01": "connection", // the administrator ended the connection
  "57P02": "connection", // another process of the server crashed
  "57P03": "outage", // starting up or shutting down
  "57P04": "database", // it was dropped
  "57P05": "connection", // idle for too long
  "25P03": "connection", // idle in a transaction for too long
  "25P04": "timeout", // of a whole transaction
  // Class 58, errors of the operating system below the server. A file that is missing or there already is damage, and stays so.
  "58000": "outage",
  "58030": "outage", // reading or writing a disk
  CONNECTION_CLOSED: "connection",
  CONNECTION_ENDED: "connection",
  CONNECTION_DESTROYED: "connection",
  CONNECT_TIMEOUT: "connection",
  ECONNREFUSED: "connection",
  ECONNRESET: "connection",
  ECONNABORTED: "connection",
  EPIPE: "connection",
  ETIMEDOUT: "connection",
  EHOSTUNREACH: "connection",
  ENETUNREACH: "connection",
  ENOTFOUND: "connection",
  EAI_AGAIN: "connection",
  ENOENT: "connection", // a Unix socket
  EHOSTDOWN: "connection",
  ENETDOWN: "connection",
  EADDRNOTAVAIL: "connection",
  EPROTO: "connection",
  ERR_OUT_OF_RANGE: "connection", // an answer that is not PostgreSQL's, or was cut off in the middle
  ERR_BUFFER_OUT_OF_BOUNDS: "connection",
  MESSAGE_NOT_SUPPORTED: "connection",
  EMFILE: "overload", // of our own process
  ENFILE: "overload",
  "25006": "read-only",
  "28": "login",
  SASL_SIGNATURE_MISMATCH: "login", // the server does not know the password either
  "3D000": "database",
  "42501": "privilege",
  EACCES: "access", // a Unix socket, or a folder of PGlite
  // Folders of PGlite.
  [FOLDER_IN_USE]: "busy",
  EPERM: "access",
  ENOTDIR: "access",
  EROFS: "read-only",
  ENOSPC: "full",
  EDQUOT: "full",
  [NO_TLS]: "tls",
  ...CERTIFICATE_FAULTS,
  "42P01": "schema",
  "42703": "schema",
  "3F000": "schema",
  "54": "too-large",
  ERR_STRING_TOO_LONG: "too-large",
};

/** Meanings of codes that mean something else where the server ends the connection with them. */
const ENDS_CONNECTION: Readonly<Record<string, Fault>> = {
  "42501": "database", // no right to connect to it
  "55000": "outage", // the database takes no connections: it is being copied, moved or repaired
  XX000: "outage", // poolers say all of their own troubles with it
};

/** Words of servers and poolers that refuse a login without TLS, with the code of any refused login. */
const WANTS_TLS = /\b(?:SSL off|no encryption|SSL connection is required|connection is insecure)\b/;

export function classify(error: unknown): Fault {
  const cause = rootCause(error);
  const code = property(cause, "code");
  if (typeof code !== "string") return "other";
  const isState = /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code);
  if (isState && isFatal(cause) && Object.hasOwn(ENDS_CONNECTION, code)) return ENDS_CONNECTION[code] as Fault;
  const fault = FAULTS[code] ?? (isState ? FAULTS[code.slice(0, 2)] : undefined) ?? "other";
  return fault === "login" && WANTS_TLS.test(String(property(cause, "message"))) ? "tls" : fault;
}

/** Returns whether a connection was lost, or the server ended it with this error. */
export function endsConnection(error: unknown): boolean {
  return classify(error) === "connection" || isFatal(rootCause(error));
}

function isFatal(error: unknown): boolean {
  const severity = property(error, "severity");
  return severity === "FATAL" || severity === "PANIC";
}
