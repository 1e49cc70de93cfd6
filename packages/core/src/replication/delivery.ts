import { readState, UnreadableRow, unpackChain } from "../checkpoints/chain.ts";
import {
  type Acknowledgement,
  type Row,
  type RowHead,
  type RowVersion,
  type RowWithBase,
  rowBytes,
  type TaskWriteRow,
} from "../checkpoints/dialect.ts";
import { insertRows, type ReplicableEngine } from "../checkpoints/engine.ts";
import { sameCheckpoint, sameRow } from "../checkpoints/equality.ts";
import { markReplicated } from "../checkpoints/replicated.ts";
import { storeSnapshot } from "../checkpoints/store.ts";
import { bytesOfWrites, unpackWrite } from "../checkpoints/task-writes.ts";
import { isDeleted, isTombstone, writeTombstones } from "../checkpoints/tombstones.ts";
import { DamagedState, EncryptionMismatch, UnknownEncoding } from "../codec/damage.ts";
import { unpackState } from "../codec/format.ts";
import type { Snapshot } from "../codec/snapshot.ts";
import { CheckpointError, type CheckpointErrorCode, factsOf } from "../contract/errors.ts";

/**
 * Delivery of rows to the other database: as they are stored, if their bases are there with the same content, else stored
 * anew from their states. Idempotent: rows that are there are left as they are.
 */

/** Limits of one commit, writes counted as rows: any server takes it, and soon, unless a single row is larger. */
const MAX_BATCH_ROWS = 128;
const MAX_BATCH_BYTES = 500_000;

/** A row to deliver, with its base and its writes. */
export interface OutgoingRow extends RowWithBase {
  readonly writes: readonly TaskWriteRow[];
}

/** A row that was delivered, as it was when it was read. */
export type DeliveredRow = Pick<RowHead, "id" | "digest" | "pending">;

export interface Delivery {
  /** Rows that need no further delivery: the target has the row or its tombstone. */
  readonly done: readonly DeliveredRow[];
  /** Rows that the target cannot take, now or ever; they do not hold up the others. */
  readonly refused: readonly { readonly id: string; readonly code: CheckpointErrorCode }[];
  /** Ids under which the target has other content. They count as done. */
  readonly conflicts: readonly string[];
}

/** A row that is not delivered, since it cannot be read where it is. */
export interface DamagedRow {
  readonly id: string;
  readonly code: CheckpointErrorCode;
}

/**
 * Delivers rows in parts, and yields what became of each part as soon as it is known.
 * @throws CheckpointError if `to` or `from` is unreachable; rows that no part had before are delivered again next time
 */
export async function* deliverInParts(
  from: ReplicableEngine,
  to: ReplicableEngine,
  rows: readonly OutgoingRow[],
  signal?: AbortSignal,
): AsyncGenerator<Delivery, void> {
  for (const engine of [from, to]) await markReplicated(engine, signal);
  const tombstones = rows.filter(({ row }) => isTombstone(row)).map(({ row }) => row);
  const live = rows.filter(({ row }) => !isTombstone(row)).sort((one, other) => (one.row.id < other.row.id ? -1 : 1));
  if (tombstones.length > 0) {
    const ids = tombstones.map(({ id }) => id);
    await writeTombstones(to, ids, null, signal);
    yield partOf(tombstones);
  }
  for (const all of batchesOf(live)) {
    const appended = await appendToExisting(to, all, signal);
    if (appended.length > 0) yield partOf(appended.map(({ row }) => row));
    const batch = all.filter((one) => !appended.includes(one));
    if (batch.length === 0) continue;
    if (await insertAll(to, batch, signal)) yield partOf(batch.map(({ row }) => row));
    else for (const one of batch) yield await deliverAlone(from, to, one, signal);
  }
}

/** Delivers rows. @throws CheckpointError as {@link deliverInParts} */
export async function deliver(
  from: ReplicableEngine,
  to: ReplicableEngine,
  rows: readonly OutgoingRow[],
  signal?: AbortSignal,
): Promise<Delivery> {
  const parts: Delivery[] = [];
  for await (const part of deliverInParts(from, to, rows, signal)) parts.push(part);
  return {
    done: parts.flatMap(({ done }) => done),
    refused: parts.flatMap(({ refused }) => refused),
    conflicts: parts.flatMap(({ conflicts }) => conflicts),
  };
}

function partOf(heads: readonly RowHead[]): Delivery {
  return { done: heads.map(toDelivered), refused: [], conflicts: [] };
}

/** Delivers one row that could not be inserted with others. */
async function deliverAlone(
  from: ReplicableEngine,
  to: ReplicableEngine,
  one: OutgoingRow,
  signal?: AbortSignal,
): Promise<Delivery> {
  try {
    const isSame = await deliverOne(from, to, one, signal);
    return { ...partOf([one.row]), conflicts: isSame ? [] : [one.row.id] };
  } catch (error) {
    if (!(error instanceof CheckpointError) || factsOf(error)?.skipsRow !== true) throw error;
    return { done: [], refused: [{ id: one.row.id, code: error.code }], conflicts: [] };
  }
}

/** Acknowledges delivered rows: they stop being pending, unless they have changed since they were read. */
export async function acknowledge(
  { dialect, session }: ReplicableEngine,
  done: readonly DeliveredRow[],
  signal?: AbortSignal,
): Promise<void> {
  const sent = done.filter((row): row is Acknowledgement => row.pending !== null);
  if (sent.length === 0) return;
  await session.run("acknowledge rows", signal, (deadline) => dialect.outbox.commit({ acknowledge: sent }, deadline));
}

const toDelivered = ({ id, digest, pending }: DeliveredRow): DeliveredRow => ({ id, digest, pending });

function bytesOf({ row, writes }: OutgoingRow): number {
  return rowBytes(row) + bytesOfWrites(writes);
}

/** Groups rows into commits. */
function batchesOf(rows: readonly OutgoingRow[]): OutgoingRow[][] {
  const batches: OutgoingRow[][] = [];
  let [bytes, count] = [0, 0];
  for (const one of rows) {
    const last = batches.at(-1);
    bytes += bytesOf(one);
    count += 1 + one.writes.length;
    if (last !== undefined && bytes <= MAX_BATCH_BYTES && count <= MAX_BATCH_ROWS) last.push(one);
    else {
      batches.push([one]);
      [bytes, count] = [bytesOf(one), 1 + one.writes.length];
    }
  }
  return batches;
}

/**
 * Appends only the writes of those rows that the target already has. Returns these rows. It is the common case: a row was
 * delivered before anything was appended to it.
 */
async function appendToExisting(
  { dialect, session }: ReplicableEngine,
  batch: readonly OutgoingRow[],
  signal?: AbortSignal,
): Promise<OutgoingRow[]> {
  const appended = batch.filter(({ writes }) => writes.length > 0);
  if (appended.length === 0) return [];
  return await session.run("replicate", signal, async (deadline, { maxStatementBytes }) => {
    const ids = appended.map(({ row }) => row.id);
    const found = new Map((await dialect.readRows(ids, deadline)).map((row) => [row.id, row]));
    const existing = appended.filter(({ row }) => {
      const other = found.get(row.id);
      return other !== undefined && sameRow(other, row);
    });
    const append = existing.flatMap(({ writes }) => writes);
    if (bytesOfWrites(append) > maxStatementBytes) return [];
    return append.length > 0 && (await dialect.commit({ append }, deadline)) ? existing : [];
  });
}

/** Inserts rows as they are. `false`: one is there, or its base is not, or it is too large: each has to be delivered by itself. */
async function insertAll(
  engine: ReplicableEngine,
  batch: readonly OutgoingRow[],
  signal?: AbortSignal,
): Promise<boolean> {
  const own = new Set(batch.map(({ row }) => row.id));
  const bases = new Map<string, RowVersion>();
  for (const { row, base } of batch) {
    if (row.baseId === null || own.has(row.baseId)) continue;
    if (base === null) return false; // the base could not be read
    bases.set(base.id, base);
  }
  const insert = batch.map(({ row }) => toCopy(row));
  const append = batch.flatMap(({ writes }) => writes);
  const { session } = engine;
  return await session.run("replicate", signal, async (deadline, { maxStatementBytes }) => {
    if (batch.reduce((sum, one) => sum + bytesOf(one), 0) > maxStatementBytes) return false;
    try {
      return await insertRows(engine, { expected: [...bases.values()], insert, append }, deadline);
    } catch (error) {
      if (session.mayBeOneRow(error)) return false;
      throw error;
    }
  });
}

/** Returns a row without what belongs to the database that it comes from. */
function toCopy(row: Row): Row {
  return { ...row, afterId: null, pending: null };
}

/** Delivers one row and its writes. `false`: the target has other content under its id. */
async function deliverOne(
  from: ReplicableEngine,
  to: ReplicableEngine,
  one: OutgoingRow,
  signal?: AbortSignal,
): Promise<boolean> {
  if (!(await deliverRow(from, to, one, signal))) return false;
  // One by one: together they may be more than the server takes. If the row was removed meanwhile, so are they.
  for (const write of one.writes) {
    await to.session.run("replicate", signal, (deadline) => to.dialect.commit({ append: [write] }, deadline));
  }
  return true;
}

async function deliverRow(
  from: ReplicableEngine,
  to: ReplicableEngine,
  { row, base }: RowWithBase,
  signal?: AbortSignal,
): Promise<boolean> {
  const readSource = async () => await readSnapshot(from, row, signal);
  const found = await findInTarget(to, row, readSource, signal);
  if (found !== "absent") return found === "same";
  if (await insertAll(to, [{ row, base, writes: [] }], signal)) return true;
  const snapshot = await readSource();
  if (snapshot === null) {
    // Deleted meanwhile, which its tombstone reports; or it cannot be read, and must not be spread.
    const [head] = await from.session.run("replicate", signal, (deadline) =>
      from.dialect.list({ id: row.id, limit: 1 }, deadline),
    );
    if (head === undefined || isTombstone(head)) return true;
    throw new CheckpointError("CORRUPT_CHECKPOINT", `replicate: ${row.id} cannot be read where it is stored`);
  }
  try {
    await storeSnapshot(to, row, snapshot, signal);
    return true;
  } catch (error) {
    if (error instanceof CheckpointError && error.code === "CONFLICT") return await isDeleted(to, row.id, signal);
    throw error;
  }
}

/** Looks for a row in the target: `same` content, `other` content, or `absent`. */
async function findInTarget(
  { dialect, session, role }: ReplicableEngine,
  row: Row,
  readSource: () => Promise<Snapshot | null>,
  signal?: AbortSignal,
): Promise<"same" | "other" | "absent"> {
  return await session.run("replicate", signal, async (deadline) => {
    const [found] = await dialect.readRows([row.id], deadline);
    if (found === undefined) return "absent";
    // Deleted in main and stored again by a process that did not know: a conflict. In the backup it is a late copy.
    if (isTombstone(found)) return role === "main" ? "other" : "same";
    // A delivered row is never pending in the target: so this is the very row that is being delivered.
    if (found.pending !== null && found.pending === row.pending) {
      throw new CheckpointError("INVALID_CONFIG", "replicate: main and backup are the same database");
    }
    if (sameRow(found, row)) return "same";
    return (await sameCheckpoint(dialect, found, row, readSource, deadline)) ? "same" : "other";
  });
}

async function readSnapshot(
  { dialect, session }: ReplicableEngine,
  row: RowHead,
  signal?: AbortSignal,
): Promise<Snapshot | null> {
  const state = await session.run("replicate", signal, (deadline) => readState(dialect, row.id, deadline));
  return state?.snapshot ?? null;
}

/** Reads rows to deliver, with their bases and writes. Damaged ones are listed separately. */
export async function readForDelivery(
  { dialect, session }: ReplicableEngine,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<{ rows: OutgoingRow[]; damaged: DamagedRow[] }> {
  return await session.run("replicate", signal, async (deadline) => {
    const rows = await dialect.readRows(ids, deadline);
    const writes = await readableWrites(dialect, rows, deadline);
    const bases = new Map<string, RowVersion>(rows.map((row) => [row.id, toDelivered(row)]));
    const missing = rows.flatMap(({ baseId }) => (baseId === null || bases.has(baseId) ? [] : [baseId]));
    if (missing.length > 0) {
      for (const row of await dialect.readRows([...new Set(missing)], deadline)) bases.set(row.id, toDelivered(row));
    }
    const damages = await Promise.all(rows.map(damageOf));
    return {
      rows: rows
        .filter((_, index) => damages[index] === null)
        .map((row) => ({
          row,
          base: row.baseId === null ? null : (bases.get(row.baseId) ?? null),
          writes: writes.get(row.id) ?? [],
        })),
      damaged: rows.flatMap(({ id }, index) => {
        const code = damages[index] ?? null;
        return code === null ? [] : [{ id, code }];
      }),
    };
  });
}

/** Reads the writes of these rows, by their ids. Writes that cannot be read are not spread. */
async function readableWrites(
  dialect: ReplicableEngine["dialect"],
  rows: readonly Row[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, TaskWriteRow[]>> {
  const ids = rows.filter((row) => !isTombstone(row)).map(({ id }) => id);
  const writes = new Map<string, TaskWriteRow[]>();
  for (const write of ids.length === 0 ? [] : await dialect.readTaskWrites(ids, signal)) {
    if (await isDamaged(write)) continue;
    const others = writes.get(write.checkpointId);
    if (others === undefined) writes.set(write.checkpointId, [write]);
    else others.push(write);
  }
  return writes;
}

async function isDamaged(write: TaskWriteRow): Promise<boolean> {
  try {
    await unpackWrite(write);
    return false;
  } catch (error) {
    return !(error instanceof UnknownEncoding);
  }
}

/** Checks a row's bytes by its digest, or by the checksum of a delta. Returns the error code; `null`: they are intact. */
async function damageOf(row: Row): Promise<CheckpointErrorCode | null> {
  if (isTombstone(row)) return null;
  try {
    if (row.baseId === null) await unpackChain([row]);
    else await unpackState(row, false);
    return null;
  } catch (error) {
    const reason = error instanceof UnreadableRow ? error.cause : error;
    if (reason instanceof EncryptionMismatch) return "ENCRYPTION_MISMATCH";
    if (reason instanceof DamagedState) return "CORRUPT_CHECKPOINT";
    if (reason instanceof UnknownEncoding) return null; // a newer version's: its bytes can be copied all the same
    throw error;
  }
}
