import type { CheckpointErrorCode } from "../contract/errors.ts";

/** Meanings of a driver's error, each with the code and the words that a user gets, and whether one row may be its cause. */
const FAULTS = {
  /** A unique key is taken: a row with this id, or after the same `afterId`, is there already. */
  duplicate: { code: "CONFLICT", message: "there is another row with this key", mayBeOneRow: true },
  /** A foreign key is violated: the base of an inserted row is gone, or a removed row is still the base of another. */
  "foreign-key": {
    code: "CONTENTION",
    message: "another client has changed rows that build on each other",
    mayBeOneRow: true,
  },
  /** The database rolled back in favour of another client; the same change may succeed when it is sent again. */
  serialization: {
    code: "CONTENTION",
    message: "deadlock or serialization failure; retries exhausted",
    mayBeOneRow: false,
  },
  /** A lock could not be acquired in time. */
  busy: { code: "CONTENTION", message: "could not acquire a lock in time", mayBeOneRow: false },
  /** No connection, or it was lost; whether the change took place is unknown. */
  connection: { code: "UNAVAILABLE", message: "could not connect, or the connection was lost", mayBeOneRow: false },
  /** The server takes no more connections, or has no memory left. */
  overload: {
    code: "UNAVAILABLE",
    message: "the server takes no more connections, or lacks memory",
    mayBeOneRow: false,
  },
  /** The server answers that it cannot work now: it starts, or has lost its disk or its cluster. */
  outage: { code: "UNAVAILABLE", message: "the server answers that it cannot work now", mayBeOneRow: false },
  /** A file, folder or socket that this process may not open. */
  access: {
    code: "ACCESS_DENIED",
    message: "this process may not open the file, folder or socket, or it is of another kind",
    mayBeOneRow: false,
  },
  /** Wrong user or password, a locked account, or a host that may not log in. */
  login: {
    code: "ACCESS_DENIED",
    message: "wrong user or password, or this user may not log in from this host",
    mayBeOneRow: false,
  },
  /** No such database, or the user may not use it; some servers do not say which. */
  database: {
    code: "ACCESS_DENIED",
    message: "there is no such database, or this user may not use it",
    mayBeOneRow: false,
  },
  /** The user lacks a right: on a table, on a schema, or to create one. */
  privilege: {
    code: "ACCESS_DENIED",
    message: "the login is right, but this user lacks a right on a table or schema",
    mayBeOneRow: false,
  },
  /** TLS: one side requires it and the other has none, or the certificate is not accepted. */
  tls: {
    code: "ACCESS_DENIED",
    message: "no TLS where one side requires it, or a certificate that is not accepted",
    mayBeOneRow: false,
  },
  /** The database takes no writes now. */
  "read-only": { code: "READ_ONLY", message: "the database is read-only", mayBeOneRow: false },
  full: { code: "STORAGE_FULL", message: "no space left", mayBeOneRow: false },
  /** A statement or value is over a limit of the server. */
  "too-large": { code: "STATE_TOO_LARGE", message: "the server rejected it as too large", mayBeOneRow: true },
  /** A table or column is missing. */
  schema: {
    code: "SCHEMA_OUTDATED",
    message: 'a table or column is missing: open with migrate "auto", or run the statements of storage.migrate("sql")',
    mayBeOneRow: false,
  },
  /** The server itself ended the statement for taking too long. */
  timeout: { code: "TIMEOUT", message: "the server ended the statement for taking too long", mayBeOneRow: false },
  /** None of these. */
  other: { code: "DATABASE_ERROR", message: "the database returned an error", mayBeOneRow: true },
} as const satisfies Readonly<Record<string, FaultFacts>>;

interface FaultFacts {
  readonly code: CheckpointErrorCode;
  /** Message for users. */
  readonly message: string;
  /** `true`: a commit of several rows may have failed because of one of them. */
  readonly mayBeOneRow: boolean;
}

/** Meaning of a driver's error: `duplicate`, `foreign-key`, `serialization`, `busy`, `connection`, `login` and so on. */
export type Fault = keyof typeof FAULTS;

export function faultFacts(fault: Fault): FaultFacts {
  return FAULTS[fault];
}
