import { statSync } from "node:fs";

/** `gone`: there is none at its path any more. `replaced`: there is another one. */
export type FileState = "same" | "gone" | "replaced";

/**
 * The file of an open database. One that is deleted or replaced lives on for those who have it open, who would go on to
 * store where nobody else looks. SQLite compares inodes in the same way, but not before each commit. The write-ahead log beside
 * a file that we have opened is watched too: it stays as long as any process has the file open.
 */
export class FileWatch {
  /** As it was given for a file that we have opened, so that a link that is switched is noticed; else as SQLite has it. */
  readonly path: string;
  readonly #inode: bigint | null;
  readonly #logPath: string | null;
  /** `null`: it was not there yet. */
  #log: bigint | null = null;

  /** `path`: as SQLite has it, absolute; empty for a database that has no file. `ownPath`: `null` for a database of the user's. */
  static of(path: unknown, ownPath: string | null): FileWatch | null {
    return typeof path === "string" && path !== "" ? new FileWatch(path, ownPath) : null;
  }

  private constructor(path: string, ownPath: string | null) {
    this.path = ownPath ?? path;
    this.#inode = inodeOf(this.path);
    this.#logPath = ownPath === null ? null : `${path}-wal`;
  }

  state(): FileState {
    const state = compare(inodeOf(this.path), this.#inode);
    if (state !== "same" || this.#logPath === null) return state;
    const log = inodeOf(this.#logPath);
    this.#log ??= log;
    return compare(log, this.#log);
  }
}

function compare(inode: bigint | null, before: bigint | null): FileState {
  if (inode === before) return "same";
  return inode === null ? "gone" : "replaced";
}

function inodeOf(path: string): bigint | null {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
}
