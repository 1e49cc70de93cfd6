import { type Fault, property, rootCause } from "@waymark/core/kit";

/** Codes of node:tls for a certificate that is not the server's, or cannot be verified. */
const CERTIFICATE_FAULTS: Readonly<Record<string, Fault>> = {
  CERT_HAS_EXPIRED: "access",
  CERT_NOT_YET_VALID: "access",
  DEPTH_ZERO_SELF_SIGNED_CERT: "access",
  SELF_SIGNED_CERT_IN_CHAIN: "access",
  UNABLE_TO_GET_ISSUER_CERT: "access",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "access",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "access",
  ERR_TLS_CERT_ALTNAME_INVALID: "access",
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
  "55P03": "busy",
  "57014": "timeout",
  "25P04": "timeout", // of a whole transaction
  "57P01": "connection", // the administrator ended the connection
  "57P02": "connection", // another process of the server crashed
  "57P03": "connection", // starting up or shutting down
  "57P04": "access", // the database was dropped
  "57P05": "connection", // idle for too long
  "25P03": "connection", // idle in a transaction for too long
  "08": "connection", // also what pgbouncer says of itself: 08P01
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
  "53": "overload", // connections, memory
  "53100": "full",
  "25006": "read-only",
  "28": "access",
  EACCES: "access", // a Unix socket
  SASL_SIGNATURE_MISMATCH: "access", // the server does not know the password either
  ...CERTIFICATE_FAULTS,
  "3D000": "access",
  "42501": "access",
  "42P01": "schema",
  "42703": "schema",
  "3F000": "schema",
  "54": "too-large",
  ERR_STRING_TOO_LONG: "too-large",
};

export function classify(error: unknown): Fault {
  const code = property(rootCause(error), "code");
  if (typeof code !== "string") return "other";
  const isState = /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code);
  return FAULTS[code] ?? (isState ? FAULTS[code.slice(0, 2)] : undefined) ?? "other";
}
