import { type Fault, property, rootCause } from "@waymark/core/kit";

/**
 * Meanings of the servers' error numbers (https://dev.mysql.com/doc/mysql-errors/en/,
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
  1412: "serialization", // a table's definition changed meanwhile
  1615: "serialization",
  3101: "serialization", // another member of a replication group was first
  1205: "busy",
  1206: "busy", // too many locks
  3572: "busy",
  1969: "timeout", // MariaDB's max_statement_time
  3024: "timeout", // MySQL's max_execution_time
  1317: "timeout", // somebody killed the query
  1042: "connection", // the server could not resolve our host name
  1043: "connection", // a bad handshake
  1047: "connection", // a Galera node that is not in the primary component
  1053: "connection", // shutting down
  1077: "connection",
  1078: "connection",
  1079: "connection",
  1080: "connection",
  1152: "connection",
  1156: "connection", // packets that are out of order, cut off, or late
  1157: "connection",
  1158: "connection",
  1159: "connection",
  1160: "connection",
  1161: "connection",
  1180: "connection", // a commit that failed, as on a Galera node that has just left the primary component
  1184: "connection",
  1927: "connection", // MariaDB: the connection was killed
  3032: "connection", // offline for all but administrators
  3100: "connection", // a replication group that cannot decide
  3168: "connection", // MySQL: not available
  3169: "connection", // MySQL: the session was killed
  4031: "connection", // idle for too long
  1037: "overload", // out of memory
  1040: "overload",
  1041: "overload", // out of memory
  1129: "overload", // our host is blocked, after many connections that failed
  1135: "overload", // no more threads
  1203: "overload",
  1226: "overload",
  1637: "overload", // too many transactions
  1021: "full",
  1114: "full",
  1290: "read-only",
  1792: "read-only",
  1036: "read-only",
  1836: "read-only",
  1874: "read-only",
  1881: "read-only", // InnoDB's recovery is forced
  1044: "access",
  1045: "access",
  1046: "access", // no database selected
  1049: "access",
  1130: "access", // our host is not allowed
  1142: "access",
  1143: "access",
  1227: "access",
  1251: "access",
  1524: "access", // a way to log in that the server does not know any more
  1698: "access",
  1820: "access",
  1862: "access", // the password has expired
  3118: "access", // locked
  3159: "access", // not without TLS
  3955: "access", // locked for a while
  4151: "access", // MariaDB: locked
  1054: "schema",
  1146: "schema",
  1176: "schema", // an index that we name
  1932: "schema", // the engine has lost it
  1153: "too-large",
  1197: "too-large", // for the binary log
  1406: "too-large",
  1713: "too-large", // for the undo log
};

/** Meanings of mysql2's own codes and of the operating system's. */
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
  EHOSTDOWN: "connection",
  ENETDOWN: "connection",
  EADDRNOTAVAIL: "connection",
  EPROTO: "connection",
  EACCES: "access", // a Unix socket
  EMFILE: "overload", // of our own process
  ENFILE: "overload",
  HANDSHAKE_NO_SSL_SUPPORT: "access",
  AUTH_SWITCH_PLUGIN_ERROR: "access",
  MYSQL_CLEAR_PASSWORD_NOT_ENABLED: "access",
  ERR_OUT_OF_RANGE: "connection", // an answer that is not the server's, or was cut off in the middle
  ERR_BUFFER_OUT_OF_BOUNDS: "connection",
  ERR_STRING_TOO_LONG: "too-large",
};

/** Meanings of messages, for errors without a code: mysql2's pool and its connections have words alone. */
const WORDS: readonly [words: RegExp, fault: Fault][] = [
  // Only the message has the operating system's error, where an engine or a file failed.
  [/^Got error (?:28|122)\b|errno:? (?:28|122)\b|No space left on device|Disk quota exceeded/, "full"],
  [/\bcertificate\b|altnames/, "access"], // not the server's certificate
  [/^Can't (?:add new command when connection is|write) in closed state/, "connection"],
  [/^(?:Connection lost|Pool is closed|Unexpected packet)/, "connection"],
  [/^(?:Queue limit reached|No connections available)/, "overload"],
];

export function classify(error: unknown): Fault {
  const cause = rootCause(error);
  const number = property(cause, "errno");
  const code = property(cause, "code");
  // The operating system's errno are negative.
  const server = typeof number === "number" ? SERVER_FAULTS[number] : undefined;
  const client = typeof code === "string" ? CLIENT_FAULTS[code] : undefined;
  return server ?? client ?? byWords(cause) ?? (isFatal(cause) ? "connection" : "other");
}

function byWords(error: unknown): Fault | undefined {
  const message = property(error, "message");
  if (typeof message !== "string") return undefined;
  return WORDS.find(([words]) => words.test(message))?.[1];
}

/** mysql2 marks a lost connection as fatal; an error of the server during the login has a number. */
function isFatal(error: unknown): boolean {
  return property(error, "fatal") === true && typeof property(error, "errno") !== "number";
}
