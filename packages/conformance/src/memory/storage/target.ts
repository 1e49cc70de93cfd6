import type { CommonMemoryOptions, MemoryStorage } from "@waymark/core/memory";

/**
 * Part of the suite.
 * - `database`: behaviour that depends on the database: items, updates, threads, search by words, filters, owners, collections,
 *   retention, several processes, hostile text and secrets.
 * - `vectors`: search by vectors, and re-embedding.
 * - `facade`: argument checks, abort signals, life cycle and embedders, which are code of `@waymark/core`.
 */
export type MemoryPart = "database" | "vectors" | "facade";

/** A memory under test: how to make an empty database, and storages on it. */
export interface MemoryStorageTarget {
  /** Name for the test report. */
  readonly name: string;
  /** Makes a new database, without a schema. Called once for the suite. */
  create(): Promise<MemoryStore>;
  /**
   * Parts to run. A backend made with `createMemoryStorage` of `@waymark/core/memory/kit` needs `database` and `vectors`. With
   * `WAYMARK_TEST_ALL` in the environment all parts run, whichever are listed here. Default: all.
   */
  readonly parts?: readonly MemoryPart[] | undefined;
  /** Set where the driver drops a byte order mark (U+FEFF) at the beginning of a text that it returns: names must not begin with one. */
  readonly dropsByteOrderMarks?: boolean;
}

/** One database, until its tests are over. */
export interface MemoryStore {
  /** Opens a new storage on this database, on a connection of its own. Up to 12 are open at once. The suite closes them. */
  open(options?: CommonMemoryOptions): MemoryStorage;
  /** Access for other processes. Absent: only this process can open the database, and the tests with processes are skipped. */
  readonly remote?: RemoteMemory | undefined;
  /** Releases the database. Called last, when all storages are closed. */
  dispose(): Promise<void>;
}

/** A module by which another process opens the database. */
export interface RemoteMemory {
  /** URL of a module that plain Node can import (built JavaScript) and that exports `createMemoryStorage`. */
  readonly module: string;
  /** Argument of `createMemoryStorage`: JSON. */
  readonly options: Readonly<Record<string, unknown>>;
}
