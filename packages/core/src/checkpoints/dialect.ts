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
  /**
   * Not `null`: the other database of a main and its backup has not acknowledged this row yet. A time in milliseconds: from
   * then on whoever comes by may send it; until then somebody is about to.
   */
  readonly pending: number | null;
}

export interface Row extends RowHead {
  readonly state: Uint8Array;
  /**
   * Not `null`: insert only if the latest row of this agent and namespace is the one with this id ({@link NIL_ID}:
   * only if there is none). Unique per agent and namespace, so that of several such inserts one succeeds.
   */
  readonly afterId: string | null;
}

/**
 * The agent of tombstones, which no other row has. A tombstone keeps the id of a row that was removed, and nothing else of
 * it, so that the row can come back from nowhere: its primary key is taken.
 */
export const NO_AGENT = "";

/** The id that stands for "no row before this one" in {@link Row.afterId}. */
export const NIL_ID = "00000000-0000-0000-0000-000000000000";

/** Which write of a row it is. */
export interface WriteKey {
  /** The row it belongs to, and goes with. */
  readonly checkpointId: string;
  readonly taskId: string;
  /** A whole number of 32 bits. */
  readonly index: number;
  /** Of two writes with the same row, task and index the one with the higher rank stays. 16 bytes, written as a UUID. */
  readonly rank: string;
}

/** A result of a step that is in no checkpoint yet. `encoding`, `stateBytes`, `digest` and `state`: its value, as of a row. */
export interface WriteRow extends WriteKey, Pick<Row, "encoding" | "stateBytes" | "digest" | "state"> {
  readonly channel: string;
  /** `""` where the caller gave none. */
  readonly taskPath: string;
}

/**
 * Rows to change together, in this order: insert, rewrite, remove, bury, acknowledge, lease, pend, append.
 */
export interface Change {
  /**
   * Guard: each of these rows, all of them different ones, is there with this digest before the change, and until it has
   * taken place. What others are differences to may have been removed, and its id used again.
   */
  readonly bases?: readonly Base[];
  /** Bases before the rows that depend on them. */
  readonly insert?: readonly Row[];
  /**
   * Guarded: a row is rewritten only if its base is still `fromBaseId`. `bases` names the row itself too, with its digest:
   * in its place there may be a tombstone.
   */
  readonly rewrite?: readonly Rewrite[];
  /** Highest id first; ids that are not there are passed over. */
  readonly remove?: readonly string[];
  /** Tombstones, inserted when `remove` is done: they may have the ids of what it removes. */
  readonly bury?: readonly Row[];
  /** Rows that are pending no more, if they have this digest and are pending from this time on; others are passed over. */
  readonly acknowledge?: readonly Acknowledgement[];
  /** Guarded: a row becomes pending from another time on only if it still is from the one that was read. */
  readonly lease?: readonly Lease[];
  /**
   * Rows that become pending from this time on; one that is so from then or later, a millisecond later than it was: whoever
   * is sending it as it was before does not acknowledge this. Rows that are not there are passed over.
   */
  readonly pend?: readonly Pend[];
  /**
   * Writes, no two of them with the same row, task and index. Guard: each row that they belong to is there, and is no
   * tombstone. A write takes the place of one that has the same key, unless that one's rank is higher.
   */
  readonly append?: readonly WriteRow[];
}

export interface Acknowledgement extends Base {
  readonly pending: number;
}

export interface Pend {
  readonly id: string;
  readonly pending: number;
}

/** Whoever has the lease of a pending row sends it; others leave it alone until it runs out. */
export interface Lease {
  readonly id: string;
  readonly fromPending: number;
  readonly pending: number;
}

/** A row that others are differences to, and the content that they were made of. */
export type Base = Pick<RowHead, "id" | "digest">;

export interface Rewrite {
  readonly id: string;
  readonly fromBaseId: string | null;
  readonly baseId: string | null;
  readonly encoding: string;
  readonly state: Uint8Array;
  /** Absent: it stays. What the state says never changes, but how it is named may (a key that digests are made with). */
  readonly digest?: Uint8Array;
}

/** All members narrow; text compares byte for byte. Asked for neither an id nor an agent, there are no tombstones. */
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

/** Both ends are left out; absent: there is none. */
export type IdRange = Pick<RowQuery, "since" | "before">;

/** A row that is pending, and how much it has to be sent. */
export interface PendingHead extends RowHead {
  readonly pending: number;
  /** The length of `state` as it is stored. */
  readonly storedBytes: number;
}

/** All that is pending, leased or not; tombstones too. */
export interface RowBacklog {
  readonly rows: number;
  readonly storedBytes: number;
  /** The lowest {@link RowHead.pending}; `null` if there is none. */
  readonly oldest: number | null;
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
  /** What OpenTelemetry's conventions call the database (`db.system.name`). Default: `name`. */
  readonly system?: string;
  /** The table, for the same (`db.collection.name`). */
  readonly collection?: string;
  readonly apiVersion: 1;
  /**
   * Absent in every dialect of a database, which gives back the digests that it was given. Core sets it where it stands in
   * between, and encrypts: see {@link HeadDigests}.
   */
  readonly headDigests?: HeadDigests;
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
  /** Those of these rows, all of them different ones, that are there, tombstones too, in any order. One statement for each thousand or so. */
  readRows(ids: readonly string[], signal: AbortSignal): Promise<Row[]>;
  /** The writes of these rows, in any order. One statement for each thousand rows or so. */
  readWrites(ids: readonly string[], signal: AbortSignal): Promise<WriteRow[]>;
  /** Which writes the rows in a range of ids have, in any order. Never reads a value. */
  writeKeys(range: IdRange, signal: AbortSignal): Promise<WriteKey[]>;
  /** The rows that are pending from `until` or earlier on, the earliest first. Never reads a state. */
  pending(until: number, limit: number, signal: AbortSignal): Promise<PendingHead[]>;
  backlog(signal: AbortSignal): Promise<RowBacklog>;
  /** How many rows have ids above `since` and below `before`; without tombstones. */
  count(range: IdRange, signal: AbortSignal): Promise<number>;
  /** The rows whose base is one of these, newest first. */
  dependents(ids: readonly string[], signal: AbortSignal): Promise<RowHead[]>;
  /** Distinct agent ids above `after`, in the order of their bytes; costs by what it returns, not by what there is. */
  agents(after: string | null, limit: number, signal: AbortSignal): Promise<string[]>;
  /** Of one agent, or of all (`null`); without tombstones. */
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

/**
 * Where states are encrypted, rows that are read with their state have its digest; heads have a digest made with a key, which
 * only who can read the state can turn back. Asked after `open`. What goes into a change always has the state's own.
 */
export interface HeadDigests {
  /** The digest that the head of a row has which has this content and is written with this encoding. */
  of(digest: Uint8Array, encoding: string): Uint8Array;
  /** Heads with this encoding have equal digests for equal contents in any dialect that says the same here; `""`: no key. */
  space(encoding: string): string;
}

/** Whether a head is that of a row with this content. */
export function standsFor(
  { headDigests }: Pick<Dialect, "headDigests">,
  head: Pick<RowHead, "digest" | "encoding">,
  digest: Uint8Array,
): boolean {
  const expected = headDigests === undefined ? digest : headDigests.of(digest, head.encoding);
  return Buffer.compare(head.digest, expected) === 0;
}

/** To compare before the digests of two heads: where it differs, only their states tell whether they are the same. */
export function digestSpace({ headDigests }: Pick<Dialect, "headDigests">, head: Pick<RowHead, "encoding">): string {
  return headDigests === undefined ? "" : headDigests.space(head.encoding);
}

export interface Opened {
  /**
   * The most bytes that the rows of one commit may have together, counted by {@link rowBytes}, and its writes, counted by
   * {@link writeBytes}, so that no statement is longer than what the server takes.
   */
  readonly maxStatementBytes: number;
}

/** What a write adds to a statement, in bytes, in the same way. */
export function writeBytes(write: WriteRow): number {
  return write.state.byteLength + (write.taskId.length + write.channel.length + write.taskPath.length) * 3 + 512;
}

/** What a row adds to a statement, in bytes: its variable parts, and an allowance for all else. */
export function rowBytes(row: Row): number {
  const characters = row.agentId.length + row.namespace.length + row.name.length + (row.metadata?.length ?? 0);
  return row.state.byteLength + characters * 3 + 512; // three bytes of UTF-8 at most per UTF-16 unit
}
