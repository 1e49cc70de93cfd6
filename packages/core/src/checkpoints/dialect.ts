import type { Database } from "../database/database.ts";

/**
 * The seam to backends: a dialect encapsulates all differences between databases.
 *
 * A dialect moves plain rows. It does not validate, encode, batch, retry or translate errors: `createStorage` does all
 * that, once, for every dialect. No transaction callback crosses this seam (some drivers' transactions are synchronous,
 * others' are not), so there is one write primitive, {@link Dialect.commit}.
 */
export interface Dialect extends Database {
  /**
   * Applies a change, all or nothing. `false`: a guard was not met (`expectedSettings`, `expected`, `afterId`, `fromBaseId`,
   * `unwrittenSince`, `emptiedAgent`, `fromPending`, the rows of `append`), and nothing changed. Where a unique index or the
   * foreign key notices it first, the driver's own error (`duplicate`, `foreign-key`) says the same.
   */
  commit(change: Change, signal: AbortSignal): Promise<boolean>;
  /** Reads the row with this id, its base, and so on down to a full one; empty if there is none. One statement. */
  readChain(id: string, signal: AbortSignal): Promise<Row[]>;
  /** Lists rows, newest (highest id) first. Never reads a state. */
  list(query: RowQuery, signal: AbortSignal): Promise<RowHead[]>;
  /** Reads those of these rows that are there, tombstones too, in any order. The ids differ. One statement per thousand or so. */
  readRows(ids: readonly string[], signal: AbortSignal): Promise<Row[]>;
  /** Reads the writes of these rows, in any order. One statement per thousand rows or so. */
  readTaskWrites(ids: readonly string[], signal: AbortSignal): Promise<TaskWriteRow[]>;
  /** Lists the keys of all writes of the rows in a range of ids, in any order. Never reads a value. */
  taskWriteKeys(range: IdRange, signal: AbortSignal): Promise<TaskWriteKey[]>;
  /**
   * Lists the keys of the writes that some tasks have in one row, in any order. The ids of the tasks differ. Costs by what these
   * tasks have, not by what the row has. One statement per thousand tasks or so.
   */
  writeKeysOfTasks(id: string, taskIds: readonly string[], signal: AbortSignal): Promise<TaskWriteKey[]>;
  /**
   * Returns whether any of these rows has a write whose rank was made of an id above `since`: by {@link rankOf}. Never reads a
   * value. One statement per thousand rows or so.
   */
  areWrittenSince(ids: readonly string[], since: string, signal: AbortSignal): Promise<boolean>;
  /** Lists the rows whose base is one of these, newest first. */
  dependents(ids: readonly string[], signal: AbortSignal): Promise<RowHead[]>;
  /** Lists distinct agent ids above `after`, in the order of their bytes. Costs by what it returns, not by what there is. */
  agents(after: string | null, limit: number, signal: AbortSignal): Promise<string[]>;
  /** Counts the rows of one agent, or of all (`null`), without tombstones. */
  stats(agentId: string | null, signal: AbortSignal): Promise<RowStats>;
  /**
   * Vacuums: returns space of removed rows to the file system, in a bounded step of a few dozen milliseconds. `true`: there
   * is more to return. Databases that do it themselves return `false`.
   */
  vacuum(signal: AbortSignal): Promise<boolean>;
  /** Absent: this backend keeps no settings, and no change that it gets has {@link Change.expectedSettings}. */
  readonly settings?: Settings;
  /** Absent: this backend lists checkpoints by their labels only within an agent. */
  readonly labels?: LabelIndex;
  /** Absent, or without {@link settings}: this backend can be neither the main nor the backup of a storage with a backup. */
  readonly outbox?: Outbox;
}

/**
 * Settings of the database: what all processes that use it have to know, as a value by its name. Names are at most 64 ASCII
 * characters; values are text, at most 10,000 characters.
 */
export interface Settings {
  /** Reads a setting, as it is committed now. `null`: it was never set. */
  read(name: string, signal: AbortSignal): Promise<string | null>;
  /**
   * Sets a setting to `to` if its value is `from` (`null`: it was never set), and returns whether it was: of several processes
   * that replace the same value, one does. Waits for changes under way that expect the old value.
   */
  replace(name: string, from: string | null, to: string, signal: AbortSignal): Promise<boolean>;
}

/**
 * The index of labels: which checkpoints have a label, across agents. A table of label and row, which {@link Change.label}
 * fills, and from which a label goes with its row.
 */
export interface LabelIndex {
  /** Lists the rows that have this label in the index, newest first. Never reads a state. Costs by what it returns. */
  list(label: string, query: LabelQuery, signal: AbortSignal): Promise<RowHead[]>;
  /** Lists distinct ids of agents with such rows above `after`, in the order of their bytes. Costs by what it returns. */
  agents(label: string, after: string | null, limit: number, signal: AbortSignal): Promise<string[]>;
}

/**
 * The part of a dialect that replication needs: a transactional outbox in the table itself. A row is pending until the other
 * provider has acknowledged it; a deletion leaves a tombstone, which is delivered as rows are.
 */
export interface Outbox {
  /** Applies a change as {@link Dialect.commit} does, with the parts that only the outbox knows. */
  commit(change: OutboxChange, signal: AbortSignal): Promise<boolean>;
  /** Lists the rows whose `pending` is `until` or earlier, the earliest first. Never reads a state. */
  pending(until: number, limit: number, signal: AbortSignal): Promise<PendingHead[]>;
  /** Counts all pending rows, leased or not, tombstones too. */
  backlog(signal: AbortSignal): Promise<RowBacklog>;
  /** Counts the rows in a range of ids, without tombstones. */
  count(range: IdRange, signal: AbortSignal): Promise<number>;
}

/** Methods of a dialect that read, for those that forward them. */
export const READS = [
  "readChain",
  "list",
  "readRows",
  "readTaskWrites",
  "taskWriteKeys",
  "writeKeysOfTasks",
  "areWrittenSince",
  "dependents",
  "agents",
  "stats",
] as const satisfies readonly (keyof Dialect)[];

/** Methods of the index of labels. */
export const LABEL_READS = ["list", "agents"] as const satisfies readonly (keyof LabelIndex)[];

/** Methods of an outbox that read. */
export const OUTBOX_READS = ["pending", "backlog", "count"] as const satisfies readonly (keyof Outbox)[];

/** Methods of settings. */
export const SETTINGS = ["read", "replace"] as const satisfies readonly (keyof Settings)[];

/** A row without its state. Ids are UUIDs in lower case, times are milliseconds since 1970-01-01 UTC. */
export interface RowHead {
  readonly id: string;
  readonly agentId: string;
  /** `""` where the caller gave none. */
  readonly namespace: string;
  readonly name: string;
  readonly parentId: string | null;
  /** The row that `state` is a delta to; `null`: the state is full. */
  readonly baseId: string | null;
  readonly createdAt: number;
  /** One line per label, or `null`; opaque here, see {@link RowQuery.labels}. */
  readonly metadata: string | null;
  /** Encoding of `state`; opaque here, at most 64 ASCII characters. */
  readonly encoding: string;
  /** Length of the state as text, in bytes of UTF-8. */
  readonly stateBytes: number;
  /** Digest of the state's content, or a keyed one where states are encrypted: 32 bytes, opaque here. */
  readonly digest: Uint8Array;
  /**
   * Outbox flag. `null`: the other provider has acknowledged this row, or there is none. Else a time in milliseconds: from
   * then on any process may send the row; until then only the one that has leased it. Always `null` in a dialect without an
   * outbox.
   */
  readonly pending: number | null;
}

export interface Row extends RowHead {
  readonly state: Uint8Array;
  /**
   * Guard. Not `null`: insert only if the latest row of this agent and namespace has this id ({@link NIL_ID}: only if there
   * is none), and that row stays until it is done. Unique per agent and namespace, so that of several such inserts one succeeds.
   */
  readonly afterId: string | null;
}

/**
 * Agent of tombstones, which no other row has. A tombstone keeps the id of a removed row, and nothing else of it: the primary
 * key is taken, so no late copy of the row can be inserted.
 */
export const NO_AGENT = "";

/** The id that stands for "no row before this one" in {@link Row.afterId}. */
export const NIL_ID = "00000000-0000-0000-0000-000000000000";

/** Key of a task's write. */
export interface TaskWriteKey {
  /** The row that it belongs to, and is removed with. */
  readonly checkpointId: string;
  readonly taskId: string;
  /** An integer of 32 bits. */
  readonly index: number;
  /** Of two writes with the same row, task and index the one with the higher rank stays. Made by {@link rankOf}. */
  readonly rank: string;
}

/** A task's write: a result that no checkpoint holds yet. `encoding`, `stateBytes`, `digest` and `state` are those of its value. */
export interface TaskWriteRow extends TaskWriteKey, Pick<Row, "encoding" | "stateBytes" | "digest" | "state"> {
  readonly channel: string;
  /** `""` where the caller gave none. */
  readonly taskPath: string;
}

/** A label of a row, for the index. */
export interface RowLabel {
  readonly checkpointId: string;
  /** The label's digest: 16 bytes, written as a UUID, opaque here. */
  readonly label: string;
}

/** Rows to change together, in the order of these members. */
export interface Change {
  /**
   * Guard: each of these settings (all of different names) has this value before the change, and keeps it until the change
   * has taken place.
   */
  readonly expectedSettings?: readonly Setting[];
  /**
   * Guard: each of these rows (all of them different) is there with this digest before the change, and stays until it has
   * taken place: the bases of its deltas, and the rows that it rewrites. One may have been removed, and its id used again.
   */
  readonly expected?: readonly RowVersion[];
  /** Bases before the rows that build on them. */
  readonly insert?: readonly Row[];
  /**
   * Labels to index; only where the dialect has {@link Dialect.labels}. Skipped are those that are indexed already, and those
   * whose row is not there or is a tombstone.
   */
  readonly label?: readonly RowLabel[];
  /**
   * Guard: each row still has the base `fromBaseId`, else the whole change is refused. `expected` names the row itself too,
   * with its digest: a tombstone may have taken its place.
   */
  readonly rewrite?: readonly Rewrite[];
  /** Highest id first; ids that are not there are skipped. */
  readonly remove?: readonly string[];
  /**
   * Guard, checked before `remove`: none of the rows to remove has a write whose rank was made of an id above this one. It waits
   * for the writes that other clients are appending to them; a later one finds its row gone.
   */
  readonly unwrittenSince?: string;
  /** Guard, checked when `remove` is done: this agent has no row left, also none that another client has stored meanwhile. */
  readonly emptiedAgent?: string;
  /**
   * Writes, no two of them with the same row, task and index. Guard: each row that they belong to is there, and is no
   * tombstone. A write replaces one with the same key, unless that one's rank is higher. Applied last, after all of
   * {@link OutboxChange}.
   */
  readonly append?: readonly TaskWriteRow[];
}

/** A change with the parts of the outbox, which are applied between `remove` and `append`, in this order. */
export interface OutboxChange extends Change {
  /** Tombstones, inserted when `remove` is done: they may have the ids of the removed rows. */
  readonly insertTombstones?: readonly Row[];
  /** Rows that stop being pending, if they have this digest and this `pending`; others are skipped. */
  readonly acknowledge?: readonly Acknowledgement[];
  /** Guard: each row's `pending` still is the one that was read, else the whole change is refused. */
  readonly lease?: readonly Lease[];
  /**
   * Sets `pending` to this time, or to one more than its value if that is not below it. So it always changes, and an
   * acknowledgement that names the old value does nothing. Rows that are not there are skipped.
   */
  readonly markPending?: readonly PendingMark[];
}

/** A setting with the value that it is expected to have. */
export interface Setting {
  readonly name: string;
  readonly value: string;
}

/** A row with the content that it is expected to have. */
export type RowVersion = Pick<RowHead, "id" | "digest">;

/** A row, and the base that it is a delta to. */
export interface RowWithBase {
  readonly row: Row;
  readonly base: RowVersion | null;
}

export interface Rewrite {
  readonly id: string;
  readonly fromBaseId: string | null;
  readonly baseId: string | null;
  readonly encoding: string;
  readonly state: Uint8Array;
  /** Absent: it stays. A state's content never changes, but its stored digest may (one made with a key). */
  readonly digest?: Uint8Array;
}

export interface Acknowledgement extends RowVersion {
  readonly pending: number;
}

/** A lease of a pending row: the process that holds it sends the row; others leave it alone until the lease expires. */
export interface Lease {
  readonly id: string;
  readonly fromPending: number;
  readonly pending: number;
}

export interface PendingMark {
  readonly id: string;
  readonly pending: number;
}

/**
 * A filter, all of whose members narrow; text compares byte for byte. With neither `id` nor `agentId` tombstones are left out;
 * with the agent {@link NO_AGENT} there is nothing else.
 */
export interface RowQuery {
  /** Only the row with this id. */
  readonly id?: string;
  readonly agentId?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly parentId?: string;
  /** Encoded labels, each of which must be part of {@link RowHead.metadata}, byte for byte, with its line breaks. */
  readonly labels?: readonly string[];
  /** Only ids below this one. */
  readonly before?: string;
  /** Only ids above this one. */
  readonly since?: string;
  /** Maximum number of rows. */
  readonly limit: number;
}

/** A filter of rows with a label, all of whose members narrow. */
export type LabelQuery = Pick<RowQuery, "labels" | "before" | "since" | "limit">;

/** A range of ids without its ends; an absent end: no bound. */
export type IdRange = Pick<RowQuery, "since" | "before">;

export interface RowStats {
  readonly rows: number;
  readonly storedBytes: number;
  readonly stateBytes: number;
  /** The most rows of one chain: a row, its base, and so on down to a full one. 0 if there are no rows. */
  readonly longestChain: number;
}

/** A pending row, and its size. */
export interface PendingHead extends RowHead {
  readonly pending: number;
  /** Length of `state` as stored. */
  readonly storedBytes: number;
}

export interface RowBacklog {
  readonly rows: number;
  readonly storedBytes: number;
  /** The lowest {@link RowHead.pending}; `null` if there is none. */
  readonly oldest: number | null;
}

/**
 * Returns the rank of a write: 16 bytes, written as a UUID. It is the id of its call, a UUIDv7, for writes that are overwritten
 * (index below 0), and that id's complement for those that stay.
 */
export function rankOf(id: string, index: number): string {
  return index < 0 ? id : id.replace(/[0-9a-f]/g, (digit) => (15 - Number.parseInt(digit, 16)).toString(16));
}

/** Returns the bytes that a row adds to a statement: its variable parts, and an allowance for all else. */
export function rowBytes(row: Row): number {
  const characters = row.agentId.length + row.namespace.length + row.name.length + (row.metadata?.length ?? 0);
  return row.state.byteLength + characters * 3 + 512; // at most three bytes of UTF-8 per UTF-16 unit
}

/** Returns the bytes that a write adds to a statement, in the same way. */
export function writeBytes(write: TaskWriteRow): number {
  return write.state.byteLength + (write.taskId.length + write.channel.length + write.taskPath.length) * 3 + 512;
}
