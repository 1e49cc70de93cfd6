import type { DatabaseName, Place } from "../databases.ts";

/** An item to remember. */
export interface MemoryItem {
  readonly owner: string;
  readonly text: string;
  /** Numbers, as clients of models return them. */
  readonly vector: readonly number[];
}

/** A memory that is opened on a database, with its tables made. */
export interface RecallSession {
  /** Resolves when the database has all of them durably, to their ids. */
  add(items: readonly MemoryItem[]): Promise<string[]>;
  /** Builds what is built after loading, and gives the planner its statistics. */
  prepare(): Promise<void>;
  /** Each search returns ids, the best first. */
  byVector(owner: string, vector: readonly number[], limit: number): Promise<string[]>;
  /** Absent: it cannot. */
  byText?(owner: string, text: string, limit: number): Promise<string[]>;
  byBoth?(owner: string, text: string, vector: readonly number[], limit: number): Promise<string[]>;
  close(): Promise<void>;
}

/** A way to remember, measured beside others. */
export interface RecallSystem {
  readonly id: string;
  /** As the tables say it. */
  readonly title: string;
  readonly isOurs?: true;
  /** Product of others; else it is ours, or made by hand. */
  readonly isPeer?: true;
  /** Items of other owners at most: to load more would take hours. With fewer it is faster. */
  readonly othersAtMost?: number;
  runsOn(database: DatabaseName): boolean;
  open(place: Place): Promise<RecallSession>;
}
