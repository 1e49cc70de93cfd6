/**
 * What went wrong, as a closed set.
 *
 * | code | meaning | retryable |
 * |---|---|---|
 * | `INVALID_ARGUMENT` | an argument or option is not as documented; the message names it | no |
 * | `INVALID_CONFIG` | a config file or environment variable is not as documented, or names a package that is missing | no |
 * | `UNSUPPORTED_VALUE` | the state holds what cannot come back as it is; the message names the path | no |
 * | `STATE_TOO_LARGE` | the state, as it would be sent, is over a limit of the server; nothing was sent | no |
 * | `CONFLICT` | another checkpoint has this id, or another writer has stored after `ifLatest` | no |
 * | `NOT_FOUND` | there is no checkpoint with this id, or it was deleted | no |
 * | `CORRUPT_CHECKPOINT` | what is stored does not match its length or digest | no |
 * | `UNSUPPORTED_FORMAT` | a newer version of Waymark has written this checkpoint | no |
 * | `ENCRYPTION_MISMATCH` | a checkpoint is encrypted and should not be, or the other way round, or with a key that is not here | no |
 * | `SCHEMA_OUTDATED` | the schema is missing or old and may not be changed here; `sql` holds what to run | no |
 * | `SCHEMA_TOO_NEW` | a newer version has changed the schema so that this one cannot use it | no |
 * | `SCHEMA_MISMATCH` | the tables are not ours, or not as their history says | no |
 * | `UNAVAILABLE` | no connection, or it was lost, or the server takes no more | yes |
 * | `STALE` | main is out of reach, and the backup may lack the newest; `allowStale` takes what it has | yes |
 * | `TIMEOUT` | the deadline passed; a store may or may not have taken place (storing again is safe) | yes |
 * | `CONTENTION` | a lock, deadlock or serialization failure that retries did not cure | yes |
 * | `READ_ONLY` | the database takes no writes now | yes |
 * | `STORAGE_FULL` | the disk or quota is full | yes |
 * | `ACCESS_DENIED` | wrong password, unknown database, or a right is missing | no |
 * | `ABORTED` | the caller's signal ended the call | no |
 * | `CLOSED` | the storage was closed | no |
 * | `DATABASE_ERROR` | anything else that the database said; see `cause` | no |
 */
export type CheckpointErrorCode =
  | "INVALID_ARGUMENT"
  | "INVALID_CONFIG"
  | "UNSUPPORTED_VALUE"
  | "STATE_TOO_LARGE"
  | "CONFLICT"
  | "NOT_FOUND"
  | "CORRUPT_CHECKPOINT"
  | "UNSUPPORTED_FORMAT"
  | "ENCRYPTION_MISMATCH"
  | "SCHEMA_OUTDATED"
  | "SCHEMA_TOO_NEW"
  | "SCHEMA_MISMATCH"
  | "UNAVAILABLE"
  | "STALE"
  | "TIMEOUT"
  | "CONTENTION"
  | "READ_ONLY"
  | "STORAGE_FULL"
  | "ACCESS_DENIED"
  | "ABORTED"
  | "CLOSED"
  | "DATABASE_ERROR";

const RETRYABLE: ReadonlySet<CheckpointErrorCode> = new Set([
  "UNAVAILABLE",
  "STALE",
  "TIMEOUT",
  "CONTENTION",
  "READ_ONLY",
  "STORAGE_FULL",
]);

/** Two copies of core in one process know each other's errors by this mark. */
const BRAND = Symbol.for("waymark.CheckpointError");

/** The only error that a checkpoint storage rejects with. Holds no state, no SQL parameter and no password. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly code: CheckpointErrorCode;
  /** Whether the same call may succeed later. Every store may be repeated safely: its id makes it one. */
  readonly retryable: boolean;
  /** With `SCHEMA_OUTDATED`: the statements that a role with DDL rights has to run. */
  declare readonly sql?: readonly string[]; // declared only, so that it is absent where it is not given

  constructor(
    code: CheckpointErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly sql?: readonly string[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = RETRYABLE.has(code);
    if (options.sql !== undefined) this.sql = options.sql;
    Object.defineProperty(this, BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && Reflect.get(value, BRAND) === true;
  }
}

/** What became of a call, in a word. */
export function codeOf(error: unknown): CheckpointErrorCode {
  return error instanceof CheckpointError ? error.code : "DATABASE_ERROR";
}

/** The driver's error without what may hold state, SQL or a password. */
export class DriverError extends Error {
  override readonly name = "DriverError";
  /** The driver's own code: `23505`, `ER_DUP_ENTRY`, `SQLITE_BUSY`, `ECONNREFUSED`. */
  declare readonly code?: string;
  declare readonly errno?: number;
  declare readonly syscall?: string;

  constructor(message: string, facts: { code?: string; errno?: number; syscall?: string }) {
    super(message);
    Object.assign(this, facts);
  }
}

/**
 * Keeps of a driver's error only what cannot hold a value: codes. Messages are dropped, since databases quote values
 * in them (`Duplicate entry '…'`, `invalid input syntax: "…"`), ORMs quote all parameters, and connection errors may
 * quote the URL. The stack's frames stay, so that the place is known.
 */
export function withoutValues(error: unknown): DriverError {
  const innermost = rootCause(error);
  const facts: { code?: string; errno?: number; syscall?: string } = {};
  const code = property(innermost, "code");
  if (typeof code === "string" && /^[A-Za-z0-9_]{1,64}$/.test(code)) facts.code = code;
  const errno = property(innermost, "errno");
  if (typeof errno === "number") facts.errno = errno;
  const syscall = property(innermost, "syscall");
  if (typeof syscall === "string" && /^[a-z_]{1,32}$/.test(syscall)) facts.syscall = syscall;
  const words = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  const clean = new DriverError(words.length > 0 ? words.join(", ") : "the driver gave no code", facts);
  clean.stack = `${clean.name}: ${clean.message}${frames(innermost)}`;
  return clean;
}

/** Drizzle and others wrap the driver's error: the one that has the code is innermost. */
export function rootCause(error: unknown): unknown {
  let current = error;
  for (let depth = 0; depth < 16; depth++) {
    const cause = property(current, "cause");
    if (typeof cause !== "object" || cause === null) return current;
    current = cause;
  }
  return current;
}

/** A property of anything, without trusting that it is an object. */
export function property(value: unknown, name: PropertyKey): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function frames(error: unknown): string {
  const stack = property(error, "stack");
  if (typeof stack !== "string") return "";
  // The message comes first in a stack, over several lines maybe, and may itself hold lines that look like frames.
  const message = property(error, "message");
  const start = typeof message === "string" ? stack.indexOf(message) + message.length : 0;
  const lines = stack.slice(start).split("\n");
  const kept = lines.filter((line) =>
    /^\s+at [\w.<>[\] #$]* ?\(?(?:async )?(?:file:|node:|\/|[A-Za-z]:\\)[^()]*\)?$/.test(line),
  );
  return kept.map((line) => `\n${line}`).join("");
}

/** An argument that is not as documented. Never shows more of a value than its type, or a short number or word. */
export function invalidArgument(field: string, expected: string, received: unknown): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${describe(received)}`);
}

/** A value's kind, for messages; never its content. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return value === "" ? "an empty string" : `a string of ${value.length} characters`;
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") {
    if (value instanceof Date) return "a Date";
    if (value instanceof Promise) return "a Promise (is there an await missing?)";
    return "an object";
  }
  return value === undefined ? "undefined" : `a ${typeof value}`;
}
