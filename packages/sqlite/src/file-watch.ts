import { statSync } from "node:fs";

/** `gone`: there is none at its path any more. `replaced`: there is another one. */
export type FileState = "same" | "gone" | "replaced";

/**
 * The file of an open database. One that is deleted or replaced lives on for those who have it open, who would go on to
 * store where nobody else looks. SQLite compares inodes in the same way, but not before each commit.
 */
export class FileWatch {
  readonly path: string;
  readonly #inode: bigint | null;

  /** `path`: as SQLite has it, absolute; empty for a database that has no file. */
  static of(path: unknown): FileWatch | null {
    return typeof path === "string" && path !== "" ? new FileWatch(path) : null;
  }

  private constructor(path: string) {
    this.path = path;
    this.#inode = inodeOf(path);
  }

  state(): FileState {
    const inode = inodeOf(this.path);
    if (inode === null) return "gone";
    return inode === this.#inode ? "same" : "replaced";
  }
}

function inodeOf(path: string): bigint | null {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
}
