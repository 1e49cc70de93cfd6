/** SQLite's primary result codes by number: https://sqlite.org/rescode.html */
const PRIMARY: readonly string[] = [
  ...["OK", "ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR"],
  ...["CORRUPT", "NOTFOUND", "FULL", "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH"],
  ...["MISUSE", "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB"],
];

/** Extended codes that mean something else to us than their primary one. */
const EXTENDED: Readonly<Record<number, string>> = {
  787: "CONSTRAINT_FOREIGNKEY",
  1555: "CONSTRAINT_PRIMARYKEY",
  1811: "CONSTRAINT_TRIGGER",
  2067: "CONSTRAINT_UNIQUE",
};

/** Returns the name of an extended result code, as better-sqlite3 and Bun have it: `SQLITE_CONSTRAINT_UNIQUE`. */
export function codeName(extended: number): string {
  return `SQLITE_${EXTENDED[extended] ?? PRIMARY[extended & 0xff] ?? "ERROR"}`;
}

/** SQLite's own words for the codes that we tell apart: https://sqlite.org/c3ref/errcode.html */
const WORDS: readonly (readonly [start: string, code: string])[] = [
  ["database is locked", "SQLITE_BUSY"],
  ["database table is locked", "SQLITE_LOCKED"],
  ["attempt to write a readonly database", "SQLITE_READONLY"],
  ["unable to open database file", "SQLITE_CANTOPEN"],
  ["database or disk is full", "SQLITE_FULL"],
  ["file is not a database", "SQLITE_NOTADB"],
  ["database disk image is malformed", "SQLITE_CORRUPT"],
  ["disk I/O error", "SQLITE_IOERR"],
];

/** Returns the name of the code that an error without a number means. */
export function codeOfWords(message: string): string {
  return WORDS.find(([start]) => message.startsWith(start))?.[1] ?? "SQLITE_ERROR";
}
