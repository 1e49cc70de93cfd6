import type { Dialect } from "@waymark/core/kit";

/** Describes a backend's dialect to the suite of the seam: how to make an empty database, and dialects on it. */
export interface DialectTarget {
  /** For the test report. */
  readonly name: string;
  /** Makes a new, empty database. Called by each test, if the databases cannot be cleared. */
  create(): Promise<DialectDatabase>;
  /**
   * `true`: the dialects have an outbox. `false`: the tests of the outbox are left out, and the suite expects that there is
   * none. Default `true`.
   */
  readonly outbox?: boolean;
  /** The same for the settings of the dialects. Default: as `outbox`, which needs them. */
  readonly settings?: boolean;
  /** The same for the index of labels. Default: as `outbox`. */
  readonly labels?: boolean;
  /**
   * Writes an id in the SQL of this engine. The tests that have a second transaction run only where it is given: they need
   * `begin` and `untilBlocked` of the database, and the tables `agent_checkpoints` and `agent_checkpoint_settings` of Waymark's own packages.
   * Absent: those tests are left out, as they must be where a statement that waits for a lock holds up this thread.
   */
  readonly literal?: (id: string) => string;
}

/** One database, until its test is over, or all tests if it can be cleared. */
export interface DialectDatabase {
  /** Makes a dialect on this database. Called again for a second client. The suite opens and closes it. */
  createDialect(): Dialect;
  /** Begins a transaction on a connection of its own. */
  readonly begin?: () => Promise<DialectTransaction>;
  /** Resolves as soon as a transaction on this database waits for a lock that another one holds. */
  readonly untilBlocked?: () => Promise<void>;
  /**
   * Removes all rows but the history of migrations. Called after a test, when its dialects are closed; then the next test uses this
   * database. Absent: each test has a database of its own, which costs more where a database takes long to make.
   */
  readonly clear?: () => Promise<void>;
  /** Releases the database. Called last, when all dialects are closed. */
  dispose(): Promise<void>;
}

/** A transaction beside the dialects. */
export interface DialectTransaction {
  run(sql: string): Promise<unknown>;
  commit(): Promise<unknown>;
}
