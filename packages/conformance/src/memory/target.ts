import type { MemoryDialect } from "@waymark/core/memory/kit";

/** Describes a backend of memory to its suites: how to make an empty database, and dialects on it. */
export interface MemoryTarget {
  /** For the test report. */
  readonly name: string;
  /** Makes a new, empty database. Called once by each suite, and by each test of the schema. */
  create(): Promise<MemoryDatabase>;
  /** Whether `nearestExactly` answers. `false`: the suite expects `null`. */
  readonly computesCosines: boolean;
  /** Set where the driver drops a byte order mark (U+FEFF) at the beginning of a text that it returns: names must not begin with one. */
  readonly dropsByteOrderMarks?: boolean;
}

/** One database, until its tests are over. */
export interface MemoryDatabase {
  /** Makes a dialect on a connection, or a pool, of its own. The suite opens and closes it. */
  createDialect(options: MemoryClientOptions): MemoryDialect;
  /** Runs a statement on a connection of its own, and returns its rows: values by the names of their columns. */
  run(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Releases the database. Called last, when all dialects are closed. */
  dispose(): Promise<void>;
}

/** Options of a dialect, beside those that lead to its database. Absent: their defaults. */
export interface MemoryClientOptions {
  readonly migrate?: "auto" | "verify" | "off";
  readonly tablePrefix?: string;
}
