/**
 * The error codes, and what follows from each. A new code is one row here: everything that depends on codes (the type,
 * `retryable`, `status()`, failover, delivery to the backup, the adapters) is derived from these columns.
 *
 * `retryable`: whether the same call may succeed later.
 *
 * `blame`: the cause.
 * - `call`: the call itself, what it hands in or that it was cancelled. It fails the same way in any database.
 * - `setup`: the way the program configures, uses or closes the storage.
 * - `row`: one stored row.
 * - `database`: the database.
 *
 * `failover`: whether the backup may take over a call that main failed with this code.
 * - `unreachable`: yes, main does not answer.
 * - `refused`: yes, for a store: main answers, and does not take it now.
 * - `locked-out`: yes, if main was open before: a password was changed, tables are gone. At the start it is a mistake to report.
 * - `never`: no.
 *
 * `skipsRow`: whether a row that the other database refuses with this code is put aside, so that other rows go on.
 */
const CODES = {
  /** An argument or option is not as documented; the message names it. */
  INVALID_ARGUMENT: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** A config file or environment variable is not as documented, or names a package that is missing. */
  INVALID_CONFIG: { retryable: false, blame: "setup", failover: "never", skipsRow: false },
  /** The state holds a value that cannot come back as it is; the message names the path. */
  UNSUPPORTED_VALUE: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** The state, as it would be sent, is over a limit of the server; nothing was sent. */
  STATE_TOO_LARGE: { retryable: false, blame: "call", failover: "never", skipsRow: true },
  /** Another checkpoint has this id, or it was deleted; or another writer has stored after `ifLatest`. */
  CONFLICT: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** A vector has other dimensions than those of its collection. */
  DIMENSION_MISMATCH: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** A vector is of another model than those of its collection. */
  MODEL_MISMATCH: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** The embedder threw; `cause` is its error. */
  EMBEDDING_FAILED: { retryable: true, blame: "call", failover: "never", skipsRow: false },
  /** The embedder returned another number of vectors than there were texts, or one that cannot be stored. */
  EMBEDDING_INVALID: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** There is no checkpoint with this id, or it was deleted. */
  NOT_FOUND: { retryable: false, blame: "row", failover: "never", skipsRow: false },
  /** A stored row does not match its length or digest; the message names it. */
  CORRUPT_CHECKPOINT: { retryable: false, blame: "row", failover: "never", skipsRow: true },
  /** A newer version of Waymark has written this checkpoint. */
  UNSUPPORTED_FORMAT: { retryable: false, blame: "row", failover: "never", skipsRow: true },
  /** A checkpoint is encrypted and should not be, or the other way round, or with a key that is not here. */
  ENCRYPTION_MISMATCH: { retryable: false, blame: "row", failover: "never", skipsRow: true },
  /** A state that was read does not match the storage's `parse`; the message names the members. */
  STATE_MISMATCH: { retryable: false, blame: "row", failover: "never", skipsRow: false },
  /** The schema is missing or old and may not be changed here; `sql` has the statements to run. */
  SCHEMA_OUTDATED: { retryable: false, blame: "database", failover: "locked-out", skipsRow: false },
  /** A newer version has changed the schema so that this one cannot use it. */
  SCHEMA_TOO_NEW: { retryable: false, blame: "database", failover: "never", skipsRow: false },
  /** The tables are not ours, or differ from their migration history. */
  SCHEMA_MISMATCH: { retryable: false, blame: "database", failover: "never", skipsRow: false },
  /** No connection, or it was lost, or the server takes no more connections; with a backup also: neither provider did it. */
  UNAVAILABLE: { retryable: true, blame: "database", failover: "unreachable", skipsRow: false },
  /**
   * Main is unreachable and the backup may lack the newest, or the other way round; or a label is still being indexed.
   * `allowStale` takes what there is.
   */
  STALE: { retryable: true, blame: "database", failover: "never", skipsRow: false },
  /** The deadline passed; a store may or may not have taken place (storing again is safe). */
  TIMEOUT: { retryable: true, blame: "database", failover: "unreachable", skipsRow: false },
  /** A lock, deadlock or serialization failure that retries did not cure. */
  CONTENTION: { retryable: true, blame: "database", failover: "refused", skipsRow: false },
  /** The database takes no writes now. */
  READ_ONLY: { retryable: true, blame: "database", failover: "refused", skipsRow: false },
  /** The disk or quota is full. */
  STORAGE_FULL: { retryable: true, blame: "database", failover: "refused", skipsRow: false },
  /** Wrong password, unknown database, or a right is missing. */
  ACCESS_DENIED: { retryable: false, blame: "database", failover: "locked-out", skipsRow: false },
  /** The caller's signal ended the call. */
  ABORTED: { retryable: false, blame: "call", failover: "never", skipsRow: false },
  /** The storage was closed. */
  CLOSED: { retryable: false, blame: "setup", failover: "never", skipsRow: false },
  /** Any other error of the database; see `cause`. */
  DATABASE_ERROR: { retryable: false, blame: "database", failover: "refused", skipsRow: true },
} as const satisfies Readonly<Record<string, CodeFacts>>;

interface CodeFacts {
  readonly retryable: boolean;
  readonly blame: "call" | "setup" | "row" | "database";
  readonly failover: "unreachable" | "refused" | "locked-out" | "never";
  readonly skipsRow: boolean;
}

/** Code of a {@link CheckpointError}. Meanings: https://github.com/waymark/waymark/tree/main/packages/core#errors */
export type CheckpointErrorCode = keyof typeof CODES;

/** Two copies of core in one process recognise each other's errors by this mark. */
const BRAND = Symbol.for("waymark.CheckpointError");

/** The only error that a checkpoint storage rejects with. Holds no state, no SQL parameter and no password. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly code: CheckpointErrorCode;
  /** `true`: the same call may succeed later. Every store may be repeated safely: its id makes it one. */
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
    this.retryable = factsOfCode(code)?.retryable ?? false;
    if (options.sql !== undefined) this.sql = options.sql;
    Object.defineProperty(this, BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && Reflect.get(value, BRAND) === true;
  }
}

/** Returns the code of an error; `DATABASE_ERROR` for one that is not ours. */
export function codeOf(error: unknown): CheckpointErrorCode {
  return error instanceof CheckpointError ? error.code : "DATABASE_ERROR";
}

/** Returns the row of the table for an error's code; `null` for an error that is not ours. */
export function factsOf(error: unknown): CodeFacts | null {
  return error instanceof CheckpointError ? factsOfCode(error.code) : null;
}

/** Returns `null` for a code that another copy of core has, of a newer version. */
function factsOfCode(code: CheckpointErrorCode): CodeFacts | null {
  return Object.hasOwn(CODES, code) ? CODES[code] : null;
}

interface DriverFacts {
  code?: string;
  errno?: number;
  sqlState?: string;
  syscall?: string;
  words?: string;
}

/** A driver's error without the parts that may hold a state, SQL or a password. */
export class DriverError extends Error {
  override readonly name = "DriverError";
  /** The driver's own code: `23505`, `ER_DUP_ENTRY`, `SQLITE_BUSY`, `ECONNREFUSED`. */
  declare readonly code?: string;
  declare readonly errno?: number;
  /** The SQLSTATE, where the driver has it beside a code of its own. */
  declare readonly sqlState?: string;
  declare readonly syscall?: string;

  /** The driver's own words, where they cannot hold anything of a user's. */
  declare readonly words?: string;

  constructor(message: string, facts: DriverFacts) {
    super(message);
    Object.assign(this, facts);
  }
}

/** Errors marked by {@link keepWords}. */
const telling = new WeakSet<object>();

/** Longest text that is kept of a driver's words. */
const MAX_WORDS = 500;

/**
 * Marks a driver's error whose words can hold nothing of a user's, and returns it: that of loading the driver, of opening a
 * file, or of a statement of ours without values. {@link withoutValues} keeps its words.
 */
export function keepWords(error: unknown): unknown {
  const innermost = rootCause(error);
  if (typeof innermost === "object" && innermost !== null) telling.add(innermost);
  return error;
}

/**
 * Reduces a driver's error to its codes, which cannot hold a value. Messages are dropped: databases quote values in them
 * (`Duplicate entry '…'`, `invalid input syntax: "…"`), ORMs quote all parameters, and connection errors may quote the URL.
 * Only words that {@link keepWords} has marked stay, and the stack's frames.
 */
export function withoutValues(error: unknown): DriverError {
  const innermost = rootCause(error);
  const facts: DriverFacts = {};
  const code = property(innermost, "code");
  if (typeof code === "string" && /^[A-Za-z0-9_]{1,64}$/.test(code)) facts.code = code;
  const errno = property(innermost, "errno");
  if (typeof errno === "number") facts.errno = errno;
  const sqlState = property(innermost, "sqlState");
  if (typeof sqlState === "string" && /^[0-9A-Z]{5}$/.test(sqlState)) facts.sqlState = sqlState;
  const syscall = property(innermost, "syscall");
  if (typeof syscall === "string" && /^[a-z_]{1,32}$/.test(syscall)) facts.syscall = syscall;
  const codes = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  const text = codes.length > 0 ? codes.join(", ") : "the driver gave no code";
  const said = property(innermost, "message");
  if (telling.has(innermost as object) && typeof said === "string")
    facts.words = said.replace(/\s+/g, " ").slice(0, MAX_WORDS);
  const clean = new DriverError(facts.words === undefined ? text : `${facts.words} (${text})`, facts);
  clean.stack = `${clean.name}: ${clean.message}${frames(innermost)}`;
  return clean;
}

/** Unwraps an error down to its innermost cause: Drizzle and others wrap the driver's error, which has the code. */
export function rootCause(error: unknown): unknown {
  let current = error;
  for (let depth = 0; depth < 16; depth++) {
    const cause = property(current, "cause");
    if (typeof cause !== "object" || cause === null) return current;
    current = cause;
  }
  return current;
}

/** Reads a property of any value, object or not. */
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

/**
 * Makes an error for an argument that is not as documented. It shows no more of a text than its length: it may be a URL, a key or a
 * state. Where it can be no secret, see {@link invalidWord}.
 */
export function invalidArgument(field: string, expected: string, received: unknown): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${describe(received)}`);
}

/** Makes an error for an argument that is an id, a word of a fixed set or a name: it shows the text. */
export function invalidWord(field: string, expected: string, received: unknown): CheckpointError {
  return new CheckpointError("INVALID_ARGUMENT", `expected ${field} to be ${expected}, got ${show(received)}`);
}

/** Shows a value for a message as {@link describe} does, but a text as it is, unless it may be a URL or a user's name. */
function show(value: unknown): string {
  return typeof value === "string" && value !== "" && !/:\/\/|@/.test(value) ? quoted(value) : describe(value);
}

/** The longest text that a message shows. */
const MAX_QUOTED = 64;

/** Quotes a text for a message: cut if it is long, and characters that do not show, or that reorder others, escaped. */
export function quoted(text: string): string {
  const cut = text.length <= MAX_QUOTED ? text : `${text.slice(0, MAX_QUOTED)}…`;
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(cut).replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, escaped);
}

/** The most steps of a path that a message shows. */
const MAX_STEPS = 16;

/** Formats a path within a value for a message, such as `.messages[0]["a key"]`. The middle of a long one is left out. */
export function formatPath(keys: readonly (string | number)[]): string {
  const steps = keys.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    return /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(key) ? `.${key}` : `[${quoted(key)}]`;
  });
  if (steps.length <= MAX_STEPS) return steps.join("");
  return [...steps.slice(0, MAX_STEPS / 2), "…", ...steps.slice(-MAX_STEPS / 2)].join("");
}

/** Names a value's type for a message. Of its content it shows no more than a number or a boolean. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    return value === "" ? "an empty string" : `a string of ${value.length} character${value.length === 1 ? "" : "s"}`;
  }
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") {
    if (value instanceof Date) return "a Date";
    if (value instanceof Promise) return "a Promise (is there an await missing?)";
    return "an object";
  }
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

/** Names the class and the code of what was thrown, for a message. Its own message may hold a value. */
export function describeThrown(error: unknown): string {
  const className: unknown = error instanceof Error ? error.constructor?.name : undefined;
  const thrown =
    typeof className === "string" && /^[A-Za-z_$][\w$]{0,63}$/.test(className) ? className : describe(error);
  const code = property(error, "code");
  return typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code) ? `${thrown} (${code})` : thrown;
}
