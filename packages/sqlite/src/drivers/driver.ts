/** Drivers of SQLite, by the names of their modules. */
export const DRIVER_NAMES = ["better-sqlite3", "node:sqlite", "bun:sqlite"] as const;
export type DriverName = (typeof DRIVER_NAMES)[number];

/** A prepared statement. Values are bound by position: text, numbers, bytes and `null`. */
export interface Statement {
  run(...values: unknown[]): { readonly changes: number | bigint };
  /** Returns the first row, or `undefined`. */
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  /** The same statement, with rows as arrays instead of objects. */
  raw(): Statement;
}

/** An open database, as we use it. Its errors have SQLite's name of the extended result code as `code`: `SQLITE_BUSY`. */
export interface DriverDatabase {
  readonly driver: DriverName;
  prepare(sql: string): Statement;
  /** Runs statements to their end. */
  exec(sql: string): void;
  /** Loads an extension of SQLite. Absent: this driver, or this version of it, cannot. */
  loadExtension?(path: string): void;
  isOpen(): boolean;
  inTransaction(): boolean;
  close(): void;
}

/** Opens a file, which is created if it is missing. */
export type OpenFile = (path: string) => DriverDatabase;

export interface LoadOptions {
  /** Path of better-sqlite3's `.node` file; `null`: where it looks for it by itself. */
  readonly nativeBinding: string | null;
}

export interface Driver {
  readonly name: DriverName;
  /** Loads the driver. A driver that is not there, or cannot run here, throws {@link CannotRun}. */
  load(options: LoadOptions): Promise<OpenFile>;
  /** Wraps a database that a user has opened; `null`: it is not one of this driver. */
  adopt(database: object): DriverDatabase | null;
}

/** Why a driver cannot run here, and what to do about it. */
export class CannotRun extends Error {
  readonly advice: string | null;

  constructor(reason: string, advice: string | null, options?: ErrorOptions) {
    super(reason, options);
    this.advice = advice;
  }
}
