import { findState, readChain, UnreadableRow } from "../checkpoints/chain.ts";
import {
  type Acknowledgement,
  type Base,
  type Row,
  type RowHead,
  rowBytes,
  type WriteRow,
} from "../checkpoints/dialect.ts";
import type { QueuedRow } from "../checkpoints/group-commit.ts";
import { type DialectStorage, haveSameHead } from "../checkpoints/storage.ts";
import { bytesOfWrites, readWrite } from "../checkpoints/task-writes.ts";
import { isTombstone } from "../checkpoints/tombstones.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding, unpackState } from "../codec/format.ts";
import type { Snapshot } from "../codec/snapshot.ts";
import { CheckpointError, type CheckpointErrorCode, codeOf } from "../contract/errors.ts";

/**
 * Brings rows of one database to another: as they are stored, where what they are differences to is there with the same
 * content, else stored anew. Everything may be brought again: what is there is left as it is.
 */

/** What one commit brings, writes counted as rows: what any server takes, and soon, unless a single row is larger. */
const MAX_ROWS = 128;
const MAX_BYTES = 500_000;

/** A row that is sent, with what was appended to it. */
export interface Sent extends QueuedRow {
  readonly writes: readonly WriteRow[];
}

/** What was done of a row as it was when it was read. */
export type Done = Pick<RowHead, "id" | "digest" | "pending">;

export interface Delivered {
  /** What needs not be sent again: it is there, or its deletion is. */
  readonly done: readonly Done[];
  /** What can never be sent as it is, or not now for its own sake; the others are not held up by it. */
  readonly refused: readonly { readonly id: string; readonly code: CheckpointErrorCode }[];
  /** Ids under which the other has another content. They count as done. */
  readonly conflicts: readonly string[];
}

/** A row that is not sent, since it cannot be read where it is. */
export interface Damaged {
  readonly id: string;
  readonly code: CheckpointErrorCode;
}

/** Faults of one row, not of the database. */
const OF_THE_ROW: ReadonlySet<CheckpointErrorCode> = new Set([
  "STATE_TOO_LARGE",
  "CORRUPT_CHECKPOINT",
  "UNSUPPORTED_FORMAT",
  "ENCRYPTION_MISMATCH",
  "DATABASE_ERROR",
]);

/** @throws CheckpointError if `to` or `from` is out of reach; what was brought until then is brought again next time */
export async function deliver(
  from: DialectStorage,
  to: DialectStorage,
  rows: readonly Sent[],
  signal?: AbortSignal,
): Promise<Delivered> {
  const tombstones = rows.filter(({ row }) => isTombstone(row)).map(({ row }) => row);
  const live = rows.filter(({ row }) => !isTombstone(row)).sort((one, other) => (one.row.id < other.row.id ? -1 : 1));
  const done: Done[] = [];
  const refused: { id: string; code: CheckpointErrorCode }[] = [];
  const conflicts: string[] = [];
  if (tombstones.length > 0) {
    await to.bury(
      tombstones.map(({ id }) => id),
      null,
      signal,
    );
    done.push(...tombstones.map(named));
  }
  for (const all of batchesOf(live)) {
    const appended = await appendToKnown(to, all, signal);
    done.push(...appended.map(({ row }) => named(row)));
    const batch = all.filter((one) => !appended.includes(one));
    if (batch.length === 0) continue;
    if (await insertAll(to, batch, signal)) {
      done.push(...batch.map(({ row }) => named(row)));
      continue;
    }
    for (const one of batch) {
      try {
        if (!(await deliverOne(from, to, one, signal))) conflicts.push(one.row.id);
        done.push(named(one.row));
      } catch (error) {
        const code = codeOf(error);
        if (!(error instanceof CheckpointError) || !OF_THE_ROW.has(code)) throw error;
        refused.push({ id: one.row.id, code });
      }
    }
  }
  return { done, refused, conflicts };
}

/** What `deliver` has done is pending no more. */
export async function acknowledge(from: DialectStorage, done: readonly Done[], signal?: AbortSignal): Promise<void> {
  const sent = done.filter((row): row is Acknowledgement => row.pending !== null);
  if (sent.length === 0) return;
  await from.session.run("acknowledge rows", signal, (limit) => from.dialect.commit({ acknowledge: sent }, limit));
}

const named = ({ id, digest, pending }: Done): Done => ({ id, digest, pending });

function sentBytes({ row, writes }: Sent): number {
  return rowBytes(row) + bytesOfWrites(writes);
}

/** Such as are sent together. */
function batchesOf(rows: readonly Sent[]): Sent[][] {
  const batches: Sent[][] = [];
  let [bytes, count] = [0, 0];
  for (const one of rows) {
    const last = batches.at(-1);
    bytes += sentBytes(one);
    count += 1 + one.writes.length;
    if (last !== undefined && bytes <= MAX_BYTES && count <= MAX_ROWS) last.push(one);
    else {
      batches.push([one]);
      [bytes, count] = [sentBytes(one), 1 + one.writes.length];
    }
  }
  return batches;
}

/** Most often a row was sent before anything was appended to it: those that are there as they are get only that. */
async function appendToKnown(to: DialectStorage, batch: readonly Sent[], signal?: AbortSignal): Promise<Sent[]> {
  const appended = batch.filter(({ writes }) => writes.length > 0);
  if (appended.length === 0) return [];
  return await to.session.run("replicate", signal, async (limit, { maxStatementBytes }) => {
    const ids = appended.map(({ row }) => row.id);
    const there = new Map((await to.dialect.readRows(ids, limit)).map((row) => [row.id, row]));
    const known = appended.filter(({ row }) => isSame(there.get(row.id), row));
    const append = known.flatMap(({ writes }) => writes);
    if (bytesOfWrites(append) > maxStatementBytes) return [];
    return append.length > 0 && (await to.dialect.commit({ append }, limit)) ? known : [];
  });
}

function isSame(there: Row | undefined, row: Row): boolean {
  return there !== undefined && Buffer.compare(there.digest, row.digest) === 0 && haveSameHead(there, row);
}

/** `false`: one of them is there, or what it builds on is not, or it is too large: each has to be looked at by itself. */
async function insertAll(to: DialectStorage, batch: readonly Sent[], signal?: AbortSignal): Promise<boolean> {
  const own = new Set(batch.map(({ row }) => row.id));
  const bases = new Map<string, Base>();
  for (const { row, base } of batch) {
    if (row.baseId === null || own.has(row.baseId)) continue;
    if (base === null) return false; // what it builds on could not be read
    bases.set(base.id, base);
  }
  const insert = batch.map(({ row }) => asCopy(row));
  const append = batch.flatMap(({ writes }) => writes);
  return await to.session.run("replicate", signal, async (limit, { maxStatementBytes }) => {
    if (batch.reduce((sum, one) => sum + sentBytes(one), 0) > maxStatementBytes) return false;
    try {
      return await to.dialect.commit({ bases: [...bases.values()], insert, append }, limit);
    } catch (error) {
      if (to.session.mayBeOneRows(error)) return false;
      throw error;
    }
  });
}

/** What belongs to the database that a row comes from stays there. */
function asCopy(row: Row): Row {
  return { ...row, afterId: null, pending: null };
}

/** `false`: there is another content under its id. */
async function deliverOne(from: DialectStorage, to: DialectStorage, one: Sent, signal?: AbortSignal): Promise<boolean> {
  if (!(await deliverRow(from, to, one, signal))) return false;
  // One by one: together they may be more than what the server takes. Where the row has gone meanwhile, so do they.
  for (const write of one.writes) {
    await to.session.run("replicate", signal, (limit) => to.dialect.commit({ append: [write] }, limit));
  }
  return true;
}

async function deliverRow(
  from: DialectStorage,
  to: DialectStorage,
  { row, base }: QueuedRow,
  signal?: AbortSignal,
): Promise<boolean> {
  const read = async () => await stateOf(from, row, signal);
  const there = await to.session.run("replicate", signal, async (limit) => {
    const [found] = await to.dialect.readRows([row.id], limit);
    if (found === undefined) return "absent";
    // What was deleted in main, and stored again where nobody knew of that, is told; in the backup it is a late copy.
    if (isTombstone(found)) return to.leavesTombstones ? "other" : "same";
    // What is brought here is pending no more: so it is the very row that we come from.
    if (found.pending !== null && found.pending === row.pending) {
      throw new CheckpointError("INVALID_CONFIG", "replicate: main and backup are the same database");
    }
    if (isSame(found, row)) return "same";
    return (await to.saysTheSame(found, row, read, limit)) ? "same" : "other";
  });
  if (there !== "absent") return there === "same";
  if (await insertAll(to, [{ row, base, writes: [] }], signal)) return true;
  const snapshot = await read();
  if (snapshot === null) {
    // Deleted meanwhile, which its tombstone tells; or it cannot be read, and must not be spread.
    const [still] = await from.session.run("replicate", signal, (limit) =>
      from.dialect.list({ id: row.id, limit: 1 }, limit),
    );
    if (still === undefined || isTombstone(still)) return true;
    throw new CheckpointError("CORRUPT_CHECKPOINT", `replicate: ${row.id} cannot be read where it is stored`);
  }
  try {
    await to.storeSnapshot(row, snapshot, signal);
    return true;
  } catch (error) {
    if (error instanceof CheckpointError && error.code === "CONFLICT") return await to.isBuried(row.id, signal);
    throw error;
  }
}

async function stateOf(from: DialectStorage, row: RowHead, signal?: AbortSignal): Promise<Snapshot | null> {
  const state = await from.session.run("replicate", signal, (limit) => findState(from.dialect, row.id, limit));
  return state?.snapshot ?? null;
}

/** Rows by their ids, with what they are differences to. Those that are damaged are told apart. */
export async function readForDelivery(
  from: DialectStorage,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<{ rows: Sent[]; damaged: Damaged[] }> {
  return await from.session.run("replicate", signal, async (limit) => {
    const rows = await from.dialect.readRows(ids, limit);
    const writes = await writesOf(from, rows, limit);
    const known = new Map<string, Base>(rows.map((row) => [row.id, named(row)]));
    const missing = rows.flatMap(({ baseId }) => (baseId === null || known.has(baseId) ? [] : [baseId]));
    if (missing.length > 0) {
      for (const row of await from.dialect.readRows([...new Set(missing)], limit)) known.set(row.id, named(row));
    }
    const faults = await Promise.all(rows.map(faultOf));
    return {
      rows: rows
        .filter((_, index) => faults[index] === null)
        .map((row) => ({
          row,
          base: row.baseId === null ? null : (known.get(row.baseId) ?? null),
          writes: writes.get(row.id) ?? [],
        })),
      damaged: rows.flatMap(({ id }, index) => {
        const code = faults[index] ?? null;
        return code === null ? [] : [{ id, code }];
      }),
    };
  });
}

/** What was appended to these, by their ids. What cannot be read where it is, is not spread. */
async function writesOf(
  from: DialectStorage,
  rows: readonly Row[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, WriteRow[]>> {
  const ids = rows.filter((row) => !isTombstone(row)).map(({ id }) => id);
  const writes = new Map<string, WriteRow[]>();
  for (const write of ids.length === 0 ? [] : await from.dialect.readWrites(ids, signal)) {
    if (await isDamaged(write)) continue;
    const known = writes.get(write.checkpointId);
    if (known === undefined) writes.set(write.checkpointId, [write]);
    else known.push(write);
  }
  return writes;
}

async function isDamaged(write: WriteRow): Promise<boolean> {
  try {
    await readWrite(write);
    return false;
  } catch (error) {
    return !(error instanceof UnknownEncoding);
  }
}

/** By its digest, or the checksum of a difference: why its bytes are not those that were written; `null`: they are. */
async function faultOf(row: Row): Promise<CheckpointErrorCode | null> {
  if (isTombstone(row)) return null;
  try {
    if (row.baseId === null) await readChain([row]);
    else await unpackState(row, false);
    return null;
  } catch (error) {
    const reason = error instanceof UnreadableRow ? error.cause : error;
    if (reason instanceof EncryptionMismatch) return "ENCRYPTION_MISMATCH";
    if (reason instanceof DamagedState) return "CORRUPT_CHECKPOINT";
    if (reason instanceof UnknownEncoding) return null; // a newer version's: its bytes are as good as any
    throw error;
  }
}
