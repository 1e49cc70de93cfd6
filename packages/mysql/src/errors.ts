import { type Fault, property, rootCause } from "@waymark/core/dialect-kit";

/**
 * What the servers' error numbers mean for us (https://dev.mysql.com/doc/mysql-errors/en/,
 * https://mariadb.com/kb/en/mariadb-error-codes/). By number: where MySQL and MariaDB differ, mysql2 knows MySQL's names.
 */
const SERVER_FAULTS: Readonly<Record<number, Fault>> = {
  1062: "duplicate",
  1586: "duplicate",
  1216: "foreign-key",
  1217: "foreign-key",
  1451: "foreign-key",
  1452: "foreign-key",
  1213: "serialization", // deadlock, and a certification failure on Galera
  1020: "serialization", // MariaDB 11.6 and later: the row has changed since the snapshot
  1205: "busy",
  1969: "timeout", // MariaDB's max_statement_time
  3024: "timeout", // MySQL's max_execution_time
  1317: "timeout", // somebody killed the query
  1047: "connection", // a Galera node that is not in the primary component
  1053: "connection", // shutting down
  1077: "connection",
  1152: "connection",
  1184: "connection",
  1927: "connection", // MariaDB: the connection was killed
  3169: "connection", // MySQL: the session was killed
  4031: "connection", // idle for too long
  1040: "overload",
  1203: "overload",
  1226: "overload",
  1021: "full",
  1114: "full",
  1290: "read-only",
  1792: "read-only",
  1836: "read-only",
  1044: "access",
  1045: "access",
  1046: "access", // no database selected
  1049: "access",
  1142: "access",
  1143: "access",
  1227: "access",
  1251: "access",
  1698: "access",
  1820: "access",
  3118: "access",
  1054: "schema",
  1146: "schema",
  1176: "schema", // an index that we name
  1153: "too-large",
  1406: "too-large",
};

/** What mysql2's own codes and the operating system's mean for us. */
const CLIENT_FAULTS: Readonly<Record<string, Fault>> = {
  PROTOCOL_CONNECTION_LOST: "connection",
  PROTOCOL_SEQUENCE_TIMEOUT: "connection",
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
  ERR_STRING_TOO_LONG: "too-large",
};

export function classify(error: unknown): Fault {
  const cause = rootCause(error);
  const number = property(cause, "errno");
  const code = property(cause, "code");
  // The operating system's errno are negative.
  const server = typeof number === "number" ? SERVER_FAULTS[number] : undefined;
  const client = typeof code === "string" ? CLIENT_FAULTS[code] : undefined;
  return server ?? client ?? (isClosedState(cause) ? "connection" : "other");
}

/** mysql2 has no code for a connection that was lost while it was idle: only words. */
function isClosedState(error: unknown): boolean {
  const message = property(error, "message");
  return (
    typeof message === "string" &&
    /^(Can't add new command when connection is in closed state|Connection lost)/.test(message)
  );
}
