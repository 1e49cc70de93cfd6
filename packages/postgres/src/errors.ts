import { type Fault, property, rootCause } from "@waymark/core/dialect-kit";

/**
 * What PostgreSQL's SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html), postgres.js's own codes
 * and the operating system's mean for us. Where a whole class means the same, its two characters stand for it.
 */
const FAULTS: Readonly<Record<string, Fault>> = {
  "23505": "duplicate",
  "23503": "foreign-key",
  "40001": "serialization",
  "40P01": "serialization",
  "55P03": "busy",
  "57014": "timeout",
  "57P01": "connection", // the administrator ended the connection
  "57P02": "connection", // another process of the server crashed
  "57P03": "connection", // starting up or shutting down
  "57P05": "connection", // idle for too long
  "25P03": "connection", // idle in a transaction for too long
  "08": "connection",
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
  "53300": "overload",
  "53200": "overload", // out of memory
  "53100": "full",
  "25006": "read-only",
  "28": "access",
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
