import { type Fault, property, rootCause } from "@waymark/core/kit";

/**
 * Meanings of the servers' error numbers (https://dev.mysql.com/doc/mysql-errors/en/,
 * https://mariadb.com/kb/en/mariadb-error-codes/). By number: where MySQL and MariaDB differ, mysql2 knows MySQL's names.
 * Errors of files (1004 to 1030, 3) have their meaning in the operating system's number alone, see `WORDS`.
 */
const SERVER_FAULTS: Readonly<Record<number, Fault>> = {
  1022: "duplicate",
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
  1015: "busy", // a file is locked
  1027: "busy",
  1205: "busy",
  1206: "busy", // too many locks
  1223: "busy", // a backup holds a read lock
  1297: "busy", // an engine that says: temporarily
  3572: "busy",
  1969: "timeout", // MariaDB's max_statement_time
  3024: "timeout", // MySQL's max_execution_time
  1317: "timeout", // somebody killed the query
  1042: "connection", // the server could not resolve our host name
  1043: "connection", // a bad handshake
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
  1181: "connection", // likewise a rollback
  1184: "connection",
  1835: "connection", // a packet that is malformed
  1927: "connection", // MariaDB: the connection was killed
  3169: "connection", // MySQL: the session was killed
  4031: "connection", // idle for too long
  2002: "connection", // numbers of clients, which proxies pass on: they lost the server, or do not reach it
  2003: "connection",
  2005: "connection",
  2006: "connection",
  2013: "connection",
  2027: "connection",
  2055: "connection",
  9001: "outage", // ProxySQL has no server that takes the statement
  1047: "outage", // a Galera node that is not in the primary component
  3032: "outage", // offline for all but administrators
  3100: "outage", // a replication group that cannot decide
  3168: "outage", // MySQL: not available
  1037: "overload", // out of memory
  1040: "overload",
  1041: "overload", // out of memory
  1129: "overload", // our host is blocked, after many connections that failed
  1135: "overload", // no more threads
  1203: "overload",
  1226: "overload",
  1637: "overload", // too many transactions
  4082: "overload", // MySQL: connections have too much memory
  4083: "overload",
  1021: "full",
  1114: "full",
  1878: "full", // a temporary file could not be written
  1036: "read-only",
  1290: "read-only",
  1792: "read-only",
  1836: "read-only",
  1874: "read-only",
  1881: "read-only", // InnoDB's recovery is forced
  1045: "login",
  1130: "login", // our host is not allowed
  1251: "login",
  1524: "login", // a way to log in that the server does not know any more
  1698: "login",
  1820: "login", // the password must be changed first
  1862: "login", // the password has expired
  1873: "login",
  3118: "login", // locked
  3955: "login", // locked for a while
  4151: "login", // MariaDB: locked
  1044: "database", // whether it exists or not
  1046: "database", // no database selected
  1049: "database",
  1142: "privilege",
  1143: "privilege",
  1227: "privilege",
  1370: "privilege",
  3159: "tls", // not without TLS
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
  HANDSHAKE_NO_SSL_SUPPORT: "tls",
  AUTH_SWITCH_PLUGIN_ERROR: "login",
  MYSQL_CLEAR_PASSWORD_NOT_ENABLED: "login",
  ERR_OUT_OF_RANGE: "connection", // an answer that is not the server's, or was cut off in the middle
  ERR_BUFFER_OUT_OF_BOUNDS: "connection",
  ERR_STRING_TOO_LONG: "too-large",
};

/** Meanings of messages, for errors without a code: mysql2's pool and its connections have words alone. */
const WORDS: readonly [words: RegExp, fault: Fault][] = [
  // Only the message has the operating system's error, where an engine or a file failed.
  [/^Got error (?:28|122)\b|errno:? (?:28|122)\b|No space left on device|Disk quota exceeded/, "full"],
  [/^Got error 24\b|errno:? 24\b|Too many open files/, "overload"],
  [/^Got error 5\b|errno:? 5\b|Input\/output error/, "outage"],
  [/^Got error 30\b|errno:? 30\b|Read-only file system/, "read-only"],
  [/\bcertificate\b|altnames/, "tls"], // not the server's certificate
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
