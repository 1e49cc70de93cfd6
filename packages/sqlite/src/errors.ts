import { type Fault, property, rootCause } from "@waymark/core/kit";

/**
 * Meanings of SQLite's extended result codes: https://sqlite.org/rescode.html. A code that is not listed counts as its
 * primary one (`SQLITE_BUSY_SNAPSHOT` as `SQLITE_BUSY`).
 */
const FAULTS: readonly (readonly [code: string, fault: Fault])[] = [
  ["SQLITE_CONSTRAINT_PRIMARYKEY", "duplicate"],
  ["SQLITE_CONSTRAINT_UNIQUE", "duplicate"],
  ["SQLITE_CONSTRAINT_FOREIGNKEY", "foreign-key"],
  ["SQLITE_BUSY", "busy"],
  ["SQLITE_LOCKED", "busy"],
  ["SQLITE_FULL", "full"],
  ["SQLITE_READONLY", "read-only"],
  ["SQLITE_TOOBIG", "too-large"],
  ["SQLITE_CANTOPEN", "access"],
  ["SQLITE_PERM", "access"],
  ["SQLITE_AUTH", "access"],
  ["EACCES", "access"],
  ["EPERM", "access"],
  ["ENOENT", "access"], // a folder that cannot be made
  ["ENOTDIR", "access"],
  ["EEXIST", "access"], // a file stands where a folder should
  ["EROFS", "read-only"],
  ["ENOSPC", "full"],
];

export function classify(error: unknown): Fault {
  const cause = rootCause(error);
  const code = property(cause, "code");
  if (typeof code !== "string") return "other";
  // That a table is missing SQLite says in words only.
  const message = property(cause, "message");
  if (code === "SQLITE_ERROR" && typeof message === "string" && /^no such (table|column)|has no column/.test(message)) {
    return "schema";
  }
  return FAULTS.find(([listed]) => code === listed || code.startsWith(`${listed}_`))?.[1] ?? "other";
}
