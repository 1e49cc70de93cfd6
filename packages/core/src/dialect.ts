/**
 * What a backend author writes: a dialect encapsulates all differences between databases.
 *
 * A dialect moves plain rows. It does not validate, encode, batch, retry or translate errors: `createStorage` does all
 * that, once, for every dialect. No transaction callback crosses this seam (some drivers' transactions are synchronous,
 * others' are not), so there is one write primitive, {@link Dialect.commit}.
 */

/** All of a row but its state. Ids are UUIDs in lower case, times are milliseconds since 1970-01-01 UTC. */
export interface RowHead {
  readonly id: string;
  readonly agentId: string;
  /** `""` where the caller gave none. */
  readonly namespace: string;
  readonly name: string;
  readonly parentId: string | null;
  /** The row that `state` is a difference to; `null`: the state is whole. */
  readonly baseId: string | null;
  readonly createdAt: number;
  /** One line per label, or `null`; opaque here, see {@link RowQuery.metadataLines}. */
  readonly metadata: string | null;
  /** How `state` is written; opaque here, at most 64 ASCII characters. */
  readonly encoding: string;
  /** The length of the state as text, in bytes of UTF-8. */
  readonly stateBytes: number;
  /** 32 bytes that name the state's content. */
  readonly digest: Uint8Array;
}

export interface Row extends RowHead {
  readonly state: Uint8Array;
  /**
   * Not `null`: insert only if the latest row of this agent and namespace is the one with this id ({@link NIL_ID}:
   * only if there is none). Unique per agent and namespace, so that of several such inserts one succeeds.
   */
  readonly afterId: string | null;
  /** Not `null`: another database has not acknowledged this row yet. A time in milliseconds. */
  readonly pending: number | null;
}

/** The id that stands for "no row before this one" in {@link Row.afterId}. */
export const NIL_ID = "00000000-0000-0000-0000-000000000000";

/**
 * Rows to change together, in this order: insert, rewrite, remove.
 */
export interface Change {
  /**
   * Guard: each of these rows, all of them different ones, is there with this digest before the change, and until it has
   * taken place. What others are differences to may have been removed, and its id used again.
   */
  readonly bases?: readonly Base[];
  /** Bases before the rows that depend on them. */
  readonly insert?: readonly Row[];
  /** Guarded: a row is rewritten only if its base is still `fromBaseId`. */
  readonly rewrite?: readonly Rewrite[];
  /** Highest id first; ids that are not there are passed over. */
  readonly remove?: readonly string[];
}

/** A row that others are differences to, and the content that they were made of. */
export type Base = Pick<RowHead, "id" | "digest">;

export interface Rewrite {
  readonly id: string;
  readonly fromBaseId: string | null;
  readonly baseId: string | null;
  readonly encoding: string;
  readonly state: Uint8Array;
}

/** All members narrow; text compares byte for byte. */
export interface RowQuery {
  /** Only the row with this id. */
  readonly id?: string;
  readonly agentId?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly parentId?: string;
  /** Each of these must stand in {@link RowHead.metadata}, byte for byte, with its line breaks before and after. */
  readonly metadataLines?: readonly string[];
  /** Only ids below this one. */
  readonly before?: string;
  /** Only ids above this one. */
  readonly since?: string;
  readonly limit: number;
}

export interface RowStats {
  readonly rows: number;
  readonly storedBytes: number;
  readonly stateBytes: number;
  /** The most rows that one state is made of: a row, its base, and so on to a whole one. 0 if there are no rows. */
  readonly longestChain: number;
}

/**
 * What a driver's error means for us.
 *
 * - `duplicate`: a row with this id, or a row after the same `afterId`, is there already
 * - `foreign-key`: the base of a row to insert is gone, or a row to remove is still another one's base
 * - `serialization`: the database rolled back in favour of another client; the same change may succeed when sent again
 * - `busy`: a lock was not had in time
 * - `connection`: no connection, or it was lost; whether the change took place is unknown
 * - `overload`: the server takes no more connections
 * - `access`: wrong password, unknown database, or a right that is missing
 * - `read-only`, `full`: the database takes no writes now
 * - `too-large`: a statement or value over a limit of the server
 * - `schema`: a table or column is missing
 * - `timeout`: the server itself ended the statement for taking too long
 * - `other`: none of these
 */
export type Fault =
  | "duplicate"
  | "foreign-key"
  | "serialization"
  | "busy"
  | "connection"
  | "overload"
  | "access"
  | "read-only"
  | "full"
  | "too-large"
  | "schema"
  | "timeout"
  | "other";

/**
 * One database. Methods may be called at once, after `open` has succeeded. They reject with the driver's own errors, or
 * with a `CheckpointError` where the dialect itself has something to say (its schema, its options).
 *
 * When `signal` is aborted the caller has stopped waiting: release what the call holds, so that a connection that will
 * never answer does not stay in a pool.
 */
export interface Dialect {
  /** For messages: "sqlite". */
  readonly name: string;
  readonly apiVersion: 1;
  /** Connects, then applies or verifies the schema as its options say. Called again if it failed. */
  open(signal: AbortSignal): Promise<Opened>;
  /** Connects if it must. Returns names of migrations that were missing, or in mode `"sql"` statements. */
  migrate(mode: "apply" | "verify" | "sql", signal: AbortSignal): Promise<string[]>;
  /**
   * All or nothing. `false`: a guard (`bases`, `afterId`, `fromBaseId`) missed, and nothing changed; where a unique index
   * or the foreign key notices it first, the driver's own error (`duplicate`, `foreign-key`) says the same.
   */
  commit(change: Change, signal: AbortSignal): Promise<boolean>;
  /** The row with this id, then its base, and so on to a whole one; empty if there is none. One statement. */
  readChain(id: string, signal: AbortSignal): Promise<Row[]>;
  /** Newest (highest id) first. Never reads a state. */
  list(query: RowQuery, signal: AbortSignal): Promise<RowHead[]>;
  /** The rows whose base is one of these. */
  dependents(ids: readonly string[], signal: AbortSignal): Promise<RowHead[]>;
  /** Distinct agent ids above `after`, in the order of their bytes; costs by what it returns, not by what there is. */
  agents(after: string | null, limit: number, signal: AbortSignal): Promise<string[]>;
  /** Of one agent, or of all (`null`). */
  stats(agentId: string | null, signal: AbortSignal): Promise<RowStats>;
  /**
   * Gives space of removed rows back to whoever else needs it, a bounded step of a few dozen milliseconds. `true` if there
   * is more to give back. Databases that see to it themselves answer `false`.
   */
  reclaim(signal: AbortSignal): Promise<boolean>;
  /** The cheapest statement there is. */
  ping(signal: AbortSignal): Promise<void>;
  classify(error: unknown): Fault;
  /**
   * Releases what `open` has opened. Called once, when nobody waits for an answer any more; a call whose signal was
   * aborted may still be under way.
   */
  close(): Promise<void>;
}

export interface Opened {
  /**
   * The most bytes that the rows of one commit may have together, counted by {@link rowBytes}, so that no
   * statement is longer than what the server takes.
   */
  readonly maxStatementBytes: number;
}

/** What a row adds to a statement, in bytes: its variable parts, and an allowance for all else. */
export function rowBytes(row: Row): number {
  const characters = row.agentId.length + row.namespace.length + row.name.length + (row.metadata?.length ?? 0);
  return row.state.byteLength + characters * 3 + 512; // three bytes of UTF-8 at most per UTF-16 unit
}
